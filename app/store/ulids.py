"""Ids that sort by creation time, with a prefix for their type."""

import os
import threading
import time
from datetime import datetime
from typing import Final

from ulid import ULID

API_KEY: Final = "key_"
CUSTOMER: Final = "cus_"
ENDPOINT: Final = "ep_"
EVENT: Final = "evt_"
METHOD: Final = "pm_"
OPERATION: Final = "op_"
PAYMENT: Final = "pay_"

_RANDOM_BITS: Final = 80


class _Sequence:
    """Strictly increasing ULIDs as integers, even if the clock stands still or goes back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | int.from_bytes(os.urandom(_RANDOM_BITS // 8), "big")
        with self._lock:
            if fresh >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:
                fresh = self._last + 1
            self._last = fresh
        return fresh


_SEQUENCE: Final = _Sequence()


def new_id(prefix: str) -> str:
    """For example ``op_01KA...``: greater than every earlier id of that prefix in this process."""
    return f"{prefix}{ULID.from_int(_SEQUENCE.next())}"


def first_id_at(prefix: str, at: datetime) -> str:
    """The lowest id of that prefix for this time, in milliseconds."""
    milliseconds = max(int(at.timestamp() * 1_000), 0)
    return f"{prefix}{ULID.from_int(milliseconds << _RANDOM_BITS)}"


def new_id_after(prefix: str, last: str | None) -> str:
    """Like `new_id`, but also greater than `last`, which may come from a process with a faster clock."""
    fresh = new_id(prefix)
    if last is None or fresh > last:
        return fresh
    return f"{prefix}{ULID.from_int(int(ULID.from_str(last.removeprefix(prefix))) + 1)}"
