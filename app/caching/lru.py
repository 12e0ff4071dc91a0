"""The bounded cache that all parts of the application use.

cachetools has the same, but a hit costs 4 Python calls there (11 with a TTL) and 1 here, and a request passes several
caches.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

_NEVER: Final = float("inf")


def _ignore(key: object, value: object) -> None:
    return None


class LruCache(Generic[Key, Value]):
    """Evicts the least recently used entries while the sum of the weights exceeds `limit`.

    Without weights, `limit` is a number of entries. `on_evict` is called for entries that the limit evicts, not for
    removed or expired ones. `clock` is for TTLs, in seconds. Values must not be None. Not thread-safe.
    """

    __slots__ = ("_clock", "_entries", "_expires_at", "_on_evict", "_weights", "limit", "weight")

    def __init__(
        self,
        limit: int,
        *,
        on_evict: Callable[[Key, Value], None] = _ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self.weight = 0
        """The sum of the weights of all entries."""
        self._on_evict = on_evict
        self._clock = clock
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._weights: dict[Key, int] = {}  # of entries that do not weigh 1
        self._expires_at: dict[Key, float] = {}  # of entries with a TTL

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Key]:
        """Keys, least recently used first."""
        return iter(self._entries)

    def __contains__(self, key: Key) -> bool:
        return self.peek(key) is not None

    def get(self, key: Key) -> Value | None:
        """The value, which becomes the most recently used one; None if it is absent or has expired."""
        value = self._entries.get(key)
        if value is None:
            return None
        if self._expires_at and self._has_expired(key):
            return None
        self._entries.move_to_end(key)
        return value

    def peek(self, key: Key) -> Value | None:
        """As `get`, but does not count as a use."""
        value = self._entries.get(key)
        return None if value is None or (self._expires_at and self._has_expired(key)) else value

    def put(self, key: Key, value: Value, *, weight: int = 1, ttl_s: float | None = None) -> None:
        """Add or replace an entry. An entry heavier than the limit is evicted at once, after all others."""
        entries, weights = self._entries, self._weights
        if key in entries:
            self.weight -= weights.pop(key, 1) if weights else 1
            entries.move_to_end(key)
        entries[key] = value
        self.weight += weight
        if weight != 1:
            weights[key] = weight
        if ttl_s is not None:
            self._expires_at[key] = self._clock() + ttl_s
        elif self._expires_at:
            self._expires_at.pop(key, None)
        while self.weight > self.limit and entries:
            oldest = next(iter(entries))
            evicted = self.pop(oldest)
            assert evicted is not None
            self._on_evict(oldest, evicted)

    def pop(self, key: Key) -> Value | None:
        """Remove an entry and return its value; None if it is absent."""
        value = self._entries.pop(key, None)
        if value is not None:
            self.weight -= self._weights.pop(key, 1)
            self._expires_at.pop(key, None)
        return value

    def clear(self) -> None:
        self._entries.clear()
        self._weights.clear()
        self._expires_at.clear()
        self.weight = 0

    def _has_expired(self, key: Key) -> bool:
        """Removes the entry if so."""
        if self._clock() < self._expires_at.get(key, _NEVER):
            return False
        self.pop(key)
        return True
