"""The unified model of payment methods, its rules, and the protocols that vaults implement.

A public interface: packages outside this repository import it. CHANGELOG.md lists breaking changes.
"""
