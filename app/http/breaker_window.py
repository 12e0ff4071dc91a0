"""Sliding-window counters in constant memory and time."""

from typing import Final

_SLOTS: Final = 10


class SlidingCount:
    """Two counters over a sliding window of ten slots: accurate to a tenth of the window."""

    def __init__(self, window_s: float) -> None:
        self._slot_s = window_s / _SLOTS
        self._slots = [[0, 0] for _ in range(_SLOTS)]
        self._at = 0
        self._until = 0.0  # end of the current slot
        self.total = 0
        self.marked = 0

    def add(self, now: float, total: int = 0, marked: int = 0) -> None:
        if now >= self._until:
            self.roll(now)
        slot = self._slots[self._at % _SLOTS]
        slot[0] += total
        slot[1] += marked
        self.total += total
        self.marked += marked

    def roll(self, now: float) -> None:
        """Drop counts older than the window."""
        at = int(now / self._slot_s)
        if at <= self._at:
            return
        self._until = (at + 1) * self._slot_s
        for index in range(max(self._at + 1, at - _SLOTS + 1), at + 1):
            slot = self._slots[index % _SLOTS]
            self.total -= slot[0]
            self.marked -= slot[1]
            slot[0] = slot[1] = 0
        self._at = at

    def clear(self) -> None:
        for slot in self._slots:
            slot[0] = slot[1] = 0
        self.total = self.marked = 0
