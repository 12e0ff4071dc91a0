"""Parses values in replies, tolerant of spelling and type. Unreadable values are None; nothing here raises."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from app.vault.model import Expiry
from app.vault.pan import looks_like_card_number

_PLAIN: Final = re.compile(r"[A-Za-z0-9_~-]*").fullmatch
_SEPARATORS: Final = re.compile(r"[\s\-]")
_MASKED: Final = re.compile(r"[^A-WYZa-wyz]*", re.ASCII).fullmatch
_BIN: Final = re.compile(r"([0-9]{6,8})(?:[*xX#●•].*)?").fullmatch
_MOST_DIGITS: Final = 18
_LONGEST_MESSAGE: Final = 250
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./ -]{0,49}").fullmatch
_MANY_DIGITS: Final = re.compile(r"(?:[0-9][^0-9]*){5}").search


def text(value: object) -> str | None:
    """A string without surrounding blanks; None when it is empty or not a string."""
    return (value.strip() or None) if isinstance(value, str) else None


def message(value: object) -> str | None:
    """A vault's words for people: one line of at most 250 characters; None for anything that contains a card number."""
    spelled = text(value)
    if spelled is None or looks_like_card_number(spelled):
        return None
    return " ".join(spelled.split())[:_LONGEST_MESSAGE]


def texts(record: Mapping[str, Any], names: Iterable[str]) -> list[str | None]:
    """`text` of several members. One call for all: records are read for every reply that has changed."""
    found: list[str | None] = []
    for name in names:
        value = record.get(name)
        found.append((value.strip() or None) if isinstance(value, str) else None)
    return found


def word(value: object) -> str | None:
    """A vault's word for display, if it looks like one; nothing with the digits of a card number passes."""
    spelled = text(value)
    return spelled if spelled and _WORD(spelled) and not _MANY_DIGITS(spelled) else None


def digits(value: object) -> str:
    """The ASCII digits of a string, in order."""
    return "".join(char for char in value if char in "0123456789") if isinstance(value, str) else ""


def integer(value: object) -> int | None:
    """A whole number: JSON integers, floats without a fraction, decimal text of up to 18 digits. No booleans."""
    if isinstance(value, int):
        return None if isinstance(value, bool) else value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    spelled = text(value)
    is_number = spelled is not None and spelled.isascii() and spelled.isdecimal() and len(spelled) <= _MOST_DIGITS
    return int(spelled) if spelled is not None and is_number else None


def segment(part: str) -> str:
    """One path segment, percent-encoded. Letters, digits, ``-`` and ``_``, of which most refs consist, stay."""
    return part if _PLAIN(part) is not None else quote(part, safe="")


def path_of(*parts: str) -> str:
    """A path; all parts but the first are encoded as segments."""
    return "/".join([parts[0], *map(segment, parts[1:])])


def last4_of(value: object) -> str | None:
    """The last four digits of a masked or plain number, or None if it does not end in four digits.

    The number itself is not stored. Blanks and dashes between digits are ignored, and so is the mask, but letters other
    than X are no mask. A JSON number has lost its leading zeros: 7 is 0007.
    """
    if not isinstance(value, str):
        number = integer(value)
        return None if number is None or number < 0 else f"{number:04d}"[-4:]
    tail = value[-4:]
    if tail == value and len(tail) == 4 and tail.isascii() and tail.isdigit():  # the usual form
        return tail
    if not (tail.isascii() and tail.isdigit()):
        tail = _SEPARATORS.sub("", value)[-4:]
    return tail if len(tail) == 4 and tail.isascii() and tail.isdigit() and _MASKED(value) else None


def bin_of(value: object) -> str | None:
    """The first six or eight digits, alone or before a mask; of seven the first six. Card numbers do not start with
    zero, so a JSON number is complete.
    """
    if isinstance(value, str) and len(value) == 6 and value.isascii() and value.isdigit():
        return value
    number = None if isinstance(value, str) else integer(value)
    spelled = text(value) if number is None else str(number)
    found = _BIN(_SEPARATORS.sub("", spelled)) if spelled else None
    if found is None:
        return None
    return found[1][:6] if len(found[1]) == 7 else found[1]


def postal_code_of(value: object) -> str | None:
    """Text, or a JSON number of at least five digits: a shorter one may have lost leading zeros."""
    number = None if isinstance(value, str) else integer(value)
    return text(value) if number is None or number < 10_000 else str(number)


_FLAGS: Final = {
    **dict.fromkeys(("1", "1.0", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "0.0", "false", "f", "no", "n", "off"), False),
}


def flag(value: object) -> bool | None:
    """True or False: JSON booleans, 1 and 0, or words for them in any case; None for anything else."""
    if isinstance(value, int) and value in (0, 1):  # true and false are integers too
        return value == 1
    return _FLAGS.get(str(value).strip().lower()) if isinstance(value, (str, float)) else None


