"""J.P. Morgan Payments, Consumer Profile Management."""

from app.providers.jpmorgan.client import JpMorganVault

__all__ = ["JpMorganVault"]
