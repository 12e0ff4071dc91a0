"""LRU cache of compiled plans, with metrics of the operations that run without one."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import strawberry

from app.caching.lru import LruCache
from app.execution.deferred import Result
from app.execution.documents import Document
from app.execution.measure import Unsupported
from app.execution.plan import Plan

_SEEN: Final = "execution.seen"  # memo key: names of operations that ran once
_REFUSAL_BYTES: Final = 500

Key = tuple[str, str | None]


class ExecutionObserver(Protocol):
    """Metrics hook, called once per operation with ``compiled`` or ``fallback:`` and a reason."""

    def on_execution(self, path: str) -> None: ...


@dataclass(slots=True)
class _CacheEntry:
    """A plan, or the reason why there is none; `weight` is its last counted size."""

    plan: Plan | None
    reason: str
    weight: int = 0


class Plans:
    """Plans of one schema. `prepare` compiles a published document; any other is compiled on its second use."""

    def __init__(
        self, schema: strawberry.Schema, *, max_bytes: int = 32_000_000, observer: ExecutionObserver | None = None
    ) -> None:
        self._schema = schema
        self._observe: Callable[[str], None] = _ignore if observer is None else observer.on_execution
        self._entries: LruCache[Key, _CacheEntry] = LruCache(max_bytes)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """Estimated size of all plans."""
        return self._entries.weight

    def prepare(self, document: Document) -> None:
        """Compile every operation of a document that will be used again."""
        if document.node is not None and not document.errors:
            for name in document.operations:
                self._find(document, name)
            if document.has_defer:
                self.prepare(document.without_defer)

    def start(
        self,
        document: Document,
        operation_name: str | None,
        inputs: Mapping[str, Any],
        context: Any,
        *,
        hide_suggestions: bool,
    ) -> Coroutine[Any, Any, Result] | None:
        """A coroutine of the operation's result; None, before any resolver is called, if graphql-core must run it."""
        operation = document.sole if operation_name is None else document.operation(operation_name)
        if operation is None:
            return None
        name = operation.name.value if operation.name else None
        key = document.text, name
        entry = self._entries.peek(key)
        if entry is not None:
            self._entries.touch(key)
        else:
            if _is_first_use(document, name):
                self._observe("fallback:first_use")
                return None
            entry = self._find(document, name)
        if entry.plan is None:
            self._observe(f"fallback:{entry.reason}")
            return None
        try:
            started = entry.plan.start(inputs, context, hide_suggestions=hide_suggestions)
        except Unsupported as unsupported:
            self._observe(f"fallback:{unsupported.reason}")
            return None
        self._observe("compiled")
        return started

    def _find(self, document: Document, name: str | None) -> _CacheEntry:
        key = document.text, name
        found = self._entries.get(key)
        if found is None:
            try:
                plan = Plan(self._schema, document.operations[name], document.fragments)
            except Unsupported as unsupported:
                found = _CacheEntry(None, unsupported.reason)
            else:
                found = _CacheEntry(plan, "")
                plan.on_growth = partial(self._reweigh, key, found)
            self._entries.put(key, found, weight=0)
            self._reweigh(key, found)
        return found

    def _reweigh(self, key: Key, entry: _CacheEntry) -> None:
        """Update the counted size: a plan grows while requests compile new parts of it."""
        weight = len(key[0]) + (entry.plan.weight if entry.plan is not None else _REFUSAL_BYTES)
        if weight != entry.weight and self._entries.peek(key) is entry:
            entry.weight = weight
            self._entries.put(key, entry, weight=weight)


def _ignore(path: str) -> None:
    return None


def _is_first_use(document: Document, name: str | None) -> bool:
    """Whether this operation runs for the first time since its document was cached."""
    seen: set[str | None] = document.memo.setdefault(_SEEN, set())
    if name in seen:
        return False
    seen.add(name)
    return True
