"""Scalars: accepted and refused values; errors quote no values."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from graphql import GraphQLError

from app.vault.model import Expiry
from app.vault.secret import Secret
from resolvers.scalars import SCALARS, URL, CountryCode, CurrencyCode, IdempotencyKey, Last4

KEY = "0" * 16


@pytest.mark.parametrize(
    ("scalar", "text", "value"),
    [
        (datetime, "2028-03-01T10:00:00Z", datetime(2028, 3, 1, 10, tzinfo=UTC)),
        (datetime, "2028-03-01t12:00:00.5+02:00", datetime(2028, 3, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
        (Expiry, "2028-03", Expiry(2028, 3)),
        (date, "2028-02-29", date(2028, 2, 29)),
        (Decimal, "10.50", Decimal("10.50")),
        (Decimal, "-0.000000001", Decimal("-0.000000001")),
        (CurrencyCode, "USD", "USD"),
        (CountryCode, "US", "US"),
        (URL, "https://shop.example/return?x=1", "https://shop.example/return?x=1"),
        (URL, "http://127.0.0.1:3000/back", "http://127.0.0.1:3000/back"),
        (URL, "http://[::1]/", "http://[::1]/"),
        (Last4, "0042", "0042"),
        (IdempotencyKey, KEY, KEY),
        (IdempotencyKey, "~" * 255, "~" * 255),
        (Secret, "4111 1111", Secret("4111 1111")),
    ],
)
def test_accepted_values(scalar: object, text: str, value: object) -> None:
    parse = SCALARS[scalar].parse_value
    assert parse is not None
    assert parse(text) == value


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        (datetime, "2028-03-01T10:00:00"),
        (datetime, "2028-03-01"),
        (datetime, "2028-13-01T10:00:00Z"),
        (datetime, "0001-01-01T00:00:00+14:00"),
        (datetime, 1),
        (Expiry, "2028-13"),
        (Expiry, "2028-3"),
        (Expiry, "03/2028"),
        (Expiry, "2028-03\n"),
        (Expiry, "٢٠٢٨-٠٣"),
        (date, "2028-02-30"),
        (date, "20280230"),
        (Decimal, 10.5),
        (Decimal, 10),
        (Decimal, "1e5"),
        (Decimal, "NaN"),
        (Decimal, "1,5"),
        (CurrencyCode, "usd"),
        (CountryCode, "USA"),
        (URL, "http://shop.example/"),
        (URL, "https://user:pw@shop.example/"),
        (URL, "https://user@shop.example/"),
        (URL, "https:///path"),
        (URL, "https://shop.example/\r\nX: y"),
        (URL, "https://[broken/"),
        (URL, "https://shop.example:99999/"),
        (URL, "javascript:alert(1)"),
        (URL, "//shop.example"),
        (Last4, "42"),
        (Last4, 4242),
        (Last4, "４２４２"),
        (IdempotencyKey, "0" * 15),
        (IdempotencyKey, "0" * 256),
        (IdempotencyKey, "has a space in it"),
        (Secret, ""),
        (Secret, 4111111111111111),
        (Secret, None),
    ],
)
def test_refused_values_are_not_quoted(scalar: object, value: Any) -> None:
    parse = SCALARS[scalar].parse_value
    assert parse is not None
    with pytest.raises(GraphQLError) as refused:
        parse(value)
    assert str(value) not in refused.value.message or not str(value)
    assert refused.value.__cause__ is None


def test_serialised_values() -> None:
    def write(value: Any) -> Any:
        return SCALARS[type(value)].serialize(value)  # type: ignore[misc]

    moment = datetime(2028, 3, 1, 12, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
    assert write(moment) == "2028-03-01T10:00:00.250000Z"
    assert write(Expiry(2028, 3)) == "2028-03"
    assert write(date(2028, 3, 1)) == "2028-03-01"
    assert write(Decimal("1E+3")) == "1000"


def test_a_sensitive_string_is_never_returned_or_shown() -> None:
    secret = Secret("4111111111111111")
    assert "4111" not in f"{secret} {secret!r}"
    serialize = SCALARS[Secret].serialize
    assert serialize is not None
    with pytest.raises(GraphQLError, match="never returned"):
        serialize(secret)
