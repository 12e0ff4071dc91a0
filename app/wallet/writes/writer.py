"""Runs every write: deduplicated by key, serialised per customer and vault, journalled, finished in one transaction.

The phases, and how a crash in each is recovered. 1, 3 and 5 are one transaction each.

1. `_begin`: the command is checked and its key stored, PENDING. Nothing was sent: recovery reports NOT_APPLIED, and the
   same key runs again.
2. Locks, reads of the vault. Recovery as for 1.
3. `WriteRun.run_step`, for each request: stores what identifies the result, unless another write there is unreconciled;
   then that one is reconciled first. From here on the request may have been sent: recovery looks it up in the vault,
   and sends it again only if it is proven not applied.
4. The vault answers. Recovery as for 3: the answer was only in memory, a lookup finds its effect.
5. `WriteFinisher`: the outcome, with the directory's changes and the events. Recovery: done, or as for 3.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from app.store import Transaction
from app.store.errors import LockTimeout, StoreUnavailable
from app.store.journal import begin_operation, reopen_operation
from app.store.journal_reads import operation_by_key
from app.store.records import BegunBefore, BegunElsewhere, BegunNew, NewOperation, OperationRecord, OperationState
from app.vault.provider import Call
from app.wallet.commands import Actor, Command, WriteResult
from app.wallet.digest import DIGEST_KEY, input_digest, matching_key
from app.wallet.problems import STORE_UNAVAILABLE, ProblemCode, WriteProblem, not_found
from app.wallet.writes.add import AddMethodHandler
from app.wallet.writes.add_several import AddMethodsHandler
from app.wallet.writes.capture import CapturePaymentHandler
from app.wallet.writes.create import CreateCustomerHandler
from app.wallet.writes.defaults import SetDefaultHandler
from app.wallet.writes.delete import DeleteMethodHandler
from app.wallet.writes.deps import Deps, VaultRef, loop_time, until
from app.wallet.writes.erase import EraseCustomerHandler
from app.wallet.writes.finish import WriteFinisher
from app.wallet.writes.handler import PreparedWrite, WriteHandler
from app.wallet.writes.hosted import CreateHostedSessionHandler
from app.wallet.writes.importing import ImportMethodsHandler
from app.wallet.writes.intents import Intent, Progress, refs_of
from app.wallet.writes.interrupts import LeaseLost, WriteRefused, WritesBlocked, WritesUnreconciled
from app.wallet.writes.links import LinkCustomerHandler, UnlinkCustomerHandler
from app.wallet.writes.merge import MergeCustomersHandler
from app.wallet.writes.pay import QuotePaymentHandler
from app.wallet.writes.refusals import in_progress, outcome_unknown
from app.wallet.writes.run import WriteRun
from app.wallet.writes.stored_result import from_json, linked_provider
from app.wallet.writes.update import UpdateMethodHandler
from app.wallet.writes.upgrades import IntentUnreadable, read_intent

_log = logging.getLogger("vaultgraph.writing")
_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 0.5
_LOOK_AGAIN: Final = timedelta(seconds=30)
_DONE: Final = frozenset({OperationState.SUCCEEDED, OperationState.PARTIAL, OperationState.FAILED})

T = TypeVar("T")
Handler = WriteHandler[Any, Any]

HANDLERS: Final[tuple[type[Handler], ...]] = (
    AddMethodHandler,
    AddMethodsHandler,
    UpdateMethodHandler,
    SetDefaultHandler,
    DeleteMethodHandler,
    CreateCustomerHandler,
    LinkCustomerHandler,
    UnlinkCustomerHandler,
    EraseCustomerHandler,
    MergeCustomersHandler,
    ImportMethodsHandler,
    QuotePaymentHandler,
    CapturePaymentHandler,
    CreateHostedSessionHandler,
)


@dataclass(frozen=True, slots=True)
class _Request:
    """A command, with the values that make two inputs the same."""

    handler: Handler
    command: Command
    actor: Actor
    call: Call
    values: Mapping[str, Any]

    @property
    def key(self) -> str | None:
        return getattr(self.command, "idempotency_key", None)


class WalletWriter:
    """Runs commands: each with the handler of its type. A resumed operation has the handler of its mutation."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        handlers = [handler(deps) for handler in HANDLERS]
        self._by_command = {handler.command: handler for handler in handlers}
        self._by_mutation = {handler.mutation: handler for handler in handlers}
        self._finisher = WriteFinisher(deps)
        self._tasks: set[asyncio.Task[Any]] = set()

    # ---- a caller's write ---------------------------------------------------------------------------------

    async def run(self, command: Command, actor: Actor, call: Call) -> WriteResult:
        """The result, whatever a vault did; exceptions are bugs or store failures.

        The write has its own task and deadline: a client disconnect does not interrupt it, and `call.deadline_at` is
        not used.
        """
        handler = self._by_command[type(command)]
        task = asyncio.get_running_loop().create_task(self._submit(handler, command, actor, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for the running writes; each ends by its own deadline."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        await self._finisher.refresh.drain()

    async def _submit(self, handler: Handler, command: Command, actor: Actor, call: Call) -> WriteResult:
        request = _Request(handler, command, actor, call, handler.digest(command))
        begun: list[str] = []
        try:
            found = await self.deps.store.transaction(self._begin, request, begun)
        except BaseException as error:
            self.deps.owner.running.difference_update(begun)
            if isinstance(error, WriteRefused):
                return WriteResult(problems=error.problems)
            raise
        if isinstance(found, WriteRun):
            return await self._run(request, found)
        if isinstance(found, BegunElsewhere):
            return await self._result_of_holder(found.operation, call)
        return await self._repeat(request, found.operation)

    def _begin(
        self, tx: Transaction, request: "_Request", begun: list[str]
    ) -> "WriteRun[Intent] | BegunBefore | BegunElsewhere":
        """Find the operation of this key, or check the command and begin one. `begun` gets the new operation's id."""
        handler, actor, key = request.handler, request.actor, request.key
        try:
            ready = handler.prepare(tx, request.command, actor, None)
        except WriteRefused:  # an operation that was begun while the command was allowed has a result
            known = operation_by_key(tx, actor.id, handler.mutation, key) if key else None
            if known is None:
                raise
            return BegunBefore(known)
        new = NewOperation(
            caller=actor.id,
            mutation=handler.mutation,
            input_digest=input_digest(self.deps.digest_keys.first, request.values),
            digest_key=self.deps.digest_keys.first_name,
            owner_id=self.deps.owner.id,
            deadline_at=self.deps.utc_now(),
            idempotency_key=key,
            customer_id=ready.customer_id,
            provider=ready.provider,
            request_id=request.call.request_id,
            rows=ready.rows,
            exclusive=ready.exclusive,
        )
        made = begin_operation(tx, new)
        if not isinstance(made, BegunNew):
            return made
        # Registered before the commit makes it visible, so that it is never taken for an orphan.
        begun.append(made.operation.id)
        self.deps.owner.running.add(made.operation.id)
        if ready.within is not None:
            ready.within(tx)
        return self._new_run(made.operation, ready, request)

    def _new_run(
        self, operation: OperationRecord, ready: PreparedWrite[Intent], request: "_Request"
    ) -> WriteRun[Intent]:
        progress = Progress(by=request.actor.id, intent=ready.intent)
        return WriteRun(
            self.deps, operation, progress, request.call, entry=ready.entry, new=ready.new, memory=ready.memory
        )

    async def _run(self, request: "_Request", run: WriteRun[Intent]) -> WriteResult:
        self.deps.owner.running.add(run.operation.id)
        try:
            self.deps.reached("begun")
            refs = run.intent.refs
            run.call = until(run.call, loop_time() + self.deps.deadline_s({name for name, _ in refs}))
            return await self._run_locked(request.handler, run, refs)
        finally:
            self.deps.owner.running.discard(run.operation.id)

    async def _run_locked(self, handler: Handler, run: WriteRun[Intent], refs: Collection[VaultRef]) -> WriteResult:
        try:
            try:
                return await self._with_locks(handler, run, refs)
            except WritesBlocked:
                return await self._finisher.give_up(run, in_progress())
        except LeaseLost:
            current = await self.deps.store.journal.operation(run.operation.id)
            return WriteResult(operation=current, problems=(in_progress(current),))
        except StoreUnavailable:
            await self._finisher.leave(run)
            is_sent = run.operation.sent_at is not None
            problem = outcome_unknown(run.operation.provider) if is_sent else STORE_UNAVAILABLE
            return WriteResult(operation=run.operation, problems=(problem,))
        except Exception:
            await self._finisher.leave(run)
            raise

    # ---- a repeat -----------------------------------------------------------------------------------------

    async def _repeat(self, request: "_Request", known: OperationRecord) -> WriteResult:
        """Replay the operation of this key; run it again if it is proven not applied."""
        call = request.call
        if known.customer_id is not None and not request.actor.may_see(known.customer_id):
            return WriteResult(problems=(not_found("There is no such customer.", "customer_id"),))
        if (problem := await self._other_input(known, request.values)) is not None:
            return WriteResult(problems=(problem,))
        call = until(call, loop_time() + self.deps.deadline_s([known.provider] if known.provider else []))
        while True:
            if known.is_repeatable:
                result = await self._run_again(request, known)
                if result is not None:
                    return result
            elif known.state in _DONE:
                return await self._read_result(known)
            elif known.state is OperationState.PENDING and not await self.deps.owner.is_abandoned(known):
                return WriteResult(operation=known, replayed=True, problems=(in_progress(known),))
            else:
                known = await self.resume(known, call)
                if known.state is OperationState.UNKNOWN:
                    return await self._read_result(known)
                if known.state in _DONE:
                    continue
            if loop_time() >= call.deadline_at:
                return WriteResult(operation=known, replayed=True, problems=(in_progress(known),))
            await asyncio.sleep(_PAUSE_S)
            known = await self.deps.store.journal.operation(known.id) or known

    async def _result_of_holder(self, holder: OperationRecord, call: Call) -> WriteResult:
        """Another key holds the same exclusive resource: return its result, or that it is unknown."""
        if holder.state not in _DONE and await self.deps.owner.is_abandoned(holder):
            call = until(call, loop_time() + self.deps.deadline_s([holder.provider] if holder.provider else []))
            holder = await self.resume(holder, call)
        if holder.state in _DONE:
            return await self._read_result(holder)
        return WriteResult(operation=holder, replayed=True, problems=(self._unknown(holder),))

    def _unknown(self, operation: OperationRecord) -> WriteProblem:
        handler = self._by_mutation.get(operation.mutation)
        return (handler.unknown if handler else outcome_unknown)(operation.provider)

    async def _other_input(self, known: OperationRecord, values: Mapping[str, Any]) -> WriteProblem | None:
        """None if the operation has this input. The digest of a finished one is then stored under the first key, once
        every process uses that key. An open one also needs the old key: for the digests in its intent."""
        keys = self.deps.digest_keys
        found = matching_key(keys, known.input_digest, values)
        if found is None:
            return _KEY_REUSED if known.digest_key is None or known.digest_key in keys.keys else _DIGEST_KEY_UNKNOWN
        if known.digest_key != keys.first_name and known.state in _DONE:
            with suppress(StoreUnavailable):  # it can be replaced the next time
                if await self.deps.owner.is_first_everywhere(DIGEST_KEY, keys.first_name):
                    fresh = input_digest(keys.first, values)
                    await self.deps.store.journal.replace_digest(known.id, fresh, keys.first_name)
        return None

    async def _run_again(self, request: "_Request", known: OperationRecord) -> WriteResult | None:
        """None if another process was faster."""
        self.deps.owner.running.add(known.id)
        try:
            try:
                found = await self.deps.store.transaction(self._reopen, request, known)
            except WriteRefused as refused:
                return WriteResult(operation=known, problems=refused.problems)
            if isinstance(found, BegunElsewhere):
                return await self._result_of_holder(found.operation, request.call)
            return None if found is None else await self._run(request, found)
        finally:
            self.deps.owner.running.discard(known.id)

    def _reopen(
        self, tx: Transaction, request: "_Request", known: OperationRecord
    ) -> "WriteRun[Intent] | BegunElsewhere | None":
        ready = request.handler.prepare(tx, request.command, request.actor, known)
        reopened = reopen_operation(
            tx,
            known,
            owner_id=self.deps.owner.id,
            deadline_at=self.deps.utc_now(),
            request_id=request.call.request_id,
            exclusive=ready.exclusive,
        )
        if not isinstance(reopened, BegunNew):
            return reopened
        return self._new_run(reopened.operation, ready, request)

    async def _read_result(self, known: OperationRecord) -> WriteResult:
        result = from_json(known, replayed=True)
        if known.state is OperationState.UNKNOWN and not result.problems:
            return replace(result, problems=(self._unknown(known),))
        linked = linked_provider(known)
        if linked is not None and known.customer_id is not None:
            entry = await self.deps.store.directory.entry(known.customer_id)
            return replace(result, link=entry.link(linked) if entry else None)
        return result

    # ---- recovery ---------------------------------------------------------------------------------------

    async def resume(
        self, operation: OperationRecord, call: Call, *, held: Iterable[VaultRef] = (), is_patient: bool = True
    ) -> OperationRecord:
        """Take over an abandoned operation and reconcile it as far as possible now.

        `held` are locks that the caller already has; without `is_patient` an undecided step is looked up only once.
        Returns the operation in its new state.
        """
        if operation.id in self.deps.owner.running:
            return operation
        self.deps.owner.running.add(operation.id)
        try:
            return await self._resume(operation, call, frozenset(held), is_patient)
        finally:
            self.deps.owner.running.discard(operation.id)

    async def _resume(
        self, operation: OperationRecord, call: Call, held: frozenset[VaultRef], is_patient: bool
    ) -> OperationRecord:
        journal, handler = self.deps.store.journal, self._by_mutation.get(operation.mutation)
        refs = refs_of(operation)
        async with AsyncExitStack() as locks:
            try:
                await self._lock(locks, [ref for ref in refs if ref not in held], call)
            except WritesBlocked:
                return operation
            adopted = await journal.adopt(
                operation, self.deps.owner.id, look_again_at=self.deps.utc_now() + _LOOK_AGAIN
            )
            if adopted is None:
                return await journal.operation(operation.id) or operation
            if adopted.sent_at is None:
                return await self._finisher.nothing_sent(adopted)
            for provider, ref in refs:  # another process wrote to the vault without invalidating this cache
                self.deps.drop(provider, ref)
            try:
                await self._continue(handler, adopted, call, is_patient)
            except LeaseLost:
                _log.info("another process has already reconciled %s", operation.id)
        return await journal.operation(operation.id) or adopted

    async def _continue(self, handler: Handler | None, adopted: OperationRecord, call: Call, is_patient: bool) -> None:
        """Continue from the journal. An intent that this version cannot read is left to an operator."""
        try:
            progress = read_intent(adopted)
            if handler is None:
                raise IntentUnreadable(None, "this process does not know the mutation")
        except IntentUnreadable as reason:
            await self._finisher.leave_to_operator(adopted, reason, handler)
            return
        run = WriteRun(self.deps, adopted, progress, call, is_resumed=True, is_patient=is_patient)
        try:
            await self._finisher.complete(handler, run)
        except IntentUnreadable as reason:
            await self._finisher.leave_to_operator(run.operation, reason, handler)
        except LeaseLost:
            raise
        except Exception:
            await self._finisher.leave(run)
            raise

    # ---- locks --------------------------------------------------------------------------------------------

    async def _with_locks(self, handler: Handler, run: WriteRun[Intent], refs: Collection[VaultRef]) -> WriteResult:
        """Run under the locks. If another write there turns out to be unreconciled, reconcile it and start over. Raises
        WritesBlocked."""
        pause_s, is_first = _PAUSE_S, True
        while True:
            if any(self.deps.owner.is_writing(*ref) for ref in refs):
                run.forget_entry()  # that write may change the customer
            async with AsyncExitStack() as locks:
                await self._lock(locks, refs, run.call)
                if is_first or await self._are_reconciled(run, refs):
                    try:
                        return await self._finisher.complete(handler, run)
                    except WritesUnreconciled:
                        run.start_over()
            if is_first:
                is_first = False
                continue
            if loop_time() + pause_s >= run.call.deadline_at:
                raise WritesBlocked
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _lock(self, locks: AsyncExitStack, refs: Iterable[VaultRef], call: Call) -> None:
        for provider, ref in sorted(refs):  # a fixed order avoids deadlocks
            wait_s = call.deadline_at - loop_time()
            try:
                await locks.enter_async_context(self.deps.store.locks.customer_vault_lock(provider, ref, wait_s=wait_s))
            except LockTimeout:
                raise WritesBlocked from None
            locks.enter_context(self.deps.owner.at(provider, ref))

    async def _are_reconciled(self, run: WriteRun[Intent], refs: Collection[VaultRef]) -> bool:
        for other in await self.deps.store.read(run.unreconciled):
            if not await self._reconcile_other(other, run.call, refs):
                return False
        return True

    async def _reconcile_other(self, other: OperationRecord, call: Call, held: Collection[VaultRef]) -> bool:
        """Reconcile another unfinished write, if it is abandoned and concerns only locked vaults."""
        is_idle = other.state is OperationState.UNKNOWN or await self.deps.owner.is_abandoned(other)
        if not is_idle or not set(refs_of(other)) <= set(held):
            return False
        left_s = call.deadline_at - loop_time()
        found = await self.resume(other, until(call, loop_time() + left_s / 2), held=held)
        return found.state in _DONE or (found.state is OperationState.UNKNOWN and found.reconcile_at is None)


_DIGEST_KEY_UNKNOWN: Final = WriteProblem(
    ProblemCode.STORE_UNAVAILABLE,
    "This process lacks the digest key of the first request with this idempotency key. No vault was called. Send the "
    "same request again.",
    retryable=True,
)
"""While digest keys are rotated, if the new one was not added to all processes first."""
_KEY_REUSED: Final = WriteProblem(
    ProblemCode.IDEMPOTENCY_KEY_REUSED, "This key was used with different input.", ("idempotency_key",)
)
