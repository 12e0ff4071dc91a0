"""Reads of the journal: operations, their rows, and those that need reconciliation or an operator."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select

from app.store.database import Database, Tx
from app.store.hashing import hash_of_key
from app.store.leases import is_dead
from app.store.prepared import Asked, Statement, prepared
from app.store.records import OperationRecord, OperationState, ResultPage, ResultRow, WriteOutcome
from app.store.tables import operation_results, operations, owners
from app.store.text import is_storable
from app.vault.enums import CustomerRef, MethodRef, ProviderName

LEASE = timedelta(seconds=15)
"""Time without a heartbeat after which other processes take over a process's operations."""


class JournalReads:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def operation(self, operation_id: str, *, tx: Tx | None = None) -> OperationRecord | None:
        if not is_storable(operation_id):
            return None
        return await self._one(_operation(self._db.tenant, operation_id), tx)

    async def by_key(
        self, caller: str, mutation: str, idempotency_key: str, *, tx: Tx | None = None
    ) -> OperationRecord | None:
        return await self._one(_by_key(self._db.tenant, caller, mutation, hash_of_key(idempotency_key)), tx)

    async def by_exclusive(self, exclusive: str, *, tx: Tx | None = None) -> OperationRecord | None:
        return await self._one(_by_exclusive(self._db.tenant, exclusive), tx)

    async def of_customer(self, customer_id: str, *, limit: int = 100) -> list[OperationRecord]:
        """Newest first."""
        return await self._many(_of_customer(self._db.tenant, customer_id, limit))

    async def unreconciled(
        self, customer_id: str, provider: ProviderName, *, besides: str | None = None
    ) -> list[OperationRecord]:
        """Operations of the customer at the vault whose effect is still unknown, oldest first.

        PENDING ones that were sent, and UNKNOWN ones with a reconciliation to come. Excludes operations that sent
        nothing, and those that an operator must decide, which must not block the customer for ever.
        """
        return await self._many(_unreconciled(self._db.tenant, customer_id, provider.value, besides or ""))

    async def is_disturbed(self, customer_id: str, provider: ProviderName, since: datetime) -> bool:
        """Whether an operation of the customer has finished since `since`, or is `unreconciled` at the vault."""
        asked = _disturbing(self._db.tenant, customer_id, provider.value, since)
        return bool(await self._db.rows(asked))

    async def orphans(
        self, *, lease: timedelta = LEASE, dead: Collection[str] = (), limit: int = 100
    ) -> list[OperationRecord]:
        """PENDING operations whose process is dead, oldest first; call `adopt` before processing one.

        `dead` are owners known to be dead although their lease has not expired.
        """
        return await self._many(_orphans(self._db.tenant, self._db.now() - lease, list(dead), limit))

    async def due(self, *, limit: int = 100) -> list[OperationRecord]:
        """UNKNOWN operations that are due for reconciliation; call `adopt` before processing one."""
        return await self._many(_due(self._db.tenant, self._db.now(), limit))

    async def undecided(self, *, limit: int = 100) -> list[OperationRecord]:
        """UNKNOWN operations that an operator must decide, oldest first."""
        return await self._many(_undecided(self._db.tenant, limit))

    async def results(self, operation_id: str, *, after: int = -1, first: int = 50) -> ResultPage:
        """Rows with numbers above `after`, in order."""
        async with self._db.reading() as conn:
            found = await conn.execute(*_results(self._db.tenant, operation_id, after, first + 1))
            rows = [_result(row) for row in found]
        return ResultPage(tuple(rows[:first]), has_next=len(rows) > first)

    async def _one(self, asked: Statement, tx: Tx | None = None) -> OperationRecord | None:
        rows = await self._db.rows(asked, tx)
        return to_operation(rows[0]) if rows else None

    async def _many(self, asked: Statement) -> list[OperationRecord]:
        return [to_operation(row) for row in await self._db.rows(asked)]


@prepared
def _operation(tenant: Asked, operation_id: Asked) -> Select[Any]:
    return _select(tenant).where(operations.c.id == operation_id)


@prepared
def _by_key(tenant: Asked, caller: Asked, mutation: Asked, key_hash: Asked) -> Select[Any]:
    same = operations.c.caller == caller, operations.c.mutation == mutation, operations.c.key_hash == key_hash
    return _select(tenant).where(*same)


