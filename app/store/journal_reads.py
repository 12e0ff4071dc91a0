"""Reading the journal: one operation, its rows, and those that somebody must look at."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select

from app.store.database import Database, Tx
from app.store.hashing import hash_of_key
from app.store.owners import is_dead
from app.store.records import OperationRecord, OperationState, ResultPage, ResultRow, WriteOutcome
from app.store.tables import operation_results, operations, owners
from app.store.text import is_storable
from app.vault.names import CustomerRef, MethodRef, ProviderName

LEASE = timedelta(seconds=15)
"""How long a process may be silent before its operations are others' to reconcile."""


class JournalReads:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def operation(self, operation_id: str, *, tx: Tx | None = None) -> OperationRecord | None:
        if not is_storable(operation_id):
            return None
        return await self._one(self._ours().where(operations.c.id == operation_id), tx)

    async def by_key(
        self, caller: str, mutation: str, idempotency_key: str, *, tx: Tx | None = None
    ) -> OperationRecord | None:
        query = self._ours().where(
            operations.c.caller == caller,
            operations.c.mutation == mutation,
            operations.c.key_hash == hash_of_key(idempotency_key),
        )
        return await self._one(query, tx)

    async def by_exclusive(self, exclusive: str, *, tx: Tx | None = None) -> OperationRecord | None:
        return await self._one(self._ours().where(operations.c.exclusive == exclusive), tx)

    async def of_customer(self, customer_id: str, *, limit: int = 100) -> list[OperationRecord]:
        """The newest first."""
        query = self._ours().where(operations.c.customer_id == customer_id)
        return await self._many(query.order_by(operations.c.id.desc()).limit(limit))

    async def unreconciled(
        self, customer_id: str, provider: ProviderName, *, besides: str | None = None
    ) -> list[OperationRecord]:
        """Operations of the customer at the vault of which nobody knows yet what they did there, oldest first.

        Sent and still PENDING, or UNKNOWN with another look to come. Those that have sent nothing, and those that only
        a person can decide, are left out: the first are harmless, the second must not block the customer for ever.
        """
        query = self._ours().where(operations.c.customer_id == customer_id, _is_unreconciled(provider))
        if besides is not None:
            query = query.where(operations.c.id != besides)
        return await self._many(query.order_by(operations.c.id))

    async def is_disturbed(self, customer_id: str, provider: ProviderName, since: datetime) -> bool:
        """Whether an operation of the customer has ended since, or is `unreconciled` at the vault."""
        query = self._ours().where(
            operations.c.customer_id == customer_id,
            or_(operations.c.finished_at >= since, _is_unreconciled(provider)),
        )
        async with self._db.reading() as conn:
            found = await conn.scalar(query.with_only_columns(operations.c.id).limit(1))
        return found is not None

    async def orphans(
        self, *, lease: timedelta = LEASE, dead: Collection[str] = (), limit: int = 100
    ) -> list[OperationRecord]:
        """PENDING operations whose process is gone, oldest first: `adopt` each before touching it.

        `dead` names owners that the caller knows to be gone although their lease still runs.
        """
        whose = and_(owners.c.tenant == operations.c.tenant, owners.c.id == operations.c.owner_id)
        query = (
            self._ours()
            .select_from(operations.outerjoin(owners, whose))
            .where(operations.c.state == "PENDING", is_dead(self._db.now(), lease, dead))
        )
        return await self._many(query.order_by(operations.c.id).limit(limit))

    async def due(self, *, limit: int = 100) -> list[OperationRecord]:
        """UNKNOWN operations whose next look has come: `adopt` each before touching it."""
        query = self._ours().where(operations.c.state == "UNKNOWN", operations.c.reconcile_at <= self._db.now())
        return await self._many(query.order_by(operations.c.reconcile_at).limit(limit))

    async def undecided(self, *, limit: int = 100) -> list[OperationRecord]:
        """UNKNOWN operations that only a person can decide, oldest first."""
        query = self._ours().where(operations.c.state == "UNKNOWN", operations.c.reconcile_at.is_(None))
        return await self._many(query.order_by(operations.c.id).limit(limit))

    async def results(self, operation_id: str, *, after: int = -1, first: int = 50) -> ResultPage:
        """Rows after the row number `after`, in order."""
        query = (
            select(operation_results)
            .where(
                operation_results.c.tenant == self._db.tenant,
                operation_results.c.operation_id == operation_id,
                operation_results.c.row > after,
            )
            .order_by(operation_results.c.row)
            .limit(first + 1)
        )
        async with self._db.reading() as conn:
            rows = [_result(row) for row in await conn.execute(query)]
        return ResultPage(tuple(rows[:first]), has_next=len(rows) > first)

    def _ours(self) -> Select[Any]:
        return select(operations).where(operations.c.tenant == self._db.tenant)

    async def _one(self, query: Select[Any], tx: Tx | None = None) -> OperationRecord | None:
        async with self._db.reading(tx) as conn:
            row = (await conn.execute(query)).first()
        return None if row is None else to_operation(row)

    async def _many(self, query: Select[Any]) -> list[OperationRecord]:
        async with self._db.reading() as conn:
            return [to_operation(row) for row in await conn.execute(query)]


def _is_unreconciled(provider: ProviderName) -> ColumnElement[bool]:
    part = exists().where(
        operation_results.c.tenant == operations.c.tenant,
        operation_results.c.operation_id == operations.c.id,
        operation_results.c.provider == provider.value,
        operation_results.c.state.in_(["PENDING", "UNKNOWN"]),
    )
    return and_(
        or_(operations.c.provider == provider.value, and_(operations.c.provider.is_(None), part)),
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
