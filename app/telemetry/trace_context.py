"""W3C Trace Context: what a caller's tracing sends along, passed on to the vaults.

https://www.w3.org/TR/trace-context/
"""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from app.vault.pan import looks_like_card_number

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACESTATE: Final = re.compile(r"[ -~]{1,512}")
_FIRST_VERSION: Final = "00"
_LENGTH: Final = 55  # of version 00, which later ones begin with


class TraceContext(Struct, frozen=True):  # created in C, without a Python call
    """`traceparent` is of version 00; `tracestate` is None if there is none."""

    trace_id: str
    traceparent: str
    tracestate: str | None = None


def read_trace_context(headers: Mapping[str, str]) -> TraceContext | None:
    """The trace context of a request's headers, None if there is none or it is invalid.

    Headers that hold a card number are ignored.
    """
    given = headers.get("traceparent", "")
    found = _TRACEPARENT.fullmatch(given)
    if found is None or looks_like_card_number(given) or (found[2] and given.startswith(_FIRST_VERSION)):
        return None
    state: str | None = headers.get("tracestate", "")
    if not state or _TRACESTATE.fullmatch(state) is None or looks_like_card_number(state):
        state = None
    return TraceContext(found[1], _FIRST_VERSION + given[len(_FIRST_VERSION) : _LENGTH], state)
