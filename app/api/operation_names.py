"""Names of operations as metric labels, bounded although clients choose them."""

from collections.abc import Callable
from typing import Final

from app.caching.lru import LruCache
from app.vault.pan import looks_like_card_number

OTHER: Final = "other"
UNNAMED: Final = "unnamed"
PUBLISHED: Final = "metrics.is_published"
"""Memo key of a document that was published."""
_LONGEST: Final = 80
_USES: Final = 10
_CANDIDATES: Final = 2_000
_COMPARED_EVERY: Final = 50
_MOST_PUBLISHED: Final = 2_000


class OperationNames:
    """The names in published documents, and the `most` most used names of others, each from its tenth use on.

    `on_dropped` is called with a name that a more used one replaces.
    """

    def __init__(self, on_dropped: Callable[[str], None], *, most: int = 200) -> None:
        self._on_dropped = on_dropped
        self._most = most
        self._uses: dict[str, int] = {}
        self._published: set[str] = set()
        self._candidates: LruCache[str, int] = LruCache(_CANDIDATES)

    def label(self, name: str | None, *, is_published: bool) -> str:
        if name is None:
            return UNNAMED
        if name in self._uses:
            self._uses[name] += 1
            return name
        if name in self._published:
            return name
        if len(name) > _LONGEST or looks_like_card_number(name):
            return OTHER
        if is_published and len(self._published) < _MOST_PUBLISHED:
            self._published.add(name)
            return name
        return name if self._count(name) else OTHER

    def _count(self, name: str) -> bool:
        """True if the name has a label from now on."""
        uses = (self._candidates.peek(name) or 0) + 1
        self._candidates.put(name, uses)
        if uses < _USES:
            return False
        if len(self._uses) >= self._most:
            if uses % _COMPARED_EVERY:
                return False
            least = min(self._uses, key=self._uses.__getitem__)
            if self._uses[least] >= uses:
                return False
            del self._uses[least]
            self._on_dropped(least)
        self._uses[name] = uses
        return True
