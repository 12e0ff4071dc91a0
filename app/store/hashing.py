"""Hashes of values that must be recognised again but not kept."""

from hashlib import sha256


def hash_of_key(idempotency_key: str) -> str:
    """Callers put what they like into their keys; 64 hex characters of SHA-256 are all that is stored."""
    return sha256(idempotency_key.encode("utf-8", "surrogatepass")).hexdigest()
