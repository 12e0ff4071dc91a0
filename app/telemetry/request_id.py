"""Request ids, and that of the current request."""

import time
from contextvars import ContextVar
from random import getrandbits
from typing import Final

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("vaultgraph_request_id", default=None)


def new_request_id() -> str:
    """32 hexadecimal digits: milliseconds first, so that ids sort by time, then 80 random bits."""
    return (time.time_ns() // 1_000_000 << 80 | getrandbits(80)).to_bytes(16, "big").hex()
