"""LoanPro emulator: LMS and Secure Payments (Adaptive Wallet)."""

from app.sandbox.loanpro.emulator import LoanProEmulator

__all__ = ["LoanProEmulator"]
