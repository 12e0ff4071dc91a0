"""Detects card numbers in text, for every input and the redactor. Pure.

A card number is 12 to 19 digits that match an issuer's range, a length which that issuer uses, and the check digit
(ISO/IEC 7812-1, Annex B). Up to three characters other than letters and digits may separate two digits. Digits of every
script count.

Adjacent digits belong together: a longer unbroken run that merely contains a card number is not one. Identifiers and
other standard forms are not card numbers either: UUIDs, ULIDs, hexadecimal ids of 24 to 128 characters, ISO 8601 dates
and times, IPv4 addresses, fractions (``0.4111111111111111``) and telephone numbers with a leading ``+``.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

Span = tuple[int, int]

_LEAST, _MOST = 12, 19
# First and last prefix, both included, and the lengths in use.
_RANGES: Final[tuple[tuple[str, str, Iterable[int]], ...]] = (
    ("4", "4", (13, 16, 19)),  # Visa, and Elo, Dankort and others that share its range
    ("4903", "4903", (18,)),  # Switch
    ("4905", "4905", (18,)),
    ("4911", "4911", (18,)),
    ("4936", "4936", (18,)),
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("300", "305", range(14, 20)),  # Diners Club
    ("3095", "3095", range(14, 20)),
    ("36", "36", range(14, 20)),
    ("38", "39", range(14, 20)),
    ("3528", "3589", range(16, 20)),  # JCB; RuPay's 353 and 356, LankaPay
    ("2131", "2131", (15,)),
    ("1800", "1800", (15,)),
    # Maestro's whole range, which contains Discover 6011, 644-649 and 65, UnionPay 62, RuPay 508, 60 and 65, Elo 50,
    # 636 and 65, Verve 506, 507 and 650, Troy 65, Hipercard 6062, InterPayment 636, Laser, Solo, Bankcard, mada,
    # eftpos.
    ("50", "50", range(12, 20)),
    ("56", "69", range(12, 20)),
    ("81", "82", (16, 17, 18, 19)),  # RuPay, and UnionPay's 81
    ("2200", "2205", range(16, 20)),  # Mir, Borica
    ("9792", "9792", (16,)),  # Troy
    ("9704", "9704", (16, 19)),  # NAPAS
    ("9860", "9860", (16,)),  # Humo
    ("8600", "8600", (16,)),  # Uzcard
    ("9051", "9051", (16,)),  # ArCa
    ("1946", "1946", (16,)),  # GPN
    ("1", "1", (15,)),  # UATP
)
_PREFIX = 4  # the longest prefix of any range
_LENGTHS: Final[dict[str, frozenset[int]]] = {}
"""By the first four digits."""
for _low, _high, _lengths in _RANGES:
    for _number in range(int(_low.ljust(_PREFIX, "0")), int(_high.ljust(_PREFIX, "9")) + 1):
        _prefix = f"{_number:04d}"
        _LENGTHS[_prefix] = _LENGTHS.get(_prefix, frozenset()) | frozenset(_lengths)
_DIGITS: Final = b"0123456789"
_MAYBE: Final = re.compile(rf"[0-9](?:[\W_]{{0,3}}[0-9]){{{_LEAST - 1}}}")  # \W: all but letters, digits and _
_GROUP: Final = re.compile(r"[0-9]+")
_GAP: Final = re.compile(r"[\W_]{1,3}")
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_KNOWN_FORMS: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # UUID
    r"|(?:[0-9a-f]{8}){3,16}+|(?:[0-9A-F]{8}){3,16}+"  # ids and digests of 96 to 512 bits
    r"|[0-7][0-9A-HJKMNP-TV-Z]{25}|[0-7][0-9a-hjkmnp-tv-z]{25}"  # ULID
    r")(?![0-9A-Za-z])"
    # ISO 8601, RFC 3339
    r"|(?<![0-9])(?:19|20|21)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-6][0-9](?:[.,][0-9]{1,9})?)?(?:[+-][0-9]{2}:?[0-9]{2})?)?(?![0-9])"
    rf"|(?<![0-9.])(?:{_OCTET}\.){{3}}{_OCTET}(?::[0-9]{{1,5}})?(?![0-9.])"  # IPv4, with a port
    r"|(?<![\w.])0\.[0-9]+(?![0-9.])"
)
_DOUBLED: Final = str.maketrans("0123456789", "0246813579")  # twice the digit, minus 9 if that has two digits
_LONGEST_PHONE: Final = 15  # E.164
# Country codes in Amex's and Diners' ranges, where telephone numbers have at most 13 digits.
_SHORTER_PHONES: Final = ("30", "34", "36", "37", "38")


def looks_like_card_number(text: str) -> bool:
    """True when `text` contains a card number, alone or among other words."""
    if text.isascii() and len(text) - len(text.encode().translate(None, _DIGITS)) < _LEAST:
        return False  # as most texts; counting digits costs less than a search
    return next(_spans(text), None) is not None


def card_number_spans(text: str) -> list[Span]:
    """The positions of card numbers in `text`, in order, as half-open ranges that do not overlap."""
    return list(_spans(text))


def _spans(text: str) -> Iterator[Span]:
    if len(text) < _LEAST:
        return
    if not text.isascii():
        text = "".join(map(_ascii_digit, text))
    if _MAYBE.search(text) is None:
        return
    text = _KNOWN_FORMS.sub(_blanked, text)
    for groups in _runs(text):
        first = 0
        while first < len(groups):
            taken = _number_at(text, groups, first)
            if taken:
                yield groups[first][0], groups[first + taken - 1][1]
            first += taken or 1


def _ascii_digit(char: str) -> str:
    return char if char.isascii() or (digit := unicodedata.digit(char, None)) is None else str(digit)


def _blanked(known: re.Match[str]) -> str:
    """Letters of the same length, so that digits on both sides are not joined."""
    return "x" * (known.end() - known.start())


def _runs(text: str) -> Iterator[list[Span]]:
    """Groups of adjacent digits, in lists of groups with only separators between them."""
    found = [group.span() for group in _GROUP.finditer(text)]
    run = found[:1]
    for before, group in pairwise(found):
        if group[0] - before[1] > 3 or not _GAP.fullmatch(text, before[1], group[0]):
            yield run
            run = []
        run.append(group)
    yield run


def _number_at(text: str, groups: list[Span], first: int) -> int:
    """The number of whole groups from `first` on that form a card number, preferring more; 0 for none."""
    digits, best, lengths = "", 0, None
    for index in range(first, min(first + _MOST, len(groups))):
        start, end = groups[index]
        if len(digits) + end - start > _MOST:
            break
        digits += text[start:end]
        if lengths is None and len(digits) >= _PREFIX:
            lengths = _LENGTHS.get(digits[:_PREFIX])
            if lengths is None:
                break
        if lengths and len(digits) in lengths and _check_digit_is_right(digits):
            best = best if _is_phone(text, groups[first][0], digits) else index - first + 1
    return best


def _check_digit_is_right(digits: str) -> bool:
    return (sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))) % 10 == 0


def _is_phone(text: str, start: int, digits: str) -> bool:
    """True for an E.164 number: a + and up to 15 digits."""
    if start == 0 or text[start - 1] not in "+＋" or len(digits) > _LONGEST_PHONE:
        return False
    return not (len(digits) > _LONGEST_PHONE - 2 and digits.startswith(_SHORTER_PHONES))
