"""The write journal: each operation's request, caller, progress and outcome.

Steps of a write: `begin_operation` (PENDING, nothing sent), `prepare_operation` (data for reconciliation is stored, the
vault may be called), `mark_operation` (the outcome). After a crash, the row shows which step was reached.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from app.store import journal_reads
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.errors import ConstraintViolated, StoreError
from app.store.hashing import hash_of_key
from app.store.journal_reads import IS_UNRECONCILED, operation_by_exclusive, operation_by_key
from app.store.outbox import Transaction
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
from app.store.statements import Query, Statement, values_of
from app.store.text import storable
from app.store.ulids import OPERATION, new_id
from app.vault.enums import ProviderName

_FINISHED: Final = (OperationState.SUCCEEDED, OperationState.PARTIAL, OperationState.FAILED)
_RUNNING: Final = (OperationState.PENDING, OperationState.UNKNOWN)
_TRIES: Final = 5

_BEGIN: Final = Query(
    OperationRecord,
    """
    INSERT INTO operations (
        tenant, id, caller, mutation, key_hash, input_digest, digest_key, exclusive, customer_id, provider, state,
        is_final, epoch, owner_id, deadline_at, looks, intent, result, request_id, created_at
    ) VALUES (
        :tenant, :id, :caller, :mutation, :key_hash, :input_digest, :digest_key, :exclusive, :customer_id, :provider,
        'PENDING', FALSE, 1, :owner_id, :deadline_at, 0, :intent, :result, :request_id, :created_at
    ) ON CONFLICT DO NOTHING RETURNING {columns}
    """,
)
# Compare-and-set: the operation changes only in an expected state, and only for the process that runs it.
_IF_EXPECTED: Final = "WHERE tenant = :tenant AND id = :id AND epoch = :epoch AND state IN :expected"
_PREPARE: Final = Query(
    OperationRecord,
    """
    UPDATE operations SET
        state = 'PENDING', outcome = NULL, reconcile_at = NULL, intent = :intent, deadline_at = :deadline_at,
        sent_at = :sent_at, customer_id = COALESCE(:customer_id, customer_id)
    {if_expected} AND NOT EXISTS (
        SELECT 1 FROM operations WHERE tenant = :tenant AND customer_id = :alone_of AND id <> :id AND {is_unreconciled}
    ) RETURNING {columns}
    """,
    if_expected=_IF_EXPECTED,
    is_unreconciled=IS_UNRECONCILED,
)
_MARK: Final = Query(
    OperationRecord,
    """
    UPDATE operations SET
        state = :state, outcome = :outcome, is_final = :is_final, finished_at = :finished_at,
        reconcile_at = :reconcile_at, exclusive = CASE WHEN :is_freed THEN NULL ELSE exclusive END,
        result = COALESCE(:result, result), intent = COALESCE(:intent, intent),
        customer_id = COALESCE(:customer_id, customer_id)
    {if_expected} RETURNING {columns}
    """,
    if_expected=_IF_EXPECTED,
)
_ADOPT: Final = Query(
    OperationRecord,
    """
    UPDATE operations SET
        owner_id = :owner_id, epoch = epoch + 1, looks = looks + 1,
        reconcile_at = COALESCE(:reconcile_at, reconcile_at)
    {if_expected} RETURNING {columns}
    """,
    if_expected=_IF_EXPECTED,
)
_REOPEN: Final = Query(
    OperationRecord,
    """
    UPDATE operations SET
        state = 'PENDING', outcome = NULL, epoch = epoch + 1, owner_id = :owner_id, deadline_at = :deadline_at,
        sent_at = NULL, finished_at = NULL, intent = :nothing, result = :nothing, exclusive = :exclusive,
        request_id = :request_id
    {if_expected} RETURNING {columns}
    """,
    if_expected=_IF_EXPECTED,
)
_REPLACE_DIGEST: Final = Statement(
    "UPDATE operations SET input_digest = :input_digest, digest_key = :digest_key WHERE tenant = :tenant AND id = :id"
)
_PUT_RESULT: Final = Statement(
    """
    INSERT INTO operation_results (
        tenant, operation_id, row, provider, state, outcome, customer_ref, method_ref, error, was_duplicate
    ) VALUES (
        :tenant, :operation_id, :row, :provider, :state, :outcome, :customer_ref, :method_ref, :error, :was_duplicate
    )
    ON CONFLICT (tenant, operation_id, row) DO UPDATE SET
        provider = excluded.provider, state = excluded.state, outcome = excluded.outcome,
        customer_ref = excluded.customer_ref, method_ref = excluded.method_ref, error = excluded.error,
        was_duplicate = excluded.was_duplicate
    """
)
_OLD: Final = "WHERE tenant = :tenant AND created_at < :before AND state IN ('SUCCEEDED', 'PARTIAL', 'FAILED')"
_FORGET_KEYS: Final = Statement("UPDATE operations SET key_hash = NULL {old}", old=_OLD)
_DELETE_OLD: Final = Statement("DELETE FROM operations {old} AND exclusive IS NULL", old=_OLD)
_FORGET_INTENTS: Final = Statement(
    "UPDATE operations SET intent = :nothing"
    " WHERE tenant = :tenant AND customer_id = :customer_id AND state IN ('SUCCEEDED', 'PARTIAL', 'FAILED')"
)


def begin_operation(tx: Transaction, new: NewOperation) -> Begun:
    """Store the operation unless its idempotency key or its `exclusive` is in use; atomic."""
    storable(new.caller, new.customer_id, new.exclusive, new.request_id)
    for _ in range(_TRIES):
        made = tx.one(
            _BEGIN,
            **values_of(new),
            id=new_id(OPERATION),
            key_hash=None if new.idempotency_key is None else hash_of_key(new.idempotency_key),
            result={},
            created_at=tx.now(),
        )
        if made is not None:
            _put_rows(tx, made, new.rows)
            return BegunNew(made)
        conflict = _find_conflict(tx, new)
        if conflict is not None:
            return conflict
        # The conflicting operation was released between the two statements.
    raise StoreError("the journal found neither a free key nor its holder")


def _find_conflict(tx: Transaction, new: NewOperation) -> BegunBefore | BegunElsewhere | None:
    if new.idempotency_key is not None:
        known = operation_by_key(tx, new.caller, new.mutation, new.idempotency_key)
        if known is not None:
            return BegunBefore(known)
    holder = None if new.exclusive is None else operation_by_exclusive(tx, new.exclusive)
    return None if holder is None else BegunElsewhere(holder)


def prepare_operation(
    tx: Transaction,
    operation: OperationRecord,
    intent: Mapping[str, Any],
    *,
    deadline_at: datetime,
    customer_id: str | None = None,
    alone_at: Collection[ProviderName] = (),
) -> OperationRecord | None:
    """Store what will be sent; must be committed before the vault is called.

    None if another process has taken the operation over, or another operation of the customer is unreconciled at one of
    the vaults `alone_at`: then send nothing. An UNKNOWN operation that proved not applied becomes PENDING again.
    """
    return tx.one(
        _PREPARE,
        **_as_expected(operation, _RUNNING),
        intent=dict(intent),
        deadline_at=deadline_at,
        sent_at=tx.now(),
        customer_id=customer_id,
        alone_of=operation.customer_id,
        providers=list(alone_at),
    )


def mark_operation(
    tx: Transaction,
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
    expected: Collection[OperationState] = _RUNNING,
) -> OperationRecord | None:
    """Store the outcome; None if the operation's state or epoch differs from the expected one.

    FAILED without `is_final` means proven not applied: the same key may run it again. `reconcile_at` applies to
    UNKNOWN: the next reconciliation, or None if an operator must decide. `rows` are inserted or replaced as well.
    """
    is_finished = state in _FINISHED
    marked = tx.one(
        _MARK,
        **_as_expected(operation, expected),
        state=state,
        outcome=outcome,
        is_final=is_final and is_finished,
        finished_at=tx.now() if is_finished else None,
        reconcile_at=reconcile_at if state is OperationState.UNKNOWN else None,
        is_freed=state is OperationState.FAILED,
        result=None if result is None else dict(result),
        intent=None if intent is None else dict(intent),
        customer_id=customer_id,
    )
    return _put_rows(tx, marked, rows)


def adopt_operation(
    tx: Transaction, operation: OperationRecord, owner_id: str, *, look_again_at: datetime
) -> OperationRecord | None:
    """Take over an orphaned operation, or an UNKNOWN one that is due; None if another process was faster.

    `look_again_at` is when an UNKNOWN operation becomes due again if the new owner dies too.
    """
    is_unknown = operation.state is OperationState.UNKNOWN
    return tx.one(
        _ADOPT,
        **_as_expected(operation, [operation.state]),
        owner_id=owner_id,
        reconcile_at=look_again_at if is_unknown else None,
    )


def reopen_operation(
    tx: Transaction,
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
    try:
        with tx.savepoint():
            reopened = tx.one(
                _REOPEN,
                **_as_expected(operation, [operation.state]),
                owner_id=owner_id,
                deadline_at=deadline_at,
                nothing={},
                exclusive=exclusive,
                request_id=request_id,
            )
    except ConstraintViolated:  # only the constraint on `exclusive` can fail here
        holder = operation_by_exclusive(tx, exclusive or "")
        return None if holder is None else BegunElsewhere(holder)
    return None if reopened is None else BegunNew(reopened)


def replace_operation_digest(tx: Transaction, operation_id: str, input_digest: str, digest_key: str) -> None:
    """Store the digest of the same input under another key."""
    tx.execute(_REPLACE_DIGEST, id=operation_id, input_digest=input_digest, digest_key=digest_key)


def expire_operations(tx: Transaction, before: datetime) -> int:
    """Delete finished operations older than `before`; returns their number.

    Unresolved operations stay with their key; those that hold an `exclusive` stay without it.
    """
    tx.execute(_FORGET_KEYS, before=before)
    return tx.count(_DELETE_OLD, before=before)


def forget_intents(tx: Transaction, customer_id: str) -> None:
    """Erasure: remove personal and card data from a customer's finished operations."""
    tx.execute(_FORGET_INTENTS, customer_id=customer_id, nothing={})


