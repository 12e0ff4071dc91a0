"""The write journal: each operation's request, caller, progress and outcome.

Steps of a write: `begin` (PENDING, nothing sent), `prepare` (data for reconciliation is stored, the vault may be
called), `mark` (the outcome). After a crash, the row shows which step was reached.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, and_, delete, update
from sqlalchemy.exc import IntegrityError

from app.store.database import Tx
from app.store.errors import StoreError
from app.store.hashing import hash_of_key
from app.store.journal_reads import JournalReads, to_operation
from app.store.prepared import Asked, Insert, Statement, prepared, replacing
from app.store.records import (
    Begun,
    BegunBefore,
    BegunElsewhere,
    BegunNew,
    NewOperation,
    OperationRecord,
    OperationState,
    ResultRow,
    WriteOutcome,
)
from app.store.tables import operation_results, operations
from app.store.text import storable
from app.store.ulids import OPERATION, new_id

_FINISHED = (OperationState.SUCCEEDED, OperationState.PARTIAL, OperationState.FAILED)
_TRIES = 5


class Journal(JournalReads):
    async def begin(self, new: NewOperation, *, tx: Tx | None = None) -> Begun:
        """Store the operation unless its idempotency key or its `exclusive` is in use; atomic."""
        storable(new.caller, new.customer_id, new.exclusive, new.request_id)
        row = self._new_row(new)
        async with self._db.writing(tx) as own:
            for _ in range(_TRIES):
                made = await own.conn.run_sync(lambda raw: self._changed(raw, (_begin(self._db.insert), row), new.rows))
                if made is not None:
                    return BegunNew(made)
                conflict = await self._find_conflict(new, own)
                if conflict is not None:
                    return conflict
                # The conflicting operation was released between the two statements.
        raise StoreError("the journal found neither a free key nor its holder")

    async def _find_conflict(self, new: NewOperation, tx: Tx) -> BegunBefore | BegunElsewhere | None:
        if new.idempotency_key is not None:
            known = await self.by_key(new.caller, new.mutation, new.idempotency_key, tx=tx)
            if known is not None:
                return BegunBefore(known)
        if new.exclusive is not None:
            holder = await self.by_exclusive(new.exclusive, tx=tx)
            if holder is not None:
                return BegunElsewhere(holder)
        return None

    def _new_row(self, new: NewOperation) -> dict[str, Any]:
        return {
            "tenant": self._db.tenant,
            "id": new_id(OPERATION),
            "caller": new.caller,
            "mutation": new.mutation,
            "key_hash": None if new.idempotency_key is None else hash_of_key(new.idempotency_key),
            "input_digest": new.input_digest,
            "digest_key": new.digest_key,
            "exclusive": new.exclusive,
            "customer_id": new.customer_id,
            "provider": new.provider.value if new.provider else None,
            "state": OperationState.PENDING.value,
            "is_final": False,
            "epoch": 1,
            "owner_id": new.owner_id,
            "deadline_at": new.deadline_at,
            "looks": 0,
            "intent": dict(new.intent),
            "result": {},
            "request_id": new.request_id,
            "created_at": self._db.now(),
        }

    async def prepare(
        self,
        operation: OperationRecord,
        intent: Mapping[str, Any],
        *,
        deadline_at: datetime,
        customer_id: str | None = None,
        tx: Tx | None = None,
    ) -> OperationRecord | None:
        """Store what will be sent; must be committed before the vault is called.

        None if another process has taken the operation over: then send nothing. An UNKNOWN operation that proved not
        applied becomes PENDING again.
        """
        values: dict[str, Any] = {
            "state": OperationState.PENDING.value,
            "outcome": None,
            "reconcile_at": None,
            "intent": dict(intent),
            "deadline_at": deadline_at,
            "sent_at": self._db.now(),
        }
        if customer_id is not None:
            values["customer_id"] = customer_id
        return await self._change(operation, [OperationState.PENDING, OperationState.UNKNOWN], values, (), tx)

    async def mark(
        self,
        operation: OperationRecord,
        state: OperationState,
        *,
        outcome: WriteOutcome | None = None,
        is_final: bool = True,
        result: Mapping[str, Any] | None = None,
        intent: Mapping[str, Any] | None = None,
        reconcile_at: datetime | None = None,
        customer_id: str | None = None,
        rows: Iterable[ResultRow] = (),
        expected: Collection[OperationState] = (OperationState.PENDING, OperationState.UNKNOWN),
        tx: Tx | None = None,
    ) -> OperationRecord | None:
        """Store the outcome; None if the operation's state or epoch differs from the expected one.

        FAILED without `is_final` means proven not applied: the same key may run it again. `reconcile_at` applies to
        UNKNOWN: the next reconciliation, or None if an operator must decide. `rows` are inserted or replaced as well.
        """
        values: dict[str, Any] = {
            "state": state.value,
            "outcome": outcome.value if outcome else None,
            "is_final": is_final and state in _FINISHED,
            "finished_at": self._db.now() if state in _FINISHED else None,
            "reconcile_at": reconcile_at if state is OperationState.UNKNOWN else None,
        }
        if state is OperationState.FAILED:
            values["exclusive"] = None
        for name, value in (("result", result), ("intent", intent)):
            if value is not None:
                values[name] = dict(value)
        if customer_id is not None:
            values["customer_id"] = customer_id
        return await self._change(operation, expected, values, rows, tx)

    async def put_rows(
        self, operation: OperationRecord, rows: Iterable[ResultRow], *, tx: Tx | None = None
    ) -> OperationRecord | None:
        """Insert or replace rows while the operation runs; None if another process has taken it over."""
        return await self._change(operation, [OperationState.PENDING, OperationState.UNKNOWN], {}, rows, tx)

    async def adopt(
        self, operation: OperationRecord, owner_id: str, *, look_again_at: datetime, tx: Tx | None = None
    ) -> OperationRecord | None:
        """Take over an orphaned operation, or an UNKNOWN one that is due; None if another process was faster.

        `look_again_at` is when an UNKNOWN operation becomes due again if the new owner dies too.
        """
        values: dict[str, Any] = {
            "owner_id": owner_id,
            "epoch": operation.epoch + 1,  # compare-and-set, see `_change`
            "looks": operation.looks + 1,  # changes only together with the epoch
        }
        if operation.state is OperationState.UNKNOWN:
            values["reconcile_at"] = look_again_at
        return await self._change(operation, [operation.state], values, (), tx)

    async def reopen(
        self,
        operation: OperationRecord,
        *,
        owner_id: str,
        deadline_at: datetime,
        exclusive: str | None = None,
        request_id: str | None = None,
    ) -> BegunNew | BegunElsewhere | None:
        """Run a repeatable operation again with the same id; None if another process was faster or it is final."""
        if not operation.is_repeatable:
            return None
        values: dict[str, Any] = {
            "state": OperationState.PENDING.value,
            "outcome": None,
            "epoch": operation.epoch + 1,
            "owner_id": owner_id,
            "deadline_at": deadline_at,
            "sent_at": None,
            "finished_at": None,
            "intent": {},
            "result": {},
            "exclusive": exclusive,
            "request_id": request_id,
        }
        try:
            reopened = await self._change(operation, [operation.state], values, (), None)
        except IntegrityError:  # only the constraint on `exclusive` can fail here
            holder = await self.by_exclusive(exclusive or "")
            return None if holder is None else BegunElsewhere(holder)
        return None if reopened is None else BegunNew(reopened)

    async def replace_digest(self, operation_id: str, input_digest: str, digest_key: str) -> None:
        """Store the digest of the same input under another key."""
        its = operations.c.tenant == self._db.tenant, operations.c.id == operation_id
        values = {"input_digest": input_digest, "digest_key": digest_key}
        async with self._db.writing() as tx:
            await tx.conn.execute(update(operations).where(*its).values(values))

    async def expire(self, before: datetime) -> int:
        """Delete finished operations older than `before`; returns their number.

        Unresolved operations stay with their key; those that hold an `exclusive` stay without it.
        """
        old = and_(
            operations.c.tenant == self._db.tenant,
            operations.c.created_at < before,
            operations.c.state.in_([state.value for state in _FINISHED]),
        )
        async with self._db.writing() as tx:
            await tx.conn.execute(update(operations).where(old).values(key_hash=None))
            return (await tx.conn.execute(delete(operations).where(old, operations.c.exclusive.is_(None)))).rowcount

    async def forget(self, customer_id: str, *, tx: Tx | None = None) -> None:
        """Erasure: remove personal and card data from a customer's finished operations."""
        finished = operations.c.state.in_([state.value for state in _FINISHED])
        mine = (operations.c.tenant == self._db.tenant, operations.c.customer_id == customer_id)
        async with self._db.writing(tx) as own:
            await own.conn.execute(update(operations).where(*mine, finished).values(intent={}))

    async def _change(
        self,
        operation: OperationRecord,
        expected: Collection[OperationState],
        values: Mapping[str, Any],
        rows: Iterable[ResultRow],
        tx: Tx | None,
    ) -> OperationRecord | None:
        changes = values or {"epoch": operation.epoch}  # an empty change still checks the epoch and locks
        still = (self._db.tenant, operation.id, operation.epoch, [state.value for state in expected])
        async with self._db.writing(tx) as own:
            return await own.conn.run_sync(lambda raw: self._changed(raw, _change(*still, **changes), rows))

    def _changed(self, raw: Connection, change: Statement, rows: Iterable[ResultRow]) -> OperationRecord | None:
        row = raw.execute(*change).first()
        if row is None:
            return None
        self._write_rows(raw, row.id, rows)
        return to_operation(row)

    def _write_rows(self, raw: Connection, operation_id: str, rows: Iterable[ResultRow]) -> None:
        key = {"tenant": self._db.tenant, "operation_id": operation_id}
        values = [{**key, **_row(row)} for row in rows]
        if values:
            raw.execute(_put_rows(self._db.insert), values)


@cache
def _begin(insert: Insert) -> Any:
    return insert(operations).on_conflict_do_nothing().returning(*operations.c)


@prepared
def _change(tenant: Asked, operation_id: Asked, epoch: Asked, states: Asked) -> Any:
    still = operations.c.epoch == epoch, operations.c.state.in_(states)
    mine = operations.c.tenant == tenant, operations.c.id == operation_id
    return update(operations).where(*mine, *still).returning(*operations.c)


@cache
def _put_rows(insert: Insert) -> Any:
    return replacing(insert(operation_results))


def _row(row: ResultRow) -> dict[str, Any]:
    return {
        "row": row.row,
        "provider": row.provider.value,
        "state": row.state.value,
        "outcome": row.outcome.value,
        "customer_ref": row.customer_ref,
        "method_ref": row.method_ref,
        "error": None if row.error is None else dict(row.error),
    }
