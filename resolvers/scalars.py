"""Scalars. Their error messages do not quote values."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, Final, NewType, NoReturn
from urllib.parse import urlsplit

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from app.vault.countries import ALPHA3_OF
from app.vault.model import Expiry
from app.vault.secret import Secret

CurrencyCode = NewType("CurrencyCode", str)
CountryCode = NewType("CountryCode", str)
URL = NewType("URL", str)
Last4 = NewType("Last4", str)
IdempotencyKey = NewType("IdempotencyKey", str)

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MOMENT: Final = "RFC 3339 with a time zone"
_MONTH: Final = "year and month as YYYY-MM"
_DAY: Final = "a day as YYYY-MM-DD"
_DECIMAL: Final = "a decimal number as text, at most 18 digits before the point and 9 after it"
_ADDRESS: Final = "a URL that begins with https and contains no credentials"
_COUNTRY: Final = "two capital letters of ISO 3166-1 alpha-2"

_PATTERNS: Final[Mapping[str, str]] = {
    "DateTime": r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)",
    "YearMonth": r"\d{4}-\d\d",
    "Date": r"\d{4}-\d\d-\d\d",
    "Decimal": r"-?\d{1,18}(\.\d{1,9})?",
    "CurrencyCode": "[A-Z]{3}",
    "CountryCode": "[A-Z]{2}",
    "URL": r"[\x21-\x7e]{1,2000}",
    "Last4": "[0-9]{4}",
    "IdempotencyKey": r"[\x21-\x7e]{16,255}",
}
"""The form of each scalar's text. Some values of this form are refused: the 31st of February, an unknown country."""
_FORMATS: Final = {"DateTime": "date-time", "Date": "date", "URL": "uri"}
JSON_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ID": {"type": "string"},
    "String": {"type": "string"},
    "Boolean": {"type": "boolean"},
    "Int": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "Float": {"type": "number"},
    "JSON": {},
    "SensitiveString": {"type": "string", "minLength": 1, "writeOnly": True},
    **{
        name: {"type": "string", "pattern": f"^{pattern}$", **({"format": _FORMATS[name]} if name in _FORMATS else {})}
        for name, pattern in _PATTERNS.items()
    },
}
"""The JSON Schema of every scalar of the graph, as a client writes its values."""


def _not_a(name: str, rule: str) -> GraphQLError:
    """`rule` describes valid values; the API shows it unchanged (`app/api/error_format.py`)."""
    return GraphQLError(f"Not a {name}: {rule}.")


def _text(value: object, name: str, rule: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(_PATTERNS[name], value, re.ASCII):
        raise _not_a(name, rule)
    return value


def _matching(name: str, rule: str) -> Callable[[Any], str]:
    return lambda value: _text(value, name, rule)


def _parse_instant(value: object) -> datetime:
    text = _text(value, "DateTime", _MOMENT)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _not_a("DateTime", _MOMENT) from None


def _write_instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_month(value: object) -> Expiry:
    year, _, month = _text(value, "YearMonth", _MONTH).partition("-")
    try:
        return Expiry(int(year), int(month))
    except ValueError:
        raise _not_a("YearMonth", _MONTH) from None


def _parse_date(value: object) -> date:
    try:
        return date.fromisoformat(_text(value, "Date", _DAY))
    except ValueError:
        raise _not_a("Date", _DAY) from None


def _parse_decimal(value: object) -> Decimal:
    """Text only: a JSON number may have been rounded to binary."""
    try:
        return Decimal(_text(value, "Decimal", _DECIMAL))
    except InvalidOperation:
        raise _not_a("Decimal", _DECIMAL) from None


def _parse_url(value: object) -> str:
    text = _text(value, "URL", _ADDRESS)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _not_a("URL", _ADDRESS) from None
    is_web = parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
    if not is_web or not host or parts.username is not None or parts.password is not None:
        raise _not_a("URL", _ADDRESS)
    return text


def _parse_country(value: object) -> str:
    if _text(value, "CountryCode", _COUNTRY) not in ALPHA3_OF:
        raise _not_a("CountryCode", _COUNTRY)
    return str(value)


def _parse_secret(value: object) -> Secret:
    if not isinstance(value, str) or not value:
        raise _not_a("SensitiveString", "text that is not empty")
    return Secret(value)


def _never(value: object) -> NoReturn:
    raise GraphQLError("A SensitiveString is never returned.")


SCALARS: Final[Mapping[object, ScalarDefinition]] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="RFC 3339, in UTC.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=_write_instant,
        parse_value=_parse_instant,
    ),
    Expiry: strawberry.scalar(
        name="YearMonth", description='A month: "2028-03".', serialize=attrgetter("text"), parse_value=_parse_month
    ),
    date: strawberry.scalar(
        name="Date", description='A day: "2028-03-31".', serialize=date.isoformat, parse_value=_parse_date
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description="A decimal number, as a string on the wire, never a float.",
        serialize=lambda value: format(value, "f"),
        parse_value=_parse_decimal,
    ),
    CurrencyCode: strawberry.scalar(
        name="CurrencyCode",
        description="ISO 4217.",
        parse_value=_matching("CurrencyCode", "three capital letters of ISO 4217"),
    ),
    CountryCode: strawberry.scalar(name="CountryCode", description="ISO 3166-1 alpha-2.", parse_value=_parse_country),
    URL: strawberry.scalar(
        name="URL", description="https; http only to this machine, in development.", parse_value=_parse_url
    ),
    Last4: strawberry.scalar(
        name="Last4",
        description="The last four digits, as text.",
        parse_value=_matching("Last4", "four digits, as text"),
    ),
    IdempotencyKey: strawberry.scalar(
        name="IdempotencyKey",
        description="16 to 255 visible ASCII characters; a version 4 UUID works well.",
        parse_value=_matching("IdempotencyKey", "16 to 255 visible ASCII characters"),
    ),
    Secret: strawberry.scalar(
        name="SensitiveString",
        description="Input only. It is redacted wherever it might be shown.",
        serialize=_never,
        parse_value=_parse_secret,
    ),
}

__all__ = ["JSON", "JSON_SCHEMAS", "SCALARS", "URL", "CountryCode", "CurrencyCode", "IdempotencyKey", "Last4"]