def _as_expected(operation: OperationRecord, states: Collection[OperationState]) -> dict[str, Any]:
    return {"id": operation.id, "epoch": operation.epoch, "expected": list(states)}


def _put_rows(tx: Transaction, operation: OperationRecord | None, rows: Iterable[ResultRow]) -> OperationRecord | None:
    if operation is not None:
        tx.execute_many(_PUT_RESULT, [{"operation_id": operation.id, **values_of(row)} for row in rows])
    return operation


class Journal(Repository):
    operation = ReadMethod(journal_reads.find_operation)
    by_key = ReadMethod(operation_by_key)
    of_customer = ReadMethod(journal_reads.operations_of_customer)
    at_vault = ReadMethod(journal_reads.operations_at_vault)
    unreconciled = ReadMethod(journal_reads.unreconciled_operations)
    is_disturbed = ReadMethod(journal_reads.is_disturbed)
    orphans = ReadMethod(journal_reads.orphaned_operations)
    due = ReadMethod(journal_reads.due_operations)
    in_state = ReadMethod(journal_reads.operations_in_state)
    results = ReadMethod(journal_reads.operation_results)
    applied_parts = ReadMethod(journal_reads.applied_parts)
    begin = WriteMethod(begin_operation)
    prepare = WriteMethod(prepare_operation)
    mark = WriteMethod(mark_operation)
    adopt = WriteMethod(adopt_operation)
    reopen = WriteMethod(reopen_operation)
    replace_digest = WriteMethod(replace_operation_digest)
    expire = WriteMethod(expire_operations)
    forget = WriteMethod(forget_intents)