@prepared
def _by_exclusive(tenant: Asked, exclusive: Asked) -> Select[Any]:
    return _select(tenant).where(operations.c.exclusive == exclusive)


@prepared
def _of_customer(tenant: Asked, customer_id: Asked, limit: Asked) -> Select[Any]:
    return _select(tenant).where(operations.c.customer_id == customer_id).order_by(operations.c.id.desc()).limit(limit)


@prepared
def _unreconciled(tenant: Asked, customer_id: Asked, provider: Asked, besides: Asked) -> Select[Any]:
    theirs = operations.c.customer_id == customer_id, operations.c.id != besides
    return _select(tenant).where(*theirs, _is_unreconciled(provider)).order_by(operations.c.id)


@prepared
def _disturbing(tenant: Asked, customer_id: Asked, provider: Asked, since: Asked) -> Select[Any]:
    disturbs = or_(operations.c.finished_at >= since, _is_unreconciled(provider))
    theirs = operations.c.tenant == tenant, operations.c.customer_id == customer_id
    return select(operations.c.id).where(*theirs, disturbs).limit(1)


@prepared
def _orphans(tenant: Asked, silent_since: Asked, dead: Asked, limit: Asked) -> Select[Any]:
    whose = and_(owners.c.tenant == operations.c.tenant, owners.c.id == operations.c.owner_id)
    return (
        _select(tenant)
        .select_from(operations.outerjoin(owners, whose))
        .where(operations.c.state == "PENDING", is_dead(silent_since, dead))
        .order_by(operations.c.id)
        .limit(limit)
    )


@prepared
def _due(tenant: Asked, now: Asked, limit: Asked) -> Select[Any]:
    due = operations.c.state == "UNKNOWN", operations.c.reconcile_at <= now
    return _select(tenant).where(*due).order_by(operations.c.reconcile_at).limit(limit)


@prepared
def _undecided(tenant: Asked, limit: Asked) -> Select[Any]:
    undecided = operations.c.state == "UNKNOWN", operations.c.reconcile_at.is_(None)
    return _select(tenant).where(*undecided).order_by(operations.c.id).limit(limit)


@prepared
def _results(tenant: Asked, operation_id: Asked, after: Asked, limit: Asked) -> Select[Any]:
    row = operation_results.c.row
    its = operation_results.c.tenant == tenant, operation_results.c.operation_id == operation_id
    return select(operation_results).where(*its, row > after).order_by(row).limit(limit)


def _select(tenant: Asked) -> Select[Any]:
    return select(operations).where(operations.c.tenant == tenant)


def _is_unreconciled(provider: Asked) -> ColumnElement[bool]:
    part = exists().where(
        operation_results.c.tenant == operations.c.tenant,
        operation_results.c.operation_id == operations.c.id,
        operation_results.c.provider == provider,
        operation_results.c.state.in_(["PENDING", "UNKNOWN"]),
    )
    return and_(
        or_(operations.c.provider == provider, and_(operations.c.provider.is_(None), part)),
        or_(
            and_(operations.c.state == "PENDING", operations.c.sent_at.is_not(None)),
            and_(operations.c.state == "UNKNOWN", operations.c.reconcile_at.is_not(None)),
        ),
    )


def to_operation(row: Row[Any]) -> OperationRecord:
    return OperationRecord(
        id=row.id,
        caller=row.caller,
        mutation=row.mutation,
        input_digest=row.input_digest,
        customer_id=row.customer_id,
        provider=ProviderName(row.provider) if row.provider else None,
        exclusive=row.exclusive,
        state=OperationState(row.state),
        outcome=WriteOutcome(row.outcome) if row.outcome else None,
        is_final=row.is_final,
        epoch=row.epoch,
        owner_id=row.owner_id,
        deadline_at=row.deadline_at,
        sent_at=row.sent_at,
        reconcile_at=row.reconcile_at,
        looks=row.looks,
        intent=row.intent,
        result=row.result,
        request_id=row.request_id,
        created_at=row.created_at,
        finished_at=row.finished_at,
        digest_key=row.digest_key,
    )


def _result(row: Row[Any]) -> ResultRow:
    return ResultRow(
        row=row.row,
        provider=ProviderName(row.provider),
        state=OperationState(row.state),
        outcome=WriteOutcome(row.outcome),
        customer_ref=CustomerRef(row.customer_ref) if row.customer_ref is not None else None,
        method_ref=MethodRef(row.method_ref) if row.method_ref is not None else None,
        error=row.error,
    )
