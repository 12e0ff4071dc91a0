"""International bank account numbers (ISO 13616)."""

import re
from typing import Final

_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_SEPARATORS: Final = re.compile(r"[\s-]")


def compact(value: str) -> str:
    """Without the spaces and dashes that people write into account codes."""
    return _SEPARATORS.sub("", value)


def is_iban(value: str) -> bool:
    """Up to 34 characters that leave 1 modulo 97, letters read as 10 to 35."""
    iban = compact(value).upper()
    if _IBAN.fullmatch(iban) is None:
        return False
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1
