"""What looks like a card number. Pure, and imports nothing of ours.

Three things must agree: an issuer's range, a length that issuer uses, and the check digit (ISO/IEC 7812-1, Annex B).
Ids, timestamps and telephone numbers nearly always fail one of them.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

Span = tuple[int, int]

_LEAST, _MOST = 13, 19
# Leading digits as numbers, both ends included, and the lengths in use.
_RANGES: Final[tuple[tuple[str, str, Iterable[int]], ...]] = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # MasterCard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("6011", "6011", range(16, 20)),  # Discover
    ("644", "649", range(16, 20)),
    ("65", "65", range(16, 20)),
    ("622126", "622925", range(16, 20)),
    ("3528", "3589", range(16, 20)),  # JCB
    ("300", "305", range(14, 20)),  # Diners Club
    ("3095", "3095", range(14, 20)),
    ("36", "36", range(14, 20)),
    ("38", "39", range(14, 20)),
    ("62", "62", range(16, 20)),  # UnionPay
    ("5018", "5018", range(13, 20)),  # Maestro
    ("5020", "5020", range(13, 20)),
    ("5038", "5038", range(13, 20)),
    ("5893", "5893", range(13, 20)),
    ("6304", "6304", range(13, 20)),
    ("6759", "6763", range(13, 20)),
)
_BY_LENGTH: Final = {
    length: tuple((low, high) for low, high, lengths in _RANGES if length in lengths)
    for length in range(_LEAST, _MOST + 1)
}
_GAP: Final = r"[ \t\u00a0\u2000-\u200d\u202f\u3000\-\u2010-\u2015\u2212]{1,2}"
_RUN: Final = re.compile(rf"\d(?:(?:{_GAP})?\d){{{_LEAST - 1},}}")  # \d: digits of every script
_GROUP: Final = re.compile(r"\d+")
_UUID: Final = re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9a-fA-F])")
_HEX: Final = re.compile("[0-9a-fA-F]+").fullmatch
_LONGEST_ID: Final = 128
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def looks_like_card_number(text: str) -> bool:
    """True when `text` contains a card number, alone or among other words."""
    return next(_spans(text), None) is not None


def card_number_spans(text: str) -> list[Span]:
    """Where the card numbers in `text` are, in order, as half-open character ranges that do not overlap.

    Spaces and dashes between the digits are part of it. Left alone: digits inside a longer unbroken run of digits,
    hexadecimal ids and UUIDs, fractions (``0.4111111111111111``) and numbers with a leading ``+`` (telephones).
    """
    return list(_spans(text))


def _spans(text: str) -> Iterator[Span]:
    if len(text) < _LEAST:
        return
    uuids: list[Span] | None = None
    for run in _RUN.finditer(text):
        if uuids is None:
            uuids = [found.span() for found in _UUID.finditer(text)]
        groups = [found.span() for found in _GROUP.finditer(text, *run.span())]
        done = 0
        while done < len(groups):
            taken = _number_at(text, groups, done)
            span = (groups[done][0], groups[done + taken - 1][1]) if taken else None
            if span is not None and not _is_something_else(text, span, uuids):
                yield span
                done += taken
            else:
                done += 1


def _number_at(text: str, groups: list[Span], first: int) -> int:
    """How many whole groups from `first` on make a card number, the longest first; 0 for none."""
    digits, best = "", 0
    for index in range(first, min(first + _MOST, len(groups))):
        start, end = groups[index]
        if len(digits) + end - start > _MOST:
            break
        digits += text[start:end]
        if len(digits) >= _LEAST and _is_card_number(digits):
            best = index - first + 1
    return best


def _is_card_number(digits: str) -> bool:
    if not digits.isascii():
        digits = "".join(str(int(digit)) for digit in digits)
    in_range = any(low <= digits[: len(low)] <= high for low, high in _BY_LENGTH[len(digits)])
    return in_range and _check_digit_is_right(digits)


def _check_digit_is_right(digits: str) -> bool:
    straight = sum(map(int, digits[-1::-2]))
    doubled = sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])
    return (straight + doubled) % 10 == 0


def _is_something_else(text: str, span: Span, uuids: list[Span]) -> bool:
    start, end = span
    before = text[start - 1] if start else ""
    if before == "+" or (before == "." and start > 1 and text[start - 2].isdigit()):
        return True
    if any(low < end and start < high for low, high in uuids):
        return True
    return _is_in_hex_word(text, start, end)


def _is_in_hex_word(text: str, start: int, end: int) -> bool:
    """Glued to a-f, in a word that has no other letters: an id, not a number after a word like ``card``.

    No further than an id is long, or a text made of such words would take quadratic time.
    """
    low, high = start, end
    while low > max(0, start - _LONGEST_ID) and text[low - 1].isascii() and text[low - 1].isalnum():
        low -= 1
    while high < min(len(text), end + _LONGEST_ID) and text[high].isascii() and text[high].isalnum():
        high += 1
    around = text[low:start] + text[end:high]
    return bool(around) and _HEX(around) is not None
