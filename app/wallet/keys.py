"""Derives a separate key per purpose from one long random secret."""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MINIMUM_SECRET: Final = 32
_SALT: Final = b"vaultgraph/keys/v1"


def derive_key(secret: bytes | str, purpose: str, length: int = 32) -> bytes:
    """HKDF-SHA256 of `secret` for `purpose`. The secret's text is used as is, base64 or not.

    Raises ValueError for fewer than 32 characters: it must be random, not a password.
    """
    material = secret.encode() if isinstance(secret, str) else secret
    if len(material) < MINIMUM_SECRET:
        raise ValueError(f"a key needs {MINIMUM_SECRET} characters or more")
    return HKDF(algorithm=SHA256(), length=length, salt=_SALT, info=purpose.encode()).derive(material)
