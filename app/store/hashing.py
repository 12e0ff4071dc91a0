"""Hashes of values that are compared but not stored."""

from hashlib import sha256


def hash_of_key(idempotency_key: str) -> str:
    """SHA-256 in hex. Keys may contain sensitive data, so only their hash is stored."""
    return sha256(idempotency_key.encode("utf-8", "surrogatepass")).hexdigest()
