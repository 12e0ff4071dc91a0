"""Ends a write: its outcome, the directory's changes and the events, in one transaction with the journal."""

import logging
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from app.errors import VaultError
from app.store import Transaction
from app.store.errors import CustomerUnknown, logged
from app.store.events import append_events
from app.store.journal import mark_operation
from app.store.records import EventType, NewEvent, OperationRecord, OperationState, ResultRow, Topic, WriteOutcome
from app.wallet.commands import WriteResult
from app.wallet.problems import WriteProblem
from app.wallet.writes.deps import Deps
from app.wallet.writes.handler import CompletedWrite, WriteHandler, row_of
from app.wallet.writes.intents import Intent
from app.wallet.writes.interrupts import LeaseLost, NotApplied, NothingSent, StillUnknown, WriteRefused
from app.wallet.writes.post_write_refresh import PostWriteRefresh
from app.wallet.writes.refusals import interrupted, is_final, outcome_unknown, problems_of, proven_absent
from app.wallet.writes.run import WriteRun
from app.wallet.writes.stored_result import to_json
from app.wallet.writes.upgrades import IntentUnreadable

_log = logging.getLogger("vaultgraph.writing")
_SOON: Final = timedelta(seconds=1)
_LONGEST: Final = timedelta(seconds=60)
LOOK_FOR: Final = timedelta(hours=24)
"""How long an unknown outcome is reconciled automatically; after that an operator must decide."""
_FOR_OPERATOR: Final = "This version of the gateway cannot read the stored request: an operator must decide."


