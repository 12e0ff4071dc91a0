"""One operation being carried out: its steps, each journalled before its request leaves us.

A step is begun by writing down that it is about to be sent (`prepare`), and only then sent. Whoever takes the
operation up from the journal runs the same use case again: what `once` read and what finished steps answered is known,
and a step whose request may have left us is not sent a second time but looked up in the vault.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Generic, TypeVar

from app.errors import OutcomeUnknown, VaultError, VaultTimeout
from app.store.database import Tx
from app.store.records import EventOrigin, NewEvent, OperationRecord
from app.vault.model import NewMethod, NextAction, VaultWallet
from app.vault.names import CustomerRef, MethodRef, ProviderName
from app.vault.provider import Call, VaultProvider
from app.wallet.writing.deps import SENDING_SHARE, Deps, VaultRef, fresh_wallet, loop_time
from app.wallet.writing.intents import VERSION, AnyFacts, AnyNote, IntentT_co, Progress
from app.wallet.writing.signals import NotApplied, NothingSent, StillUnknown, TakenOver
from app.wallet.writing.upgrades import IntentUnreadable

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_LEAST_SHARE: Final = 0.2

N = TypeVar("N", bound=AnyNote)
F = TypeVar("F", bound=AnyFacts)
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Found(Generic[F]):
    """The vault's list shows that the step happened, and what came of it."""

    facts: F


@dataclass(frozen=True, slots=True)
class Absent:
    """The list shows nothing of it, which counts once the request can no longer be on its way."""


@dataclass(frozen=True, slots=True)
class Undecidable:
    """No list will tell: a person must. `candidates` are what it may be."""

    candidates: tuple[MethodRef, ...] = ()


Look = Found[F] | Absent | Undecidable


