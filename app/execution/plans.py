"""Plans of the documents in use: bounded, compiled when they pay, with a count of what runs without one and why."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import strawberry
from graphql import ExecutionResult

from app.execution.documents import Document
from app.execution.plan import Plan
from app.execution.survey import Unsupported

_SEEN: Final = "execution.seen"  # in a document's memo: names of operations that ran once
_REFUSAL_BYTES: Final = 500

Key = tuple[str, str | None]


class Observer(Protocol):
    """Told once for each operation: ``compiled``, or ``fallback:`` and one of few words."""

    def on_execution(self, path: str) -> None: ...


@dataclass(slots=True)
class _Kept:
    """A plan, or the word that says why there is none; `weight` is what was last counted for it."""

    plan: Plan | None
    reason: str
    weight: int


class Plans:
    """For one schema. A document that was published is compiled by `prepare`; any other at its second use."""

    def __init__(
        self, schema: strawberry.Schema, *, max_bytes: int = 32_000_000, observer: Observer | None = None
    ) -> None:
        self._schema = schema
        self._max_bytes = max_bytes
        self._observer = observer
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """What the plans weigh, estimated."""
        return self._bytes

    def prepare(self, document: Document) -> None:
        """Plan every operation of a document that will be used again."""
        if document.node is not None and not document.errors:
            for name in document.operations:
                self._find(document, name)

    async def execute(
        self,
        document: Document,
        operation_name: str | None,
        inputs: Mapping[str, Any],
        context: Any,
        *,
        hide_suggestions: bool,
    ) -> ExecutionResult | None:
        """The operation's result; None where graphql-core must run it. Nothing was called then."""
        operation = document.operation(operation_name)
        if operation is None:
            return None
        name = operation.name.value if operation.name else None
        key = document.text, name
        kept = self._kept.get(key)
        if kept is None:
            if _is_first_use(document, name):
                self._tell("fallback:first_use")
                return None
            kept = self._find(document, name)
        else:
            self._kept.move_to_end(key)
        if kept.plan is None:
            self._tell(f"fallback:{kept.reason}")
            return None
        try:
            started = kept.plan.start(inputs, context, hide_suggestions=hide_suggestions)
        except Unsupported as unsupported:
            self._tell(f"fallback:{unsupported.reason}")
            return None
        self._tell("compiled")
        result = await started
        self._reweigh(key, kept)
        return result

    def _find(self, document: Document, name: str | None) -> _Kept:
        key = document.text, name
        found = self._kept.get(key)
        if found is None:
            try:
                plan = Plan(self._schema, document.operations[name], document.fragments)
            except Unsupported as unsupported:
                found = _Kept(None, unsupported.reason, 0)
            else:
                found = _Kept(plan, "", 0)
            self._kept[key] = found
            self._reweigh(key, found)
        return found

    def _reweigh(self, key: Key, kept: _Kept) -> None:
        """A plan grows while requests meet new parts of it."""
        weight = len(key[0]) + (kept.plan.weight if kept.plan is not None else _REFUSAL_BYTES)
        if weight == kept.weight or self._kept.get(key) is not kept:
            return
        self._bytes += weight - kept.weight
        kept.weight = weight
        while self._bytes > self._max_bytes and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.weight

    def _tell(self, path: str) -> None:
        if self._observer is not None:
            self._observer.on_execution(path)


def _is_first_use(document: Document, name: str | None) -> bool:
    """The document's memo goes with the document: what was forgotten is new again."""
    seen: set[str | None] = document.memo.setdefault(_SEEN, set())
    if name in seen:
        return False
    seen.add(name)
    return True
