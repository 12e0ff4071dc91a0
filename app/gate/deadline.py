"""How long a client is ready to wait."""

from collections.abc import Mapping
from typing import Final

from app.gate.problems import Refused

HEADER: Final = "x-deadline-ms"
_MOST_DIGITS: Final = 9


def asked_s(headers: Mapping[str, str]) -> float | None:
    """`X-Deadline-Ms` in seconds: whole milliseconds, 1 or more. It shortens the gateway's own deadline, never extends.

    Raises Refused: a deadline that nobody understood must not be taken for none.
    """
    value = headers.get(HEADER)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS and int(value) > 0):
        raise Refused("BAD_REQUEST", "X-Deadline-Ms must be a whole number of milliseconds, 1 or more.")
    return int(value) / 1000
