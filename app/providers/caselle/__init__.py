"""The Caselle Payment API."""

from app.providers.caselle.client import CaselleVault

__all__ = ["CaselleVault"]
