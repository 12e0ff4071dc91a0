"""The bounded cache that all parts of the application use.

cachetools has the same, but a hit costs 4 Python calls there and 1 here, and a request passes several caches.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


def _ignore(key: object, value: object) -> None:
    return None


class LruCache(Generic[Key, Value]):
    """Evicts the least recently used entries while the sum of the weights exceeds `limit`.

    Without weights, `limit` is a number of entries. `on_evict` is called for entries that the limit evicts, not for
    removed ones. `peek` is `get` without counting as a use, and `touch` counts one of a present key; both are built-in
    calls. Values must not be None. Not thread-safe.
    """

    __slots__ = ("_entries", "_on_evict", "_weights", "limit", "peek", "touch", "weight")

    def __init__(self, limit: int, *, on_evict: Callable[[Key, Value], None] = _ignore) -> None:
        self.limit = limit
        self.weight = 0
        """The sum of the weights of all entries."""
        self._on_evict = on_evict
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._weights: dict[Key, int] = {}  # of entries that do not weigh 1
        self.peek: Callable[[Key], Value | None] = self._entries.get
        self.touch: Callable[[Key], None] = self._entries.move_to_end

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Key]:
        """Keys, least recently used first."""
        return iter(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Value | None:
        """The value, which becomes the most recently used one; None if it is absent."""
        try:
            value = self._entries[key]
        except KeyError:
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: Key, value: Value, *, weight: int = 1) -> None:
        """Add or replace an entry. An entry heavier than the limit is evicted at once, after all others."""
        entries, weights = self._entries, self._weights
        if key in entries:
            if (weights[key] if key in weights else 1) == weight:  # noqa: SIM401 - saves a call of each request's six
                entries[key] = value
                entries.move_to_end(key)
                return
            del entries[key]  # so that it becomes the most recently used one
            if key in weights:
                self.weight -= weights[key]
                del weights[key]
            else:
                self.weight -= 1
        entries[key] = value
        self.weight += weight
        if weight != 1:
            weights[key] = weight
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
        return value

    def clear(self) -> None:
        self._entries.clear()
        self._weights.clear()
        self.weight = 0
