"""Reads of the journal: operations, their rows, and those that need reconciliation or an operator."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from app.store.connection import Connection
from app.store.hashing import hash_of_key
from app.store.records import OperationRecord, OperationState, ResultPage, ResultRow
from app.store.statements import Query
from app.store.text import is_storable
from app.vault.enums import ProviderName

LEASE: Final = timedelta(seconds=15)
"""Time without a heartbeat after which other processes take over a process's operations."""

_BY_ID: Final = Query(OperationRecord, "SELECT {columns} FROM operations WHERE tenant = :tenant AND id = :id")
_BY_KEY: Final = Query(
    OperationRecord,
    "SELECT {columns} FROM operations"
    " WHERE tenant = :tenant AND caller = :caller AND mutation = :mutation AND key_hash = :key_hash",
)
_BY_EXCLUSIVE: Final = Query(
    OperationRecord, "SELECT {columns} FROM operations WHERE tenant = :tenant AND exclusive = :exclusive"
)
_OF_CUSTOMER: Final = Query(
    OperationRecord,
    "SELECT {columns} FROM operations WHERE tenant = :tenant AND customer_id = :customer_id"
    " ORDER BY id DESC LIMIT :limit",
)
_AT_VAULT_SINCE: Final = Query(
    OperationRecord,
    "SELECT {columns} FROM operations WHERE tenant = :tenant AND customer_id = :customer_id"
    " AND provider = :provider AND created_at >= :since AND id <> :besides ORDER BY id DESC",
)
IS_UNRECONCILED: Final = """
    (provider IN :providers OR provider IS NULL AND EXISTS (
        SELECT 1 FROM operation_results AS part
        WHERE part.tenant = operations.tenant AND part.operation_id = operations.id
        AND part.provider IN :providers AND part.state IN ('PENDING', 'UNKNOWN')
    ))
    AND (state = 'PENDING' AND sent_at IS NOT NULL OR state = 'UNKNOWN' AND reconcile_at IS NOT NULL)
"""
_UNRECONCILED: Final = Query(
    OperationRecord,
    "SELECT {columns} FROM operations"
    " WHERE tenant = :tenant AND customer_id = :customer_id AND id <> :besides AND {is_unreconciled} ORDER BY id",
    is_unreconciled=IS_UNRECONCILED,
)
_DISTURBING: Final = Query(
    str,
    "SELECT id FROM operations WHERE tenant = :tenant AND customer_id = :customer_id"
    " AND (finished_at >= :since OR {is_unreconciled}) LIMIT 1",
    is_unreconciled=IS_UNRECONCILED,
)
_ORPHANS: Final = Query(
    OperationRecord,
    """
    SELECT {columns} FROM operations WHERE tenant = :tenant AND state = 'PENDING' AND NOT EXISTS (
        SELECT 1 FROM owners
        WHERE owners.tenant = operations.tenant AND owners.id = operations.owner_id
        AND owners.stopped_at IS NULL AND owners.beat_at >= :silent_since AND owners.id NOT IN :dead
    ) ORDER BY id LIMIT :limit
    """,
)
_DUE: Final = Query(
    OperationRecord,
    "SELECT {columns} FROM operations WHERE tenant = :tenant AND state = 'UNKNOWN' AND reconcile_at <= :now"
    " ORDER BY reconcile_at LIMIT :limit",
)
_IN_STATE: Final = Query(
    OperationRecord,
    "SELECT {columns} FROM operations WHERE tenant = :tenant AND state = :state AND id > :after"
    " ORDER BY id LIMIT :limit",
)
_RESULTS: Final = Query(
    ResultRow,
    "SELECT {columns} FROM operation_results"
    " WHERE tenant = :tenant AND operation_id = :operation_id AND row > :after ORDER BY row LIMIT :limit",
)

_APPLIED: Final = Query(
    int,
    "SELECT row FROM operation_results WHERE tenant = :tenant AND operation_id = :operation_id"
    " AND state = 'SUCCEEDED' AND outcome = 'APPLIED'",
)


def find_operation(db: Connection, operation_id: str) -> OperationRecord | None:
    return db.one(_BY_ID, id=operation_id) if is_storable(operation_id) else None


def operation_by_key(db: Connection, caller: str, mutation: str, idempotency_key: str) -> OperationRecord | None:
    return db.one(_BY_KEY, caller=caller, mutation=mutation, key_hash=hash_of_key(idempotency_key))


def operation_by_exclusive(db: Connection, exclusive: str) -> OperationRecord | None:
    return db.one(_BY_EXCLUSIVE, exclusive=exclusive)


def operations_of_customer(db: Connection, customer_id: str, *, limit: int = 100) -> list[OperationRecord]:
    """Newest first."""
    return db.all(_OF_CUSTOMER, customer_id=customer_id, limit=limit)


def operations_at_vault(
    db: Connection, customer_id: str, provider: ProviderName, since: datetime, *, besides: str
) -> list[OperationRecord]:
    """The customer's at this vault that began since `since`, newest first."""
    return db.all(_AT_VAULT_SINCE, customer_id=customer_id, provider=provider, since=since, besides=besides)


def unreconciled_operations(
    db: Connection, customer_id: str, providers: Collection[ProviderName], *, besides: str | None = None
) -> list[OperationRecord]:
    """Operations of the customer at these vaults whose effect is still unknown, oldest first.

    PENDING ones that were sent, and UNKNOWN ones with a reconciliation to come. Excludes operations that sent nothing,
    and those that an operator must decide, which must not block the customer for ever.
    """
    return db.all(_UNRECONCILED, customer_id=customer_id, providers=list(providers), besides=besides or "")


def is_disturbed(db: Connection, customer_id: str, provider: ProviderName, since: datetime) -> bool:
    """Whether an operation of the customer has finished since `since`, or is unreconciled at the vault."""
    return db.one(_DISTURBING, customer_id=customer_id, providers=[provider], since=since) is not None


def orphaned_operations(
    db: Connection, *, lease: timedelta = LEASE, dead: Collection[str] = (), limit: int = 100
) -> list[OperationRecord]:
    """PENDING operations whose process is dead, oldest first; call `adopt` before processing one.

    `dead` are owners known to be dead although their lease has not expired.
    """
    return db.all(_ORPHANS, silent_since=db.now() - lease, dead=list(dead), limit=limit)


def due_operations(db: Connection, *, limit: int = 100) -> list[OperationRecord]:
    """UNKNOWN operations that are due for reconciliation; call `adopt` before processing one."""
    return db.all(_DUE, now=db.now(), limit=limit)


def operations_in_state(
    db: Connection, state: OperationState, *, after: str = "", limit: int = 100
) -> list[OperationRecord]:
    """Oldest first, with ids above `after`."""
    return db.all(_IN_STATE, state=state, after=after, limit=limit)


def operation_results(db: Connection, operation_id: str, *, after: int = -1, first: int = 50) -> ResultPage:
    """Rows with numbers above `after`, in order."""
    rows = db.all(_RESULTS, operation_id=operation_id, after=after, limit=first + 1)
    return ResultPage(tuple(rows[:first]), has_next=len(rows) > first)


def applied_parts(db: Connection, operation_id: str) -> list[int]:
    """The numbers of the rows that were applied."""
    return db.all(_APPLIED, operation_id=operation_id)
