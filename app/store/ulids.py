"""Ids that sort by the time they were made, each telling its kind by a prefix."""

import os
import threading
import time
from typing import Final

from ulid import ULID

CUSTOMER: Final = "cus_"
EVENT: Final = "evt_"
METHOD: Final = "pm_"
OPERATION: Final = "op_"
PAYMENT: Final = "pay_"

_RANDOM_BITS: Final = 80


class _Sequence:
    """ULIDs as numbers, each greater than the last even when the clock stands still or goes back."""

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
    """``op_01KA...``: greater than every id of that prefix made earlier by this process."""
    return f"{prefix}{ULID.from_int(_SEQUENCE.next())}"


def new_id_after(prefix: str, last: str | None) -> str:
    """As `new_id`, and greater than `last` too, which another process with a faster clock may have made."""
    fresh = new_id(prefix)
    if last is None or fresh > last:
        return fresh
    return f"{prefix}{ULID.from_int(int(ULID.from_str(last.removeprefix(prefix))) + 1)}"
