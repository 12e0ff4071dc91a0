"""Amounts: exact, in the currency's own minor unit, never rounded."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.wallet.money import BadAmount, exponent_of, to_decimal, to_minor


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("123.45", "USD", 12345), ("150", "JPY", 150), ("1.234", "KWD", 1234), ("0.10", "EUR", 10), ("7", "USD", 700)],
)
def test_minor_units_follow_the_currency(amount: str, currency: str, minor: int) -> None:
    assert to_minor(Decimal(amount), currency) == minor
    assert to_decimal(minor, currency) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "currency"), [("1.5", "JPY"), ("1.234", "USD"), ("1.2345", "KWD"), ("1", "XXX"), ("1", "usd")]
)
def test_what_the_currency_cannot_express_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(BadAmount):
        to_minor(Decimal(amount), currency)


@given(st.integers(0, 10**12), st.sampled_from(["USD", "JPY", "KWD", "CLF"]))
def test_there_and_back(minor: int, currency: str) -> None:
    text = format(to_decimal(minor, currency), "f")
    assert len(text.partition(".")[2]) == exponent_of(currency)
    assert to_minor(Decimal(text), currency) == minor
