"""One run of an operation: its steps, each journalled before its request is sent.

A step is recorded as about to be sent (`prepare`) and only then sent. A process that resumes the operation runs the
same handler again: results of `read_once` and of finished steps come from the journal, and a step that may have been
sent is not sent again but looked up in the vault.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Generic, TypeVar

from app.errors import OutcomeUnknown, VaultError, VaultTimeout
from app.store import Connection, Transaction
from app.store.journal import prepare_operation
from app.store.journal_reads import unreconciled_operations
from app.store.records import DirectoryEntry, EventOrigin, NewEvent, OperationRecord
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.model import NewMethod, NextAction, VaultWallet
from app.vault.provider import Call, VaultProvider
from app.wallet.writes.deps import SENDING_SHARE, Deps, VaultRef, fresh_wallet, loop_time
from app.wallet.writes.intents import VERSION, AnyFacts, AnyNote, IntentT_co, Progress
from app.wallet.writes.interrupts import LeaseLost, NotApplied, NothingSent, StillUnknown, WritesUnreconciled
from app.wallet.writes.upgrades import IntentUnreadable

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_MIN_TIME_SHARE: Final = 0.2

N = TypeVar("N", bound=AnyNote)
F = TypeVar("F", bound=AnyFacts)
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Applied(Generic[F]):
    """The vault's list shows that the step was applied, with its facts."""

    facts: F


@dataclass(frozen=True, slots=True)
class PartlyApplied(Generic[F]):
    """The list shows a part of the step. Conclusive as `NotFound` is; `facts` then has what was not applied."""

    facts: F


@dataclass(frozen=True, slots=True)
class NotFound:
    """The list does not show the step. Conclusive only once the request can no longer be in flight."""


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """No list can decide it: an operator must. `candidates` are the methods it may have made."""

    candidates: tuple[MethodRef, ...] = ()


ReconcileResult = Applied[F] | PartlyApplied[F] | NotFound | Ambiguous


