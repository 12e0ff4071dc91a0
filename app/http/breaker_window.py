"""Sliding-window counters in constant memory and time."""

from typing import Final

_SLOTS: Final = 10


class SlidingCount:
    """Two counters over a sliding window of ten slots: accurate to a tenth of the window."""

    def __init__(self, window_s: float) -> None:
        self._slot_s = window_s / _SLOTS
        self._slots = [[0, 0] for _ in range(_SLOTS)]
        self._at = 0
        self.current = self._slots[0]
        """The slot to count in, until `ends_at`; then call `roll` first. Callers count in place, in it and in the sums:
        it saves two Python calls for each vault call.
        """
        self.ends_at = 0.0
        self.total = 0
        self.marked = 0

    def add(self, now: float, total: int = 0, marked: int = 0) -> None:
        if now >= self.ends_at:
            self.roll(now)
        self.current[0] += total
        self.current[1] += marked
        self.total += total
        self.marked += marked

    def roll(self, now: float) -> None:
        """Drop counts older than the window."""
        at = int(now / self._slot_s)
        if at <= self._at:
            return
        self.ends_at = (at + 1) * self._slot_s
        for index in range(max(self._at + 1, at - _SLOTS + 1), at + 1):
            slot = self._slots[index % _SLOTS]
            self.total -= slot[0]
            self.marked -= slot[1]
            slot[0] = slot[1] = 0
        self._at = at
        self.current = self._slots[at % _SLOTS]

    def clear(self) -> None:
        for slot in self._slots:
            slot[0] = slot[1] = 0
        self.total = self.marked = 0
