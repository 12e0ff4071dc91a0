"""Looking at what webhooks did, for tests."""

import time
from collections.abc import Callable
from typing import Any


def eventually(look: Callable[[], Any], what: str, within_s: float = 20) -> Any:
    """What `look` answers once that is something."""
    give_up_at = time.monotonic() + within_s
    while time.monotonic() < give_up_at:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"never seen: {what}")