class WriteRun(Generic[IntentT_co]):
    """`intent` is the request, `progress` its journalled state. `new` is the method to add, `memory` other data of this
    run; neither is stored. `is_resumed`: resumed from the journal. `is_patient` false: the caller will retry, so an
    undecided step is looked up only once.

    `changed` lists the vault customers that steps changed. `before` has the wallets read before any step, and when.
    """

    def __init__(
        self,
        deps: Deps,
        operation: OperationRecord,
        progress: Progress[IntentT_co],
        call: Call,
        *,
        entry: DirectoryEntry | None = None,
        new: NewMethod | None = None,
        memory: object = None,
        is_resumed: bool = False,
        is_patient: bool = True,
    ) -> None:
        self.deps = deps
        self.operation = operation
        self.progress = progress
        self.intent = progress.intent
        self.call = call
        self.new = new
        self.is_resumed = is_resumed
        self.is_patient = is_patient
        self._memory = memory
        self.known_entry = entry
        self.next_action: NextAction | None = None
        self.changed: set[VaultRef] = set()
        self.before: dict[VaultRef, tuple[VaultWallet, datetime]] = {}
        self._in_doubt = set(progress.doing) if is_resumed else set()
        self._preparing = asyncio.Lock()

    @property
    def customer_id(self) -> str:
        """Empty if several customers take part."""
        return self.operation.customer_id or ""

    async def entry(self) -> DirectoryEntry | None:
        """The customer as read by this run, for checks and messages; None once it is erased. What is stored is decided
        in the transaction that stores it."""
        if self.known_entry is None:
            self.known_entry = await self.deps.store.directory.entry(self.customer_id)
        return self.known_entry

    def forget_entry(self) -> None:
        """The customer has changed, or time has passed: read it again."""
        self.known_entry = None

    def start_over(self) -> None:
        """Forget what was read: other writes have run there since."""
        self.progress.notes.clear()
        self.before.clear()
        self.forget_entry()

    def memory(self, kind: type[K]) -> K:
        """The mutation's unstored data from its `PreparedWrite`; empty in a resumed run."""
        if not isinstance(self._memory, kind):
            self._memory = kind()
        return self._memory

    def attributed(self, event: NewEvent) -> NewEvent:
        """Completes an event with this operation's origin, actor, customer and request id."""
        return NewEvent(  # `replace` makes a call for each field
            type=event.type,
            origin=EventOrigin.RECONCILIATION if self.is_resumed else EventOrigin.GATEWAY,
            occurred_at=event.occurred_at,
            customer_id=self.operation.customer_id,
            provider=event.provider,
            customer_ref=event.customer_ref,
            method_ref=event.method_ref,
            actor=self.progress.by,
            outcome=event.outcome,
            request_id=self.operation.request_id,
            once=event.once,
            detail=event.detail,
        )

    def vault(self, name: ProviderName) -> VaultProvider:
        """Raises StillUnknown for a vault that was disabled after the operation began, because it cannot be asked."""
        found = self.deps.providers.get(name)
        if found is None:
            raise StillUnknown(name)
        return found

    async def wallet(self, name: ProviderName, ref: CustomerRef, call: Call | None = None) -> VaultWallet:
        asked_at, is_first = self.deps.utc_now(), not (self.progress.doing or self.progress.done)
        found = await fresh_wallet(self.vault(name), ref, call or self.call)
        if is_first:
            self.before[name, ref] = (found, asked_at)
        return found

    async def read_once(self, name: str, kind: type[N], read: Callable[[], Awaitable[N]]) -> N:
        """A fact that decides the write: read once, journalled with the next step."""
        known = self.progress.notes.get(name)
        if known is not None:
            return _typed(kind, known)
        note = self.progress.notes[name] = await read()
        return note

    async def run_step(
        self,
        step: str,
        kind: type[F],
        at: tuple[ProviderName, CustomerRef | None],
        send: Callable[[Call], Awaitable[F]] | None,
        look: Callable[[Call], Awaitable[ReconcileResult[F]]],
        within: Callable[[Transaction], None] | None = None,
    ) -> F:
        """Run one step, once; returns its facts.

        `within` runs in the transaction that records the step as about to be sent; if it raises, nothing is sent. The
        first step is not sent while another write there is unreconciled: `WritesUnreconciled`.

        Raises VaultError if the step certainly changed nothing, `NotApplied` if a lookup proved it, `StillUnknown` if
        the outcome is unknown, `NothingSent` if the journal alone is not enough to send it (`send` is None).
        """
        known = self.progress.done.get(step)
        if known is not None:
            return _typed(kind, known)
        provider, ref = at
        try:
            if step in self._in_doubt:
                self._in_doubt.discard(step)
                facts = await self._resume_step(step, provider, send, look, within)
            elif send is None:
                raise NothingSent
            else:
                facts = await self._send(step, provider, send, look, within)
        except StillUnknown:
            raise
        except (VaultError, NotApplied):
            self.progress.doing = [one for one in self.progress.doing if one != step]
            raise
        finally:
            if ref is not None:
                self.deps.drop(provider, ref)
        if ref is not None:
            self.changed.add((provider, ref))
        self.progress.done[step] = facts
        self.progress.doing = [one for one in self.progress.doing if one != step]
        return facts

    async def _resume_step(
        self,
        step: str,
        provider: ProviderName,
        send: Callable[[Call], Awaitable[F]] | None,
        look: Callable[[Call], Awaitable[ReconcileResult[F]]],
        within: Callable[[Transaction], None] | None,
    ) -> F:
        """Resume a step that a dead process may have sent: look it up, and send it only if it is proven not applied."""
        try:
            return await self._reconcile_step(step, provider, look, None)
        except NotApplied:
            if send is None:
                raise
        self.progress.doing = [one for one in self.progress.doing if one != step]
        return await self._send(step, provider, send, look, within)

    async def _send(
        self,
        step: str,
        provider: ProviderName,
        send: Callable[[Call], Awaitable[F]],
        look: Callable[[Call], Awaitable[ReconcileResult[F]]],
        within: Callable[[Transaction], None] | None,
    ) -> F:
        total_s = self.deps.deadline_s([provider])
        now = loop_time()
        if self.call.deadline_at - now < total_s * _MIN_TIME_SHARE:
            if self.progress.done:  # partly done: the next run continues with a new deadline
                raise StillUnknown(provider)
            raise VaultTimeout(provider, "Not enough time was left to send the write; nothing was sent.")
        sending_until = min(now + total_s * SENDING_SHARE, self.call.deadline_at)
        await self._prepare(step, sending_until - now, within)
        self.deps.reached(f"prepared:{step}")
        try:
            facts = await send(self._call_of(step, sending_until))
        except OutcomeUnknown as error:
            self.deps.reached(f"lost:{step}")
            if loop_time() >= sending_until - 0.01:
                # The vault did not answer at all, so it may be slow: an absence counts only after the same time again.
                self.progress.believe_at = self.deps.utc_now() + timedelta(seconds=total_s)
            return await self._reconcile_step(step, provider, look, error)
        self.deps.reached(f"answered:{step}")
        return facts

    def _call_of(self, step: str, deadline_at: float) -> Call:
        """A step that is sent again has the same key, so that a vault which takes keys cannot do it twice."""
        # A step's name may hold a method's ref, of any length and spelling.
        key = f"{self.operation.id}-{sha256(step.encode()).hexdigest()[:16]}"
        return replace(self.call, deadline_at=deadline_at, idempotency_key=key)

    async def _prepare(self, step: str, within_s: float, within: Callable[[Transaction], None] | None) -> None:
        async with self._preparing:
            self.progress.doing.append(step)
            deadline_at = self.deps.utc_now() + timedelta(seconds=within_s)
            if self.operation.sent_at is not None:
                deadline_at = max(deadline_at, self.operation.deadline_at)
            try:
                self.operation = await self._record(deadline_at, within)
            except BaseException:
                self.progress.doing.remove(step)
                raise

    async def _record(self, deadline_at: datetime, within: Callable[[Transaction], None] | None) -> OperationRecord:
        store = self.deps.store
        prepared = await store.statement(self._prepared, deadline_at) if within is None else None
        if prepared is None:  # only a transaction sees why not
            prepared = await store.transaction(self._record_step, deadline_at, within)
        return prepared

    def _record_step(
        self, tx: Transaction, deadline_at: datetime, within: Callable[[Transaction], None] | None
    ) -> OperationRecord:
        if within is not None:
            within(tx)
        prepared = self._prepared(tx, deadline_at)
        if prepared is None:
            if self.operation.sent_at is None:
                self.refuse_unreconciled(tx)
            raise LeaseLost
        return prepared

    def _prepared(self, tx: Transaction, deadline_at: datetime) -> OperationRecord | None:
        return prepare_operation(
            tx,
            self.operation,
            self.progress.to_json(),
            deadline_at=deadline_at,
            alone_at=self._vaults() if self.operation.sent_at is None else (),
        )

    def refuse_unreconciled(self, tx: Connection) -> None:
        """Raises WritesUnreconciled."""
        if self.unreconciled(tx):
            raise WritesUnreconciled

    def unreconciled(self, tx: Connection) -> list[OperationRecord]:
        """Writes of this customer, at the vaults that this one changes, whose effect is still unknown."""
        customer_id, vaults = self.operation.customer_id, self._vaults()
        if customer_id is None or not vaults:
            return []
        return unreconciled_operations(tx, customer_id, vaults, besides=self.operation.id)

    def _vaults(self) -> set[ProviderName]:
        return {name for name, _ in self.intent.refs}

    async def _reconcile_step(
        self,
        step: str,
        provider: ProviderName,
        look: Callable[[Call], Awaitable[ReconcileResult[F]]],
        error: VaultError | None,
    ) -> F:
        """Look until the vault's list is conclusive or the deadline has passed. An absence is conclusive only if the
        look began after the deadline of the request that may be in flight."""
        believe_at = max(self.operation.deadline_at, self.progress.believe_at or self.operation.deadline_at)
        if isinstance(error, OutcomeUnknown) and not error.is_in_flight:
            believe_at = self.deps.utc_now()
        pause_s = _FIRST_PAUSE_S
        while True:
            left_s = (believe_at - self.deps.utc_now()).total_seconds()
            try:
                found = await look(self.call)
            except VaultError as failed:
                found, error = None, error or failed
            if isinstance(found, Applied):
                return found.facts
            if isinstance(found, Ambiguous):
                raise StillUnknown(provider, for_person=True, candidates=found.candidates, error=error)
            if isinstance(found, NotFound) and left_s <= 0:
                raise NotApplied(provider, error)
            if isinstance(found, PartlyApplied) and left_s <= 0:
                return found.facts
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            wait_s = min(pause_s, left_s + 0.001) if left_s > 0 else pause_s
            if not self.is_patient or loop_time() + wait_s >= self.call.deadline_at:
                raise StillUnknown(provider, error=error, look_at=believe_at if left_s > 0 else None)
            await asyncio.sleep(wait_s)


def _typed(kind: type[K], kept: object) -> K:
    """A journalled value, checked to be of the expected type."""
    if not isinstance(kept, kind):
        raise IntentUnreadable(VERSION, "a step has facts of another step")
    return kept
