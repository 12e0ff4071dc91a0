"""The Caselle Payment API."""