class Session(Generic[IntentT_co]):
    """`intent` is what was asked, `progress` how far it has come. `new` is the method to be added, `memory` what else
    the mutation knows in this run alone: neither is stored. `is_resumed`: taken up from the journal; without
    `is_patient`, by a caller that will come again, and looks once at what nobody waits for.

    `changed` is where steps were done. `before` is what was there before any of them, and when it was asked for.
    """

    def __init__(
        self,
        deps: Deps,
        operation: OperationRecord,
        progress: Progress[IntentT_co],
        call: Call,
        *,
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
        self.next_action: NextAction | None = None
        self.changed: set[VaultRef] = set()
        self.before: dict[VaultRef, tuple[VaultWallet, datetime]] = {}
        self._in_doubt = set(progress.doing) if is_resumed else set()
        self._preparing = asyncio.Lock()

    def memory(self, kind: type[K]) -> K:
        """The mutation's own, as its `Ready` has it; of one that is taken up from the journal, an empty one."""
        if not isinstance(self._memory, kind):
            self._memory = kind()
        return self._memory

    def told(self, event: NewEvent) -> NewEvent:
        """An event as of this operation: by whom, for whom, and whether it was found out later."""
        return replace(
            event,
            origin=EventOrigin.RECONCILIATION if self.is_resumed else EventOrigin.GATEWAY,
            actor=self.progress.by,
            customer_id=self.operation.customer_id,
            request_id=self.operation.request_id,
        )

    def vault(self, name: ProviderName) -> VaultProvider:
        """One that was turned off since the operation was begun cannot tell what became of it: raises StillUnknown."""
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

    async def once(self, name: str, kind: type[N], read: Callable[[], Awaitable[N]]) -> N:
        """A fact that decides the write: read the first time, and journalled with the next step."""
        known = self.progress.notes.get(name)
        if known is not None:
            return _known(kind, known)
        note = self.progress.notes[name] = await read()
        return note

    async def do(
        self,
        step: str,
        kind: type[F],
        at: tuple[ProviderName, CustomerRef | None],
        send: Callable[[Call], Awaitable[F]] | None,
        look: Callable[[Call], Awaitable[Look[F]]],
        within: Callable[[Tx], Awaitable[None]] | None = None,
    ) -> F:
        """Do one step, once: answers what it led to, facts of this kind.

        `within` runs in the transaction that says that the step is about to be sent: if it raises, nothing is sent.
        Raises VaultError when it certainly changed nothing, `NotApplied` when that had to be looked up, `StillUnknown`
        when it cannot be told, `NothingSent` when the journal alone is not enough to send it (`send` is None).
        """
        known = self.progress.done.get(step)
        if known is not None:
            return _known(kind, known)
        provider, ref = at
        try:
            if step in self._in_doubt:
                self._in_doubt.discard(step)
                facts = await self._take_up(step, provider, send, look, within)
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

    async def _take_up(
        self,
        step: str,
        provider: ProviderName,
        send: Callable[[Call], Awaitable[F]] | None,
        look: Callable[[Call], Awaitable[Look[F]]],
        within: Callable[[Tx], Awaitable[None]] | None,
    ) -> F:
        """A step that may have left a process that is gone: looked up, and sent only if it is proven not to have."""
        try:
            return await self._settle(step, provider, look, None)
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
        look: Callable[[Call], Awaitable[Look[F]]],
        within: Callable[[Tx], Awaitable[None]] | None,
    ) -> F:
        total_s = self.deps.deadline_s([provider])
        now = loop_time()
        if self.call.deadline_at - now < total_s * _LEAST_SHARE:
            if self.progress.done:  # half done: whoever comes next has time for the rest
                raise StillUnknown(provider)
            raise VaultTimeout(provider, "Too little time was left to send the write; nothing was sent.")
        sending_until = min(now + total_s * SENDING_SHARE, self.call.deadline_at)
        await self._prepare(step, sending_until - now, within)
        self.deps.reached(f"prepared:{step}")
        try:
            facts = await send(self._call_of(step, sending_until))
        except OutcomeUnknown as error:
            self.deps.reached(f"lost:{step}")
            if loop_time() >= sending_until - 0.01:
                # The vault was silent for the whole time, so it may be slow: it gets as long again before an absence
                # is believed.
                self.progress.believe_at = self.deps.utc_now() + timedelta(seconds=total_s)
            return await self._settle(step, provider, look, error)
        self.deps.reached(f"answered:{step}")
        return facts

    def _call_of(self, step: str, deadline_at: float) -> Call:
        """A step that is sent again has the same key, so that a vault which takes keys cannot do it twice."""
        # A step's name may hold a method's ref, of any length and spelling.
        key = f"{self.operation.id}-{sha256(step.encode()).hexdigest()[:16]}"
        return replace(self.call, deadline_at=deadline_at, idempotency_key=key)

    async def _prepare(self, step: str, within_s: float, within: Callable[[Tx], Awaitable[None]] | None) -> None:
        async with self._preparing:
            self.progress.doing.append(step)
            deadline_at = self.deps.utc_now() + timedelta(seconds=within_s)
            if self.operation.sent_at is not None:
                deadline_at = max(deadline_at, self.operation.deadline_at)
            try:
                async with self.deps.store.transaction() as tx:
                    if within is not None:
                        await within(tx)
                    prepared = await self.deps.store.journal.prepare(
                        self.operation, self.progress.to_json(), deadline_at=deadline_at, tx=tx
                    )
                    if prepared is None:
                        raise TakenOver
            except BaseException:
                self.progress.doing.remove(step)
                raise
            self.operation = prepared

    async def _settle(
        self,
        step: str,
        provider: ProviderName,
        look: Callable[[Call], Awaitable[Look[F]]],
        error: VaultError | None,
    ) -> F:
        """Look until the vault's list decides, or the time is over. An absence counts only when the request that may
        still be on its way has had its time before the look began."""
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
            if isinstance(found, Found):
                return found.facts
            if isinstance(found, Undecidable):
                raise StillUnknown(provider, for_person=True, candidates=found.candidates, error=error)
            if isinstance(found, Absent) and left_s <= 0:
                raise NotApplied(provider, error)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            wait_s = min(pause_s, left_s + 0.001) if left_s > 0 else pause_s
            if not self.is_patient or loop_time() + wait_s >= self.call.deadline_at:
                raise StillUnknown(provider, error=error, look_at=believe_at if left_s > 0 else None)
            await asyncio.sleep(wait_s)


def _known(kind: type[K], kept: object) -> K:
    """What the journal had of it, if it is what this mutation wrote there."""
    if not isinstance(kept, kind):
        raise IntentUnreadable(VERSION, "a step has facts of another step")
    return kept
