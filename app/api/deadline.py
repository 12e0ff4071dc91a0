"""The client's deadline, from a request header."""

from collections.abc import Mapping
from typing import Final

from app.api.problems import RequestRefused

HEADER: Final = "x-deadline-ms"
_MOST_DIGITS: Final = 9


def asked_s(headers: Mapping[str, str]) -> float | None:
    """`X-Deadline-Ms` in seconds; None without the header. It can shorten the gateway's deadline, never extend it.

    Raises RequestRefused if it is not a whole number of milliseconds, 1 or more.
    """
    value = headers.get(HEADER)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS and int(value) > 0):
        raise RequestRefused("BAD_REQUEST", "X-Deadline-Ms must be a whole number of milliseconds, 1 or more.")
    return int(value) / 1000
