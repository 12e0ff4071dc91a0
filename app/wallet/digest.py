"""Digests that identify a repeated write without storing its input.

Two inputs are the same if their digests are equal. A provider token is included as an HMAC under a separate key. A card
number, account number or IBAN is never included, only its presence: two such inputs differ by fields that may be stored
anyway (brand, expiry, holder, address, and last4 if it is a field of the input). The digest is an HMAC too, so that it
cannot be tested against guessed names and addresses.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Final

import orjson

from app.vault.added_later import named_values
from app.vault.model import Expiry
from app.vault.secret import Secret
from app.wallet.keys import KeyRing, derive_key

DIGEST_KEY: Final = "digest_key"
"""The setting of the digest keys."""
_MARK: Final = "$"

DigestKeys = KeyRing[bytes | str]


@dataclass(frozen=True, slots=True)
class Token:
    """A vault's token or fingerprint: included as an HMAC."""

    secret: Secret


@dataclass(frozen=True, slots=True)
class Number:
    """A card number, account number or IBAN: only its presence is included."""

    secret: Secret


def input_digest(key: bytes | str, values: Mapping[str, Any]) -> str:
    """64 hex characters for an input of plain values, mappings, sequences, dataclasses, `Token` and `Number`.

    The order of keys does not matter; that of sequences does. None and absent differ. Raises TypeError, which never
    contains the value, for an unmarked Secret or an unsupported type.
    """
    canonical = orjson.dumps(_plain(values, _derived(key, "digest/token")), option=orjson.OPT_SORT_KEYS)
    return hmac.digest(_derived(key, "digest/input"), canonical, "sha256").hex()


def matching_key(keys: DigestKeys, digest: str, values: Mapping[str, Any]) -> str | None:
    """The name of the key under which a stored digest matches these values; None if under none."""
    found = (name for name, key in keys.keys.items() if hmac.compare_digest(input_digest(key, values), digest))
    return next(found, None)


def holder_digest(key: bytes | str, name: str) -> str:
    """32 hex characters that identify a cardholder's name, ignoring case and spacing."""
    words = " ".join(name.split()).casefold()
    return hmac.digest(_derived(key, "digest/holder"), words.encode(), "sha256").hex()[:32]


def token_digest(key: bytes | str, token: Secret) -> str:
    """32 hex characters that identify a vault's token."""
    return hmac.digest(_derived(key, "digest/token use"), token.reveal().encode(), "sha256").hex()[:32]


@lru_cache(maxsize=32)
def _derived(key: bytes | str, purpose: str) -> bytes:
    return derive_key(key, purpose)


def _plain(value: Any, token_key: bytes) -> Any:
    """Unambiguous JSON: a value of another type becomes an object with one ``$`` key."""
    match value:
        case Token():
            return {f"{_MARK}token": hmac.digest(token_key, value.secret.reveal().encode(), "sha256").hex()}
        case Number():
            return {f"{_MARK}number": True}
        case Enum():
            return _plain(value.value, token_key)
        case None | bool() | str():
            return value
        case int():
            return {f"{_MARK}int": str(value)}
        case Decimal():
            return {f"{_MARK}decimal": str(value.normalize())}
        case datetime():
            return {f"{_MARK}instant": value.astimezone(UTC).isoformat()}
        case date() | Expiry():
            return {f"{_MARK}date": str(value)}
        case Mapping():
            return {_name(name): _plain(part, token_key) for name, part in value.items()}
        case list() | tuple():
            return [_plain(part, token_key) for part in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {name: _plain(part, token_key) for name, part in named_values(value).items()}
        case _:
            raise TypeError(f"a {type(value).__name__} cannot take part in a digest")


def _name(name: object) -> str:
    if not isinstance(name, str) or name.startswith(_MARK):
        raise TypeError("a digest's field names are strings that do not begin with a dollar sign")
    return name