class WriteFinisher:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self.refresh = PostWriteRefresh(deps)

    async def complete(self, handler: WriteHandler[Any, Any], run: WriteRun[Intent]) -> WriteResult:
        """Run and finish the operation. Raises LeaseLost if another process has taken it over, WritesUnreconciled if
        nothing was sent and another write there is unreconciled: what this one has read may change."""
        done = await self._outcome(handler, run)
        try:
            done = await self._finish(run, done, handler)
        except WriteRefused as refused:  # the directory's constraints refused it
            done = await self._finish(run, _failed(run, refused.problems, final=refused.is_final), handler)
        if handler.changes_methods:
            self.refresh.schedule(run, done)
        return replace(done.result, operation=run.operation, next_action=run.next_action)

    async def give_up(self, run: WriteRun[Intent], problem: WriteProblem) -> WriteResult:
        """Nothing was sent: mark it FAILED, so that the same key may run again; PARTIAL, if an earlier run of it has
        applied a part."""
        failed = await self._besides_applied(run.operation, _failed(run, (problem,), final=False))
        done = await self._finish(run, failed)
        return replace(done.result, operation=run.operation)

    async def nothing_sent(self, operation: OperationRecord) -> OperationRecord:
        """Mark an orphan that had sent nothing."""
        is_applied = operation.epoch > 1 and bool(await self._deps.store.journal.applied_parts(operation.id))
        marked = await self._deps.store.journal.mark(
            operation,
            OperationState.PARTIAL if is_applied else OperationState.FAILED,
            outcome=WriteOutcome.APPLIED if is_applied else WriteOutcome.NOT_APPLIED,
            is_final=False,
            result=to_json(WriteResult(problems=(interrupted(operation.provider),), customer_id=operation.customer_id)),
        )
        return marked or await self._deps.store.journal.operation(operation.id) or operation

    async def leave(self, run: WriteRun[Intent]) -> None:
        """After an unexpected error: record the progress, for the reconciler."""
        journal, operation = self._deps.store.journal, run.operation
        # If it cannot be recorded, the row stays PENDING and abandoned, which is equivalent.
        with logged(_log, "the failure of %s could not be journalled", operation.id):
            if operation.sent_at is None:
                await self.nothing_sent(operation)
                return
            await journal.mark(
                operation,
                OperationState.UNKNOWN,
                outcome=WriteOutcome.UNKNOWN,
                reconcile_at=self._deps.utc_now() + _SOON,
            )

    async def leave_to_operator(
        self, operation: OperationRecord, reason: IntentUnreadable, handler: WriteHandler[Any, Any] | None
    ) -> None:
        """The stored intent cannot be read, so no lookup can decide the operation. Other writes there wait while its
        request may be in flight. Raises LeaseLost."""
        marked = await self._deps.store.transaction(self._mark_unread, operation, handler)
        if operation.result != marked.result:  # otherwise already logged
            _log.error(
                "%s (%s) cannot be resumed: %s; it is %s and needs an operator",
                operation.id,
                operation.mutation,
                reason,
                marked.state.value,
            )

    def _mark_unread(
        self, tx: Transaction, operation: OperationRecord, handler: WriteHandler[Any, Any] | None
    ) -> OperationRecord:
        done = _unreadable(operation, handler, self._deps.utc_now())
        if handler is not None:
            done = handler.settle_unread(tx, operation, done)
        return self._mark(tx, operation, done)

    async def _outcome(self, handler: WriteHandler[Any, Any], run: WriteRun[Intent]) -> CompletedWrite:
        try:
            return await handler.execute(run)
        except (WriteRefused, NothingSent, VaultError) as error:
            if run.progress.doing:  # resumed, and failed before the step that may have been sent was looked up
                provider = run.operation.provider or run.intent.refs[0][0]
                return _unknown(run, StillUnknown(provider), handler)
            failed = self._not_applied(handler, run, error)
        except NotApplied as absent:
            failed = _failed(run, (proven_absent(absent.provider, absent.error),), final=False)
        except StillUnknown as unknown:
            return _unknown(run, unknown, handler)
        return await self._besides_applied(run.operation, failed)

    async def _besides_applied(self, operation: OperationRecord, failed: CompletedWrite) -> CompletedWrite:
        """`failed`; PARTIAL, without the rows that an earlier run of the operation has applied, if there are any."""
        applied = await self._deps.store.journal.applied_parts(operation.id) if operation.epoch > 1 else ()
        return _besides(failed, applied)

    def _not_applied(self, handler: WriteHandler[Any, Any], run: WriteRun[Intent], error: Exception) -> CompletedWrite:
        if isinstance(error, WriteRefused):
            return _failed(run, error.problems, final=error.is_final)
        if isinstance(error, VaultError):
            problems = problems_of(error, lambda fault: handler.path_of(run.intent, fault))
            return _failed(run, problems, final=is_final(error))
        return _failed(run, (interrupted(run.operation.provider),), final=False)

    async def _finish(
        self, run: WriteRun[Intent], done: CompletedWrite, handler: WriteHandler[Any, Any] | None = None
    ) -> CompletedWrite:
        """`done` as it was stored; `run` has the operation as it is now."""
        self._deps.reached("finishing")
        store = self._deps.store
        try:
            done, run.operation = await store.transaction(self._commit, run, done, handler, with_changes=True)
        except CustomerUnknown:  # erased meanwhile: no customer data is left to change
            done, run.operation = await store.transaction(self._commit, run, done, handler, with_changes=False)
        self._deps.reached("finished")
        return done

    def _commit(
        self,
        tx: Transaction,
        run: WriteRun[Intent],
        done: CompletedWrite,
        handler: WriteHandler[Any, Any] | None,
        *,
        with_changes: bool,
    ) -> tuple[CompletedWrite, OperationRecord]:
        if handler is not None:
            if run.operation.sent_at is None:
                run.refuse_unreconciled(tx)
            done = handler.settle(tx, run, done)
        customer_id = run.operation.customer_id
        is_news = done.state is not run.operation.state
        if is_news and customer_id is not None:
            tx.touch(Topic.CUSTOMER, customer_id)
        if is_news:
            append_events(tx, [run.attributed(event) for event in done.events])
        if with_changes:
            for apply in done.apply:
                apply(tx)
        if is_news:
            append_events(tx, [run.attributed(_audit_event(run, done))])
        return done, self._mark(tx, run.operation, done, run.progress.to_json())

    def _mark(
        self, tx: Transaction, operation: OperationRecord, done: CompletedWrite, intent: dict[str, Any] | None = None
    ) -> OperationRecord:
        marked = mark_operation(
            tx,
            operation,
            done.state,
            outcome=done.outcome,
            is_final=done.is_final,
            result=to_json(done.result),
            intent=intent,
            reconcile_at=self._look_again_at(operation, done),
            rows=done.rows,
        )
        if marked is None:
            raise LeaseLost
        return marked

    def _look_again_at(self, operation: OperationRecord, done: CompletedWrite) -> datetime | None:
        now = self._deps.utc_now()
        if done.state is not OperationState.UNKNOWN or done.for_person or now - operation.created_at > LOOK_FOR:
            return None
        if done.look_at is not None and done.look_at > now:
            return done.look_at
        pause: timedelta = min(_SOON * 2 ** min(operation.looks, 6), _LONGEST)
        return now + pause