month_of: Final = lru_cache(maxsize=1_200)(Expiry)  # a hundred years of months: few distinct ones occur
"""``Expiry(year, month)``, cached; raises ValueError for an invalid month."""

_EXPIRY_SHAPES: Final = (
    re.compile(r"^(?P<year>\d{4})[-/.](?P<month>\d{1,2})(?:[-/.]\d{1,2}(?:[T ].*)?)?$", re.ASCII),
    re.compile(r"^(?P<month>\d{1,2})\s*[/.-]\s*(?P<year>\d{4}|\d{2})$", re.ASCII),
    re.compile(r"^(?P<month>\d{1,2})/\d{1,2}/(?P<year>\d{4})(?:\s.*)?$", re.ASCII),
    re.compile(r"^(?P<month>0[1-9]|1[0-2])(?P<year>\d{4}|\d{2})$", re.ASCII),
    re.compile(r"^(?P<year>\d{4})(?P<month>0[1-9]|1[0-2])$", re.ASCII),
)
_EPOCH: Final = re.compile(r"^/Date\((-?\d+)(?:[+-]\d{4})?\)/$", re.ASCII)
_LEAST_SECONDS: Final = 10**8  # smaller numbers are hardly times: 1973
_LEAST_MILLISECONDS: Final = 10**11  # as seconds this would be the year 5138
_A_DAY: Final = len("YYYY-MM-DD")


def expiry_of(value: object) -> Expiry | None:
    """A month in any of the spellings that vaults use, or None. Two-digit years are 20xx.

    `YYYY-MM(-DD)` (with or without a time), `MM/YYYY`, `MM/YY`, `M/D/YYYY`, `MMYYYY`, `MMYY`, `YYYYMM`, the last three
    also as a number, and `/Date(seconds)/` or `/Date(milliseconds)/`.
    """
    spelled = text(value)
    if spelled is None:
        number = integer(value)
        if number is None or number <= 0:
            return None
        spelled = str(number)
        spelled = spelled if len(spelled) % 2 == 0 else f"0{spelled}"
    # Text longer than a date, which might be anything, is not cached.
    return _month_once(spelled) if len(spelled) <= _A_DAY else _month(spelled)


def read_expiry(value: object) -> tuple[Expiry | None, bool]:
    """The month, and True if there is an unreadable value. Null, blanks and LoanPro's null date count as no value.

    Words such as "none" count as unreadable: only the vault knows what it means by them.
    """
    found = _month_once(value) if type(value) is str and len(value) <= _A_DAY else expiry_of(value)
    if found is not None or value is None:
        return found, False
    spelled = text(value)
    return None, not isinstance(value, str) or (spelled is not None and not _is_null_date(spelled))


def read_month(month: object, year: object) -> tuple[Expiry | None, bool]:
    """Like `read_expiry`, for separate month and year."""
    if (month is None or isinstance(month, str)) and _is_blank(month) and _is_blank(year):
        return None, False
    in_year = year if type(year) is int else integer(year)
    in_month = month if type(month) is int else integer(month)
    if in_year is None or in_month is None:
        return None, True
    try:
        return month_of(in_year + 2000 if 0 < in_year < 100 else in_year, in_month), False
    except ValueError:
        return None, True


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_null_date(spelled: str) -> bool:
    return _EPOCH.match(spelled) is not None and "-" in spelled and instant_of(spelled) is None


def _month(spelled: str) -> Expiry | None:
    if _EPOCH.match(spelled):
        instant = instant_of(spelled)
        return month_of(instant.year, instant.month) if instant else None
    for shape in _EXPIRY_SHAPES:
        if found := shape.match(spelled):
            year, month = int(found["year"]), int(found["month"])
            try:
                return month_of(year + 2000 if len(found["year"]) == 2 else year, month)
            except ValueError:
                return None
    return None


_month_once: Final = lru_cache(maxsize=1_024)(_month)


def instant_of(value: object) -> datetime | None:
    """An aware UTC datetime from ISO 8601, `/Date(...)/` or a number since 1970; None for null dates and unreadable
    values.

    Text without an offset is UTC. Up to eleven digits are seconds, more are milliseconds. Vaults write "no date" as an
    instant before 1900.
    """
    number = None if isinstance(value, str) else integer(value)
    spelled = text(value) if number is None else f"/Date({number})/"
    if spelled is None or (number is not None and abs(number) < _LEAST_SECONDS):
        return None
    try:
        if epoch := _EPOCH.match(spelled):
            number = int(epoch[1])
            seconds = number / 1000 if abs(number) >= _LEAST_MILLISECONDS else number
            instant = datetime.fromtimestamp(seconds, UTC)
        else:
            instant = datetime.fromisoformat(spelled)
        instant = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return instant if instant.year >= 1900 else None
