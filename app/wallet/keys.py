"""Derives a separate key per purpose from one long random secret, and holds the secrets of a rotation."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Key = TypeVar("Key")
MINIMUM_SECRET: Final = 32
_SALT: Final = b"vaultgraph/keys/v1"
_NAME_BYTES: Final = 4


def derive_key(secret: bytes | str, purpose: str, length: int = 32) -> bytes:
    """HKDF-SHA256 of `secret` for `purpose`. The secret's text is used as is, base64 or not.

    Raises ValueError for fewer than 32 characters: it must be random, not a password.
    """
    material = secret.encode() if isinstance(secret, str) else secret
    if len(material) < MINIMUM_SECRET:
        raise ValueError(f"a key needs {MINIMUM_SECRET} characters or more")
    return HKDF(algorithm=SHA256(), length=length, salt=_SALT, info=purpose.encode()).derive(material)


def key_name(secret: bytes | str) -> str:
    """The secret's name for people and for rows in the store: 8 hex characters of a hash."""
    material = secret.encode() if isinstance(secret, str) else secret
    return HKDF(algorithm=SHA256(), length=_NAME_BYTES, salt=_SALT, info=b"key name").derive(material).hex()


class KeyRing(Generic[Key]):
    """The keys made from one setting's secrets: the first one is used for new data, all of them for existing data.

    `make` derives a key from a secret; it runs once per secret. `replace` changes the secrets at runtime: hold the
    ring, not its keys.
    """

    def __init__(self, secrets: Iterable[bytes | str], make: Callable[[bytes | str], Key]) -> None:
        """Raises ValueError for no secret, or one that is too short."""
        self._make = make
        self.keys: dict[str, Key] = {}
        """By name, first one first."""
        self.replace(secrets)

    def replace(self, secrets: Iterable[bytes | str]) -> None:
        """Raises ValueError and changes nothing for no secret, or one that is too short."""
        made = {key_name(secret): self._make(secret) for secret in secrets}
        if not made:
            raise ValueError("at least one key is needed")
        self.first_name, self.first = next(iter(made.items()))
        self.keys = made

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys.values())
