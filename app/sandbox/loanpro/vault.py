"""Secure Payments' profiles: the stored data of a card or bank account, and its tokens.

A record holds masked data only; the number is dropped after validation. The token is derived from the record, so that
the state holds none: base64 of ``<ciphertext>.<JWT>``, about 900 characters, as in the vendor's PHP SDK.
"""

import base64
import binascii
import hashlib
import json
import secrets
from functools import lru_cache
from typing import Any, Final

from app.sandbox import checks
from app.sandbox.base import Json

_CIPHER_PREFIX: Final = bytes.fromhex("0102030078")  # "AQIDAHj...": the start of every published token, decoded once
_JWT_HEAD: Final = '{"typ":"JWT","alg":"HS256"}'
TOKEN_LIFE_S: Final = 5 * 365 * 86400
"""Profiles in the vault expire after five years (comment in the vendor's SDK)."""

CARD_TYPES: Final = {
    "VISA": "creditCard.type.visa",
    "MASTERCARD": "creditCard.type.masterCard",
    "AMEX": "creditCard.type.amex",
    "DISCOVER": "creditCard.type.discover",
}


def card_record(number: str, *, exp_month: int, exp_year: int, holder_name: str, address: Json | None = None) -> Json:
    """Validate a card and return its masked record. Raises ValueError, which names the field and never the value."""
    if not checks.is_card_number(number):
        raise ValueError("card_number is not valid")
    if not 1 <= exp_month <= 12 or not 2000 <= exp_year <= 2099:
        raise ValueError("expiration_date is not valid")
    return {
        "kind": "card",
        "last4": number[-4:],
        "bin": number[:6],
        "masked": "X" * (len(number) - 4) + number[-4:],
        "brand": brand if (brand := checks.brand_of(number)) in CARD_TYPES else None,
        "exp_month": exp_month,
        "exp_year": exp_year,
        "holder": holder_name,
        "address": address or {},
    }


def bank_record(
    number: str,
    *,
    routing_number: str,
    account_type: str,
    holder_name: str,
    bank_name: str,
    address: Json | None = None,
) -> Json:
    """Validate a bank account and return its masked record. Raises ValueError, which names the field and never the
    value.
    """
    if not (number.isascii() and number.isdigit() and 4 <= len(number) <= 17):
        raise ValueError("account_number is not valid")
    if checks.routing_number(routing_number) is not None:
        raise ValueError("routing_number is not valid")
    if account_type not in ("checking", "savings"):
        raise ValueError("account_type is not valid")
    return {
        "kind": "bank",
        "last4": number[-4:],
        "masked": "X" * max(len(number) - 4, 3) + number[-4:],
        "routing_number": routing_number,
        "account_type": account_type,
        "bank_name": bank_name,
        "holder": holder_name,
        "address": address or {},
    }


def store(state: Json, record: Json, created: int, seed: str | None = None) -> Json:
    """Assign an id and a secret seed to a validated record, and store it."""
    state["next"]["vault"] += 1
    stored: Json = record | {
        "id": state["next"]["vault"],
        "seed": seed or secrets.token_hex(16),
        "created": created,
        "is_deleted": False,
    }
    state["vault"][str(stored["id"])] = stored
    return stored


def token_of(record: Json) -> str:
    return _token(int(record["id"]), str(record["kind"]), str(record["seed"]), int(record["created"]))


@lru_cache(maxsize=4096)
def _token(number: int, kind: str, seed: str, created: int) -> str:
    cipher = _CIPHER_PREFIX + hashlib.shake_256(f"{seed}:{number}".encode()).digest(340)
    claims = {"id": number, "account_type": kind, "created": created, "updated": created, "user_id": 1}
    jwt = ".".join(_b64url(part) for part in (_JWT_HEAD.encode(), json.dumps(claims).encode()))
    signature = _b64url(hashlib.sha256(f"{seed}:{jwt}".encode()).digest())
    inner = f"{base64.b64encode(cipher).decode()}.{jwt}.{signature}"
    return base64.b64encode(inner.encode()).decode()


def decoded(token: str) -> str:
    """The token's inner form, ``<ciphertext>.<JWT>``: LMS replies have been observed with either."""
    return base64.b64decode(token).decode()


def find(state: Json, token: Any) -> Json | None:
    """The record of a token in either form; None for a token that this vault did not issue."""
    if not isinstance(token, str):
        return None
    inner = token if "." in token else _maybe_decoded(token)
    parts = inner.split(".")
    if len(parts) != 4:
        return None
    claims = _json_part(parts[2])
    record: Json | None = state["vault"].get(str(claims.get("id"))) if claims else None
    if record is None or not secrets.compare_digest(decoded(token_of(record)), inner):
        return None
    return record


def is_usable(record: Json, now: float) -> bool:
    return not record["is_deleted"] and now - record["created"] < TOKEN_LIFE_S


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _maybe_decoded(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode("ascii")
    except (binascii.Error, UnicodeError):
        return ""


def _json_part(part: str) -> Json | None:
    try:
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, UnicodeError, ValueError):
        return None
    return claims if isinstance(claims, dict) else None
