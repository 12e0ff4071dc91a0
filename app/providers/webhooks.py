"""Helpers for verifying and parsing webhook deliveries. Errors do not quote deliveries."""

import hmac
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, TypeGuard

import orjson

from app.vault.pan import looks_like_card_number
from app.vault.secret import Secret
from app.vault.webhooks import WebhookRejected

_MOST_SIGNATURES: Final = 16
_LONGEST_TEXT: Final = 200
_ONE_SIGNATURE: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9_-]{0,15}=)?(?:([0-9A-Fa-f]{64})|([A-Za-z0-9+/_-]{43}=?))")


def json_object(raw: bytes) -> dict[str, Any]:
    """The body's JSON object. Raises WebhookRejected."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise WebhookRejected(400, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise WebhookRejected(400, "The body is not a JSON object.")
    return body


def short_text(body: Mapping[str, Any], name: str) -> str:
    """A member that is 1 to 200 printable characters and no card number. Raises WebhookRejected."""
    value = body.get(name)
    if not _is_short(value):
        raise WebhookRejected(400, f"The member {name} is missing or not a short string.")
    if not is_plain(value):
        raise WebhookRejected(400, f"The member {name} contains a card number.")
    return value


def is_plain(value: object) -> TypeGuard[str]:
    """True for text that may be stored, as in `short_text`. Card numbers are refused even in signed deliveries."""
    return _is_short(value) and not looks_like_card_number(value)


def _is_short(value: object) -> TypeGuard[str]:
    """True for text that can be an id and that every store can save."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and value.isprintable()


def base64_bytes(text: str) -> bytes:
    """Decodes either alphabet, with or without padding; empty if invalid."""
    bare = text.strip().translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (Base64Error, ValueError):
        return b""


def hmac_signatures(header: str) -> list[bytes]:
    """Every SHA-256 HMAC in a header: hex or base64, optionally after ``sha256=`` or ``v1=``, separated by commas or
    blanks.
    """
    found: list[bytes] = []
    for part in re.split(r"[,;\s]+", header)[: 4 * _MOST_SIGNATURES]:
        if match := _ONE_SIGNATURE.fullmatch(part):
            found.append(bytes.fromhex(match[1]) if match[1] else base64_bytes(match[2]))
    return found[:_MOST_SIGNATURES]


def hmac_secret_number(signed: bytes, signatures: Sequence[bytes], secrets: Sequence[Secret]) -> int | None:
    """The index of the secret by which any signature is the HMAC, or None. Compares all of them, in constant time."""
    found: int | None = None
    for number, secret in reversed(list(enumerate(secrets))):
        expected = hmac.digest(secret.reveal().encode(), signed, sha256)
        for signature in signatures:
            if hmac.compare_digest(expected, signature):
                found = number
    return found
