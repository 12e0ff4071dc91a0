"""Waits for a condition of another thread or process."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], what: str = "the condition", within_s: float = 60) -> T:
    """Poll `look` until it returns something true; that is the result. Raises AssertionError after `within_s`."""
    give_up_at = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < give_up_at, f"never seen: {what}"
        time.sleep(0.02)
    return found
