"""Parses the input of the control API; each error names the field."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from msgspec import ValidationError, convert
from starlette.requests import Request

from app.sandbox.faults import Fault, FaultKind, RewriteFault

_MAX_SHIFT: Final = timedelta(days=100 * 366)


class BadControlInput(Exception):
    """Invalid input; `field` is empty if the body as a whole is invalid."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


async def body_of(request: Request) -> dict[str, Any]:
    """The request's JSON object; an empty body is an empty object. Null fields count as absent."""
    raw = await request.body()
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except ValueError:
        raise BadControlInput("", "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise BadControlInput("", "The body is not a JSON object.")
    return {name: value for name, value in body.items() if value is not None}


def allow_only(body: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in body:
        if name not in known:
            raise BadControlInput(name, f"No such field; valid names are {', '.join(sorted(known))}.")


def text(body: Mapping[str, Any], field: str, default: str | None = None) -> str:
    """A non-empty string; required if there is no default."""
    value = body.get(field, default)
    if value is None:
        raise BadControlInput(field, "This field is required.")
    if not isinstance(value, str) or not value:
        raise BadControlInput(field, "This must be a string that is not empty.")
    return value


def _number(body: Mapping[str, Any], field: str, default: float, low: float, high: float) -> float:
    value = body.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadControlInput(field, f"This must be a number from {low:g} to {high:g}.")
    return value


def _integer(body: Mapping[str, Any], field: str, default: int, low: int, high: int) -> int:
    value = body.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadControlInput(field, f"This must be a whole number from {low} to {high}.")
    return value


def fault_from(body: dict[str, Any]) -> Fault:
    """Parse ``POST /faults``; the caller has checked the provider."""
    try:
        return convert(body, RewriteFault if body.get("kind") == FaultKind.REWRITE else Fault)
    except ValidationError as error:
        message = re.sub(r" - at .*", "", str(error))
        named = re.search(r"\$\.(\w+)|field `(\w+)`|^(\w+): ", str(error))
        field = next(filter(None, named.groups()), "") if named else ""
        raise BadControlInput(field, without_digits(message.removeprefix(f"{field}: "))) from None


def new_time(body: dict[str, Any], now: datetime) -> datetime:
    """Parse ``POST /clock``: a time to set, or seconds to add to `now` (may be negative)."""
    allow_only(body, frozenset({"now", "advance_s"}))
    if ("now" in body) == ("advance_s" in body):
        raise BadControlInput("now", "Send either now or advance_s.")
    if "now" in body:
        return _instant(text(body, "now"))
    limit = _MAX_SHIFT.total_seconds()
    try:
        return now + timedelta(seconds=_number(body, "advance_s", 0, -limit, limit))
    except OverflowError:
        raise BadControlInput("advance_s", "Time out of range.") from None


def _instant(written: str) -> datetime:
    try:
        instant = datetime.fromisoformat(written)
    except ValueError:
        raise BadControlInput("now", "This must be an ISO 8601 instant such as 2031-01-01T00:00:00Z.") from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    if not 1990 <= instant.year <= 2190:
        raise BadControlInput("now", "The clock must stay between 1990 and 2190.")
    return instant.astimezone(UTC)


_TOKEN_FIELDS: Final = {
    **{name: name for name in ("number", "exp_month", "exp_year", "holder_name", "routing_number", "account_type")},
    # LoanPro's token form uses other names for the same fields.
    "card_number": "number",
    "account_number": "number",
    "expiration_date": "exp_year",
}


def named_field(complaint: str) -> str:
    """The field of a token that is named at the start of an emulator's error, or an empty string."""
    return _TOKEN_FIELDS.get(re.split(r"\W", complaint, maxsplit=1)[0], "")


def token_fields(body: dict[str, Any]) -> dict[str, Any]:
    """Parse the part of ``POST /tokens`` that all vaults share; the emulator parses the rest."""
    if text(body, "kind") not in ("card", "bank"):
        raise BadControlInput("kind", "This must be card or bank.")
    if not re.fullmatch(r"\d{1,34}", text(body, "number")):
        raise BadControlInput("number", "This must be a string of digits.")
    fields = {name: value for name, value in body.items() if name != "provider"}
    for field, highest in (("exp_month", 12), ("exp_year", 9999)):
        if field in fields:
            if isinstance(fields[field], str) and re.fullmatch(r"\d{1,4}", fields[field]):
                fields[field] = int(fields[field])
            _integer(fields, field, 1, 1, highest)
    for field in ("holder_name", "routing_number", "account_type"):
        if field in fields:
            text(fields, field)
    return fields


def without_digits(message: str) -> str:
    """An emulator's error without digit runs long enough to be part of a card or account number."""
    return re.sub(r"\d{5,}", "...", message)
