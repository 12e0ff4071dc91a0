"""Checks of a field's value, shared by the emulators."""

import re
from collections.abc import Callable
from typing import Any, Final

Check = Callable[[Any], str | None]
"""An error that never quotes the value; None if the value is valid."""
_BRANDS: Final = (
    (r"4", "VISA"),
    (r"5[1-5]|2(22[1-9]|2[3-9]|[3-6]|7[01]|720)", "MASTERCARD"),
    (r"3[47]", "AMEX"),
    (r"6(011|4[4-9]|5)", "DISCOVER"),
    (r"35", "JCB"),
    (r"3(0|6|8|9)", "DINERS"),
)


def text(longest: int = 255, *, shortest: int = 0, without: str = "") -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "must be a string"
        if not shortest <= len(value) <= longest:
            return f"must have {shortest} to {longest} characters"
        return f"must not contain any of {without}" if any(sign in value for sign in without) else None

    return check


def matching(pattern: str, meaning: str) -> Check:
    compiled = re.compile(pattern)

    def check(value: Any) -> str | None:
        return None if isinstance(value, str) and compiled.fullmatch(value) else f"must {meaning}"

    return check


def one_of(*words: str) -> Check:
    def check(value: Any) -> str | None:
        return None if isinstance(value, str) and value in words else "must be one of " + ", ".join(words)

    return check


def boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


email = matching(r"[^@\s]+@[^@\s]+\.[^@\s]+", "be an e-mail address")
web_address = matching(r"https?://[^\s<>\"']+", "be an http or https address")


def routing_number(value: Any) -> str | None:
    """Nine digits with a valid ABA checksum."""
    if not (isinstance(value, str) and re.fullmatch(r"[0-9]{9}", value)):
        return "must be 9 digits"
    weighed = sum(int(digit) * weight for digit, weight in zip(value, (3, 7, 1) * 3, strict=True))
    return None if weighed % 10 == 0 and int(value) else "is not a routing number"


def is_card_number(digits: str) -> bool:
    """13 to 19 ASCII digits that pass the Luhn check."""
    if not re.fullmatch(r"[0-9]{13,19}", digits):
        return False
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def brand_of(number: str) -> str:
    """The card's brand by leading digits, e.g. ``VISA``, or ``OTHER``."""
    return next((brand for pattern, brand in _BRANDS if re.match(pattern, number)), "OTHER")


def place(at: str, name: str) -> str:
    """The path of a field in an object at `at`."""
    return f"{at}.{name}" if at else name
