"""The subscription type."""
