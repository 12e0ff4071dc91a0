"""LoanPro: customers and their linked payment profiles in the LMS."""

from app.providers.loanpro.client import LoanProVault

__all__ = ["LoanProVault"]
