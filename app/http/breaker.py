"""Circuit breaker: stops calls to a vault for a while when too many of them fail."""

import time
from collections.abc import Callable
from enum import Enum

from app.http.breaker_window import SlidingCount
from app.http.settings import BreakerSettings


class CallVerdict(Enum):
    """Whether one call counts as a success or a failure of the vault."""

    GOOD = "good"  # any status below 500
    BAD = "bad"
    NONE = "none"  # not counted: cancelled, deadline too short, concurrency limit reached, throttled


class Breaker:
    """CLOSED counts failures; OPEN rejects calls; HALF_OPEN admits one probe and rejects the rest until it returns.

    `admit` returns a generation number that `record` takes, so that calls admitted before a state change are not
    counted after it.
    """

    def __init__(self, settings: BreakerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.state = "CLOSED"
        self.on_change: list[Callable[[str], None]] = []
        self._settings = settings
        self._clock = clock
        self._window = SlidingCount(settings.window_s)
        self.generation = 0
        """The permit of every call while the circuit is CLOSED."""
        self._opened_at = 0.0
        self._is_probing = False

    def admit(self) -> int | None:
        """A permit for one call, or None while the circuit rejects calls. Pass every permit to `record`."""
        if self.state == "CLOSED":
            return self.generation
        if self.state == "OPEN":
            if self._clock() - self._opened_at < self._settings.open_for_s:
                return None
            self._set_state("HALF_OPEN")
        if self._is_probing:
            return None
        self._is_probing = True
        return self.generation

    def record(self, permit: int, verdict: CallVerdict, now: float | None = None) -> None:
        """`now` is the clock's time, if it is known."""
        if permit != self.generation:
            return
        if self.state == "HALF_OPEN":
            self._is_probing = False
            if verdict is not CallVerdict.NONE:
                self._set_state("CLOSED" if verdict is CallVerdict.GOOD else "OPEN")
        elif verdict is not CallVerdict.NONE:
            window, settings = self._window, self._settings
            if now is None:
                now = self._clock()
            if now >= window.ends_at:
                window.roll(now)
            window.current[0] += 1
            window.total += 1
            if verdict is CallVerdict.BAD:
                window.current[1] += 1
                window.marked += 1
            if window.total >= settings.minimum_calls and window.marked >= settings.failure_ratio * window.total:
                self._set_state("OPEN")

    def retry_after_s(self) -> float:
        """Seconds until the circuit may admit a probe; 0 unless it is OPEN."""
        if self.state != "OPEN":
            return 0.0
        return max(0.0, self._opened_at + self._settings.open_for_s - self._clock())

    def would_refuse(self) -> bool:
        """Whether `admit` would return None. Changes no state."""
        return self.state != "CLOSED" and (self._is_probing or self.retry_after_s() > 0)

    def _set_state(self, state: str) -> None:
        self.state = state
        self.generation += 1
        self._is_probing = False
        self._window.clear()
        if state == "OPEN":
            self._opened_at = self._clock()
        for listener in self.on_change:
            listener(state)
