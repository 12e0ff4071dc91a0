"""Replaces the processor's browser SDK: turns a number into a proxynized token and stores only the token."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal
from app.sandbox.checks import brand_of, is_card_number, routing_number

LIFETIME: Final = timedelta(minutes=15)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def mint(state: Json, fields: Json, account: str, now: datetime) -> Json:
    """Returns `{token, last4, bin, brand}`; stores the token's digest, kind, account and time. Raises ValueError."""
    kind = fields.get("kind")
    if kind not in ("card", "bank"):
        raise ValueError("kind must be card or bank")
    number = re.sub(r"[ -]", "", fields["number"]) if isinstance(fields.get("number"), str) else ""
    if kind == "card":
        _check_card(number, fields, now)
    else:
        _check_bank(number, fields)
    token = "prx_" + secrets.token_urlsafe(18)
    tokens: Json = state["tokens"]
    for known in [key for key, entry in tokens.items() if _end(entry) + LIFETIME < now]:
        del tokens[known]
    method_type = "credit" if kind == "card" else "ach"
    tokens[digest(token)] = {"type": method_type, "account": account, "issued_at": now.isoformat()}
    is_card = kind == "card"
    return {
        "token": token,
        "last4": number[-4:],
        "bin": number[:6] if is_card else None,
        "brand": brand_of(number) if is_card else None,
    }


def _check_card(number: str, fields: Json, now: datetime) -> None:
    if not is_card_number(number):
        raise ValueError("number is not a card number")
    if not (_is_int(fields.get("exp_month")) and 1 <= fields["exp_month"] <= 12):
        raise ValueError("exp_month must be 1 to 12")
    if not (_is_int(fields.get("exp_year")) and now.year <= fields["exp_year"] <= 9999):
        raise ValueError("exp_year must be a year that is not past")


def _check_bank(number: str, fields: Json) -> None:
    if not re.fullmatch(r"[0-9]{4,17}", number):
        raise ValueError("number must be an account number of 4 to 17 digits")
    if routing_number(fields.get("routing_number")) is not None:
        raise ValueError("routing_number is not a routing number")
    if fields.get("account_type") not in (None, "checking", "savings"):
        raise ValueError("account_type must be checking or savings")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _end(entry: Json) -> datetime:
    return datetime.fromisoformat(entry["issued_at"]) + LIFETIME


def redeem(state: Json, token: str, method_type: str, account: str, now: datetime) -> None:
    """Raises CaselleRefusal unless the token is live and of this type and account. It may be reused (assumed)."""
    entry = state["tokens"].get(digest(token))
    if entry is None or entry["type"] != method_type or entry["account"] != account:
        raise CaselleRefusal(CaselleProblem.TOKEN_INVALID)
    if _end(entry) <= now:
        raise CaselleRefusal(CaselleProblem.TOKEN_EXPIRED)
