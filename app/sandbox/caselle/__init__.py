"""Caselle Payment API emulator."""

from app.sandbox.caselle.emulator import CaselleEmulator

__all__ = ["CaselleEmulator"]
