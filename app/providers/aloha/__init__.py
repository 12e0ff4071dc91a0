"""NCR Aloha Online Ordering: customers and their saved card tokens."""

from app.providers.aloha.client import AlohaVault

__all__ = ["AlohaVault"]
