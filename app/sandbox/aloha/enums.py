"""Aloha's enums: numbers in JSON, names in XML; both are accepted. Unpublished numbers exist."""

from collections.abc import Mapping
from typing import Any, Final

PROVIDERS: Final = {2: "ConnectedPayments", 4: "CreditCall", 6: "FreedomPay"}
CARDS: Final = {0: "Amex", 3: "Discover", 5: "Jcb", 6: "MasterCard", 7: "Visa"}
UNPUBLISHED: Final = 1
"""A provider without a published number, as a company has that cannot save tokens (assumed)."""
CONNECTED_PAYMENTS: Final = 2
FREEDOM_PAY: Final = 6


def number_of(table: Mapping[int, str], value: Any) -> int | None:
    """The number of a published member, given as number, numeric text, or case-insensitive name; otherwise None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value in table else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return int(text) if int(text) in table else None
    return next((number for number, name in table.items() if name.lower() == text.lower()), None)


def name_of(table: Mapping[int, str], number: int) -> str:
    """The XML name, or the number if no name is published."""
    return table.get(number, str(number))
