"""International bank account numbers (ISO 13616)."""

import re
from typing import Final

_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_SEPARATORS: Final = re.compile(r"[\s-]")


def compact(value: str) -> str:
    """Remove spaces and dashes."""
    return _SEPARATORS.sub("", value)


def is_iban(value: str) -> bool:
    """Whether `value` has the form and check digits (modulo 97) of an IBAN."""
    iban = compact(value).upper()
    if _IBAN.fullmatch(iban) is None:
        return False
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1
