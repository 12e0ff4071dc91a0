"""Values as vaults write them: tolerant of spelling, and None or ValueError for what is none."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from app.vault.model import Expiry

_PLAIN: Final = re.compile(r"[A-Za-z0-9-]*").fullmatch
_LINK_CHARACTERS: Final = re.compile(r"[\s\-]")


def text(value: object) -> str | None:
    """A string without surrounding blanks; None when it is empty or not a string."""
    return (value.strip() or None) if isinstance(value, str) else None


def digits(value: object) -> str:
    """The ASCII digits of a string, in order."""
    return "".join(char for char in value if char in "0123456789") if isinstance(value, str) else ""


def segment(part: str) -> str:
    """One part of a path, percent-encoded. What most refs are made of, letters, digits and dashes, stays as it is."""
    return part if _PLAIN(part) is not None else quote(part, safe="")


def last4_of(value: object) -> str | None:
    """The final four digits of a masked or plain number, or None when it does not end in four digits.

    The number itself is not kept; blanks and dashes between digits are ignored.
    """
    if not isinstance(value, str):
        return None
    tail = value[-4:]
    if not tail.isdigit():
        tail = _LINK_CHARACTERS.sub("", value)[-4:]
    return tail if len(tail) == 4 and tail.isascii() and tail.isdigit() else None


_FLAGS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


def flag(value: object) -> bool:
    """Vault booleans: true/false, 1/0, or the same as text. Anything else raises ValueError; None is false."""
    if isinstance(value, int) and value in (0, 1):  # true and false are integers too
        return value == 1
    if value is None:
        return False
    spelled = str(value).strip().lower()
    if spelled not in _FLAGS:
        raise ValueError("not a flag")
    return _FLAGS[spelled]


month_of: Final = lru_cache(maxsize=1_200)(Expiry)  # a hundred years: cards share few months
"""``Expiry(year, month)``, the same one for the same month; raises ValueError where it is none."""

_EXPIRY_SHAPES: Final = (
    re.compile(r"^(?P<year>\d{4})-(?P<month>\d{1,2})(?:-\d{1,2}(?:[T ].*)?)?$"),
    re.compile(r"^(?P<month>\d{1,2})\s*[/-]\s*(?P<year>\d{4}|\d{2})$"),
    re.compile(r"^(?P<month>\d{1,2})/\d{1,2}/(?P<year>\d{4})(?:\s.*)?$"),
    re.compile(r"^(?P<month>0[1-9]|1[0-2])(?P<year>\d{4}|\d{2})$"),
    re.compile(r"^(?P<year>\d{4})(?P<month>0[1-9]|1[0-2])$"),
)
_EPOCH_SECONDS: Final = re.compile(r"^/Date\((-?\d+)(?:[+-]\d{4})?\)/$")
_A_DAY: Final = len("YYYY-MM-DD")


def expiry_of(value: object) -> Expiry | None:
    """A month in any of the spellings the vaults use; None when it is none of them. Two-digit years are 20xx.

    `YYYY-MM(-DD)` (with or without a time), `MM/YYYY`, `MM/YY`, `M/D/YYYY`, `MMYYYY`, `MMYY`, `YYYYMM`,
    `/Date(seconds)/`.
    """
    spelled = text(value)
    if spelled is None:
        return None
    # What is longer than a day, and might be no date at all, is never kept.
    return _month_once(spelled) if len(spelled) <= _A_DAY else _month(spelled)


def _month(spelled: str) -> Expiry | None:
    if _EPOCH_SECONDS.match(spelled):
        instant = instant_of(spelled)
        return month_of(instant.year, instant.month) if instant else None
    for shape in _EXPIRY_SHAPES:
        if found := shape.match(spelled):
            year, month = int(found["year"]), int(found["month"])
            try:
                return month_of(year + 2000 if year < 100 else year, month)
            except ValueError:
                return None
    return None


_month_once: Final = lru_cache(maxsize=1_024)(_month)


def instant_of(value: object) -> datetime | None:
    """An aware UTC instant from ISO 8601 or `/Date(seconds)/` text; None for null dates and anything unreadable.

    Text without an offset is UTC. Vaults write "no date" as an instant before 1900.
    """
    spelled = text(value)
    if spelled is None:
        return None
    try:
        if epoch := _EPOCH_SECONDS.match(spelled):
            instant = datetime.fromtimestamp(int(epoch[1]), UTC)
        else:
            instant = datetime.fromisoformat(spelled)
    except (ValueError, OverflowError, OSError):
        return None
    instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    return instant if instant.year >= 1900 else None
