"""Stop calling a vault for a moment when too many calls to it fail."""

import time
from collections.abc import Callable
from enum import Enum

from app.http.settings import BreakerSettings
from app.http.window import SlidingCount


class Verdict(Enum):
    """What one call says about the vault's health."""

    GOOD = "good"  # it answered below 500, whatever the answer
    BAD = "bad"
    NONE = "none"  # cancelled, given too little time, refused by our own cap, throttled


class Breaker:
    """CLOSED counts; OPEN refuses; HALF_OPEN lets one probe through and refuses the rest until it is back.

    `admit` and `record` pair up by a generation number, so that a call begun before a change of state cannot speak
    for the state after it.
    """

    def __init__(self, settings: BreakerSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.state = "CLOSED"
        self.on_change: list[Callable[[str], None]] = []
        self._settings = settings
        self._clock = clock
        self._window = SlidingCount(settings.window_s)
        self._generation = 0
        self._opened_at = 0.0
        self._is_probing = False

    def admit(self) -> int | None:
        """A permit for one call, or None while the circuit refuses. Every permit must come back through `record`."""
        if self.state == "CLOSED":
            return self._generation
        if self.state == "OPEN":
            if self._clock() - self._opened_at < self._settings.open_for_s:
                return None
            self._become("HALF_OPEN")
        if self._is_probing:
            return None
        self._is_probing = True
        return self._generation

    def record(self, permit: int, verdict: Verdict) -> None:
        if permit != self._generation:
            return
        if self.state == "HALF_OPEN":
            self._is_probing = False
            if verdict is not Verdict.NONE:
                self._become("CLOSED" if verdict is Verdict.GOOD else "OPEN")
        elif verdict is not Verdict.NONE:
            window, settings = self._window, self._settings
            window.add(self._clock(), 1, verdict is Verdict.BAD)
            if window.total >= settings.minimum_calls and window.marked >= settings.failure_ratio * window.total:
                self._become("OPEN")

    def retry_after_s(self) -> float:
        """How long the circuit will certainly refuse; 0 when it would try."""
        if self.state != "OPEN":
            return 0.0
        return max(0.0, self._opened_at + self._settings.open_for_s - self._clock())

    def would_refuse(self) -> bool:
        """True while `admit` would answer None; changes nothing."""
        return self.state != "CLOSED" and (self._is_probing or self.retry_after_s() > 0)

    def _become(self, state: str) -> None:
        self.state = state
        self._generation += 1
        self._is_probing = False
        self._window.clear()
        if state == "OPEN":
            self._opened_at = self._clock()
        for listener in self.on_change:
            listener(state)