def _audit_event(run: WriteRun[Intent], done: CompletedWrite) -> NewEvent:
    operation, reason = run.operation, run.intent.audit_reason
    return NewEvent(
        type=EventType.MUTATION,
        provider=operation.provider,
        outcome=done.state.value,
        detail={
            "mutation": operation.mutation,
            "operation": operation.id,
            "codes": [problem.code.value for problem in done.result.problems],
            **({} if reason is None else {"reason": reason}),
        },
    )


def _failed(run: WriteRun[Intent], problems: tuple[WriteProblem, ...], *, final: bool) -> CompletedWrite:
    return CompletedWrite(
        result=WriteResult(problems=problems, customer_id=run.operation.customer_id),
        state=OperationState.FAILED,
        outcome=WriteOutcome.NOT_APPLIED,
        is_final=final,
        rows=_rows(run, OperationState.FAILED, WriteOutcome.NOT_APPLIED, problems),
    )


def _besides(failed: CompletedWrite, applied: Collection[int]) -> CompletedWrite:
    """`failed` without the rows that an earlier run has applied."""
    if not applied:
        return failed
    rows = tuple(row for row in failed.rows if row.row not in applied)
    return replace(failed, state=OperationState.PARTIAL, outcome=WriteOutcome.APPLIED, rows=rows)


def _unknown(run: WriteRun[Intent], unknown: StillUnknown, handler: WriteHandler[Any, Any]) -> CompletedWrite:
    """An undecided outcome. If an operator must decide, each candidate method is a row."""
    problem = handler.unknown(unknown.provider, unknown.error)
    state, outcome = OperationState.UNKNOWN, WriteOutcome.UNKNOWN
    customer_ref = run.intent.refs[0][1] if run.intent.refs else None
    rows = tuple(
        row_of(number, unknown.provider, state, outcome, customer_ref=customer_ref, method_ref=ref, problem=problem)
        for number, ref in enumerate(unknown.candidates)
    )
    return CompletedWrite(
        result=WriteResult(problems=(problem,), customer_id=run.operation.customer_id),
        state=state,
        outcome=outcome,
        for_person=unknown.for_person,
        look_at=unknown.look_at,
        rows=rows or _rows(run, state, outcome, (problem,)),
    )


def _unreadable(operation: OperationRecord, handler: WriteHandler[Any, Any] | None, now: datetime) -> CompletedWrite:
    unknown = (handler.unknown if handler else outcome_unknown)(operation.provider)
    problem = replace(unknown, message=f"{unknown.message} {_FOR_OPERATOR}")
    state, outcome, provider = OperationState.UNKNOWN, WriteOutcome.UNKNOWN, operation.provider
    return CompletedWrite(
        result=WriteResult(problems=(problem,), customer_id=operation.customer_id),
        state=state,
        outcome=outcome,
        for_person=operation.deadline_at <= now,
        look_at=operation.deadline_at,
        rows=() if provider is None else (row_of(0, provider, state, outcome, problem=problem),),
    )


def _rows(
    run: WriteRun[Intent], state: OperationState, outcome: WriteOutcome, problems: tuple[WriteProblem, ...]
) -> tuple[ResultRow, ...]:
    """The rows of a write at one vault; writes at several vaults make their own."""
    provider = run.operation.provider
    if provider is None:
        return ()
    problem = problems[0] if problems else None
    return tuple(row_of(at, provider, state, outcome, problem=problem) for at in range(run.intent.parts))
