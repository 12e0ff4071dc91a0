"""Retry policy: retry budget, backoff and `Retry-After`."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from app.http.breaker_window import SlidingCount

_WINDOW_S: Final = 10.0
_LEAST_RETRIES: Final = 2
_BASE_S: Final = 0.05
_CEILING_S: Final = 1.0
_WORTH_TRYING_S: Final = 0.02
MAX_PAUSE_S: Final = 30.0


class RetryBudget:
    """Limits retries to one vault: at most `ratio` of the calls of the last ten seconds, but at least two.

    The minimum allows retries at low traffic. It is not added on top, so a vault that is down receives at most `ratio`
    more calls.
    """

    def __init__(self, ratio: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ratio = ratio
        self._clock = clock
        self.window = SlidingCount(_WINDOW_S)

    def record_call(self, now: float) -> None:
        """`now` is on the monotonic clock, as a loop's time is."""
        window = self.window
        if now >= window.ends_at:
            window.roll(now)
        window.current[0] += 1
        window.total += 1

    def try_spend(self) -> bool:
        """Spend one retry; False if the budget is exhausted."""
        self.window.roll(self._clock())
        if self.window.marked + 1 > max(_LEAST_RETRIES if self._ratio else 0, self._ratio * self.window.total):
            return False
        self.window.add(self._clock(), 0, 1)
        return True


def backoff_s(failures: int) -> float:
    """Exponential backoff with full jitter: a random delay up to 50 ms, 100 ms, 200 ms, ... at most 1 s."""
    return random.uniform(0.0, min(_CEILING_S, _BASE_S * 2 ** (failures - 1)))  # noqa: S311 - spreads load


def is_worth_trying(now: float, delay_s: float, deadline_at: float) -> bool:
    return now + delay_s + _WORTH_TRYING_S < deadline_at


def retry_after_s(value: str | None) -> float | None:
    """`Retry-After` in seconds: a number or an HTTP date (RFC 9110 §10.2.3); None when absent or unreadable."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


class RetryAfter:
    """Blocks calls until the vault's `Retry-After`, at most 30 s."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = 0.0
        self.is_asked = False
        """Whether a `Retry-After` was ever received; saves reading the clock."""

    def set(self, seconds: float) -> None:
        self._until = max(self._until, self._clock() + min(seconds, MAX_PAUSE_S))
        self.is_asked = True

    def remaining_s(self) -> float:
        return max(0.0, self._until - self._clock()) if self._until else 0.0
