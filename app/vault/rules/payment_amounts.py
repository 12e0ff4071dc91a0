"""Compares the amounts in a vault's reply with those requested."""

from collections.abc import Mapping
from dataclasses import fields

from app.vault.payments import Amounts, Quote

Difference = tuple[int | float | str | None, int | float | str | None]
"""Requested and replied value."""


def differences(quote: Quote, answered: Amounts) -> Mapping[str, Difference]:
    """Amounts and currency that differ from the quote. Missing values do not differ."""
    asked = amounts_of(quote)
    return {
        each.name: (getattr(asked, each.name), found)
        for each in fields(Amounts)
        if (found := getattr(answered, each.name)) is not None and found != getattr(asked, each.name)
    }


def adds_up(quote: Quote) -> bool:
    """Whether the total is the sum of base, tax and fee, and the fee is not negative."""
    return quote.fee >= 0 and quote.total == quote.payment.amount + quote.payment.tax + quote.fee


def amounts_of(quote: Quote) -> Amounts:
    new = quote.payment
    return Amounts(base=new.amount, tax=new.tax, fee=quote.fee, total=quote.total, currency=new.currency)
