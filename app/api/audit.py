"""Writes the audit trail: refused requests, and mutations that failed before the journal recorded them.

Entries are queued in memory and written in batches, so that no response waits for them. Refusals of anonymous requests,
and those of one caller beyond `_PER_MINUTE`, are counted: one row a minute for each caller and code.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from app.store.errors import RETRY_STORE_S, StoreUnavailable, UnstorableText
from app.store.events import Events
from app.store.records import EventType, NewEvent
from app.store.text import is_storable
from app.telemetry.request_id import REQUEST_ID
from app.wallet.caller import Caller

_log = logging.getLogger("vaultgraph.audit")

NOTED: Final = frozenset(
    {
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "INTROSPECTION_DISABLED",
        "PERSISTED_QUERY_NOT_IN_LIST",
        "PERSISTED_QUERY_ID_REQUIRED",
        "CANNOT_SEND_PQ_ID_AND_BODY",
    }
)
"""Refusals that concern the caller's identity or rights; refusals for limits, syntax and rate are not audited."""
_BATCH: Final = 200
_MOST_WAITING: Final = 20_000
_PER_MINUTE: Final = 60
"""How many refusals of one caller get a row each."""
_MINUTE_S: Final = 60.0
_MOST_COUNTED: Final = 10_000
ANONYMOUS: Final = "anonymous"


class RefusalLike(Protocol):
    @property
    def what(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def customer_id(self) -> str | None: ...
    @property
    def scopes(self) -> Sequence[str]: ...


class Observer(Protocol):
    """Counts every refusal. `caller`: staff, user, partner or anonymous."""

    def on_refusal(self, caller: str, code: str) -> None: ...


class Audit:
    """`run` writes the queued entries; `flush` writes the rest at shutdown."""

    def __init__(
        self, events: Events, *, observer: Observer | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._events = events
        self._observer = observer
        self._clock = clock
        self._waiting: deque[NewEvent] = deque()
        self._arrived = asyncio.Event()
        self._one_writer = asyncio.Lock()
        self._recorded: dict[str, int] = {}  # by actor, in this minute
        self._counted: dict[tuple[EventType, str, str], int] = {}  # not written individually: by actor and outcome
        self._minute_ends_at = clock() + _MINUTE_S

    def turned_away(self, caller: Caller | None, code: str, **detail: Any) -> None:
        """Record that the API refused a request. Codes outside `NOTED` are ignored."""
        if code in NOTED:
            self._note(caller, None, code, REQUEST_ID.get(), detail)

    def refused(self, caller: Caller, request_id: str, refusals: Sequence[RefusalLike], more: int) -> None:
        """Record the refused fields of one request. `more` counts those left out."""
        for number, one in enumerate(refusals):
            detail: dict[str, Any] = {"what": one.what, "scopes": list(one.scopes)}
            if more and number == len(refusals) - 1:
                detail["more"] = more
            self._note(caller, one.customer_id, one.code, request_id, detail)

    def mutation(
        self,
        caller: Caller,
        request_id: str,
        mutation: str,
        customer_id: str | None,
        outcome: str,
        codes: Sequence[str],
    ) -> None:
        """Record a mutation that has no operation in the journal."""
        detail = {"mutation": mutation, "codes": list(codes)}
        if outcome == "DONE":
            self._keep(EventType.MUTATION, caller.key, customer_id, outcome, request_id, detail)
        else:
            self._bounded(EventType.MUTATION, caller, customer_id, outcome, request_id, detail)

    async def run(self) -> None:
        """Write until cancelled. While the store fails, entries stay queued (up to a bound) and are retried."""
        while True:
            try:
                await asyncio.wait_for(self._arrived.wait(), max(0.0, self._minute_ends_at - self._clock()))
            except TimeoutError:
                self._end_minute()
            self._arrived.clear()
            while self._waiting:
                if not await self._write():
                    await asyncio.sleep(RETRY_STORE_S)

    async def flush(self) -> None:
        """Write every entry recorded before this call, including the batch that `run` is writing."""
        self._end_minute()
        async with self._one_writer:
            pass
        while self._waiting and await self._write():
            pass

    async def _write(self) -> bool:
        async with self._one_writer:
            return await self._write_batch()

    async def _write_batch(self) -> bool:
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        try:
            await self._events.append_all(batch)
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except UnstorableText:  # should not happen; one bad entry must not block the others
            _log.exception("%d audit entries could not be written", len(batch))
        except Exception as error:  # noqa: BLE001 - whatever the store has, the notes must wait for its end
            if not isinstance(error, StoreUnavailable):
                _log.exception("the audit trail cannot be written; trying again")
            self._waiting.extendleft(reversed(batch))
            return False
        return True

    def _note(
        self,
        caller: Caller | None,
        customer_id: str | None,
        code: str,
        request_id: str | None,
        detail: dict[str, Any],
    ) -> None:
        if self._observer is not None:
            self._observer.on_refusal(caller.kind.value if caller else ANONYMOUS, code)
        self._bounded(EventType.ACCESS_REFUSED, caller, customer_id, code, request_id, detail)

    def _bounded(
        self,
        kind: EventType,
        caller: Caller | None,
        customer_id: str | None,
        outcome: str,
        request_id: str | None,
        detail: dict[str, Any],
    ) -> None:
        """Queue the entry, or only count it if the caller is anonymous or over its limit."""
        if self._clock() >= self._minute_ends_at:
            self._end_minute()
        actor = caller.key if caller else ANONYMOUS
        recorded = self._recorded.get(actor, 0)
        if caller is not None and recorded < _PER_MINUTE:
            self._recorded[actor] = recorded + 1
            self._keep(kind, actor, customer_id, outcome, request_id, detail)
        else:
            self._counted[kind, actor, outcome] = self._counted.get((kind, actor, outcome), 0) + 1
        if len(self._recorded) > _MOST_COUNTED or len(self._counted) > _MOST_COUNTED:
            self._end_minute()

    def _end_minute(self) -> None:
        """Queue the counts since the last call."""
        counted, self._counted = self._counted, {}
        self._recorded.clear()
        self._minute_ends_at = self._clock() + _MINUTE_S
        for (kind, actor, outcome), count in counted.items():
            self._keep(kind, actor, None, outcome, None, {"count": count})

    def _keep(
        self, kind: EventType, actor: str, customer_id: str | None, outcome: str, request_id: str | None, detail: Any
    ) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            _log.error("the audit queue is full: an entry of %s is lost", kind.value)
            return
        about = customer_id if customer_id is not None and is_storable(customer_id) else None
        who = actor if is_storable(actor) else "unwritable"
        self._waiting.append(
            NewEvent(
                type=kind,
                customer_id=about,
                actor=who,
                outcome=outcome,
                request_id=request_id,
                detail=detail,
            )
        )
        self._arrived.set()
