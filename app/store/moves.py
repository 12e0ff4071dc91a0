"""Payment methods that move from one vault to another: pairs of an old and a new method of one customer.

A pair is pending until a complete list of the new method's vault has shown the new method as ACTIVE. Only then the
stored default, the nickname and the holder's name move, in one transaction for each pair.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.directory import lock_choice, move_default_choice
from app.store.directory_reads import directory_entry_by_ref
from app.store.errors import CustomerUnknown
from app.store.events import append_event
from app.store.outbox import Transaction
from app.store.records import EventOrigin, EventType, MethodAddress, NewEvent
from app.store.statements import Query, Statement, values_of
from app.store.text import storable
from app.vault.enums import CustomerRef, MethodRef, ProviderName


class MoveState(StrEnum):
    DONE = "DONE"
    PENDING = "PENDING"
    NOT_LINKED = "NOT_LINKED"  # a method's vault customer is not, or not any more, the customer's
    CONFLICT = "CONFLICT"  # the old method moves to another new one already


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodMove:
    provider: ProviderName
    customer_ref: CustomerRef
    method_ref: MethodRef
    customer_id: str
    new_provider: ProviderName
    new_customer_ref: CustomerRef
    new_method_ref: MethodRef
    moved_by: str
    asked_at: datetime
    done_at: datetime | None = None

    @property
    def old(self) -> MethodAddress:
        return MethodAddress(self.provider, self.customer_ref, self.method_ref)

    @property
    def new(self) -> MethodAddress:
        return MethodAddress(self.new_provider, self.new_customer_ref, self.new_method_ref)


class Moved(NamedTuple):
    """`has_default`: the stored default was the old method."""

    state: MoveState
    has_default: bool = False


_AT: Final = (
    "WHERE tenant = :tenant AND provider = :provider AND customer_ref = :customer_ref AND method_ref = :method_ref"
)
_PUT: Final = Statement(
    """
    INSERT INTO method_moves (
        tenant, provider, customer_ref, method_ref, customer_id, new_provider, new_customer_ref, new_method_ref,
        moved_by, asked_at
    ) VALUES (
        :tenant, :provider, :customer_ref, :method_ref, :customer_id, :new_provider, :new_customer_ref,
        :new_method_ref, :moved_by, :now
    ) ON CONFLICT DO NOTHING
    """
)
_FIND: Final = Query(MethodMove, "SELECT {columns} FROM method_moves {at}", at=_AT)
_DROP: Final = Statement("DELETE FROM method_moves {at}", at=_AT)
_DONE: Final = Statement("UPDATE method_moves SET done_at = :now {at}", at=_AT)
_READY: Final = Query(
    MethodMove,
    """
    SELECT {columns} FROM method_moves WHERE tenant = :tenant AND done_at IS NULL
    AND (provider, customer_ref, method_ref) > (:provider, :customer_ref, :method_ref)
    AND EXISTS (
        SELECT 1 FROM methods WHERE methods.tenant = :tenant AND methods.provider = method_moves.new_provider
        AND methods.customer_ref = method_moves.new_customer_ref AND methods.method_ref = method_moves.new_method_ref
        AND methods.status = 'ACTIVE'
    )
    ORDER BY provider, customer_ref, method_ref LIMIT :limit
    """,
)
_SEEN: Final = Query(int, "SELECT 1 FROM methods {at} AND status = 'ACTIVE'", at=_AT)
_NAMED: Final = Query(int, "SELECT 1 FROM nicknames {at}", at=_AT)


def find_move(db: Connection, old: MethodAddress) -> MethodMove | None:
    return db.one(_FIND, **values_of(old))


def is_seen(db: Connection, method: MethodAddress) -> bool:
    """Whether the last complete list of its vault shows the method as ACTIVE."""
    return db.one(_SEEN, **values_of(method)) is not None


def ready_moves(db: Connection, *, after: MethodAddress | None = None, limit: int = 200) -> list[MethodMove]:
    """Pending pairs whose new method was seen, in the order of the old ones."""
    start = values_of(after) if after else {"provider": "", "customer_ref": "", "method_ref": ""}
    return db.all(_READY, **start, limit=limit)


def move_method(
    tx: Transaction, old: MethodAddress, new: MethodAddress, *, moved_by: str, is_listed: bool = False
) -> Moved:
    """Store the pair, and complete it if the new method was seen. Idempotent. `is_listed`: a complete list that the
    caller has just read shows it as ACTIVE."""
    storable(moved_by, *values_of(old).values(), *values_of(new).values())
    entry = directory_entry_by_ref(tx, old.provider, old.customer_ref)
    if entry is None or not _is_linked(entry.customer.id, tx, new):
        return Moved(MoveState.NOT_LINKED)
    fresh = {f"new_{name}": value for name, value in values_of(new).items()}
    tx.execute(_PUT, **values_of(old), **fresh, customer_id=entry.customer.id, moved_by=moved_by, now=tx.now())
    stored = find_move(tx, old)
    assert stored is not None
    if stored.new != new:
        return Moved(MoveState.CONFLICT)
    return complete_move(tx, stored, is_listed=is_listed)


def complete_move(tx: Transaction, move: MethodMove, *, is_listed: bool = False) -> Moved:
    """Move what belongs to the old method, if the new one was seen. The pair of a customer that is gone is removed."""
    if move.done_at is not None:
        return Moved(MoveState.DONE)
    try:
        choice = lock_choice(tx, move.customer_id)
    except CustomerUnknown:
        tx.execute(_DROP, **values_of(move.old))
        return Moved(MoveState.NOT_LINKED)
    has_default = choice is not None and choice.address == move.old
    if not (_is_linked(move.customer_id, tx, move.old) and _is_linked(move.customer_id, tx, move.new)):
        tx.execute(_DROP, **values_of(move.old))
        return Moved(MoveState.NOT_LINKED, has_default)
    if not (is_listed or is_seen(tx, move.new)):
        return Moved(MoveState.PENDING, has_default)
    move_default_choice(
        tx, move.customer_id, move.old, move.new, with_names=tx.one(_NAMED, **values_of(move.new)) is None
    )
    tx.execute(_DONE, **values_of(move.old), now=tx.now())
    if has_default:
        append_event(
            tx,
            NewEvent(
                type=EventType.DEFAULT_CHANGED,
                origin=EventOrigin.GATEWAY,
                customer_id=move.customer_id,
                actor=move.moved_by,
                detail={"moved": True},
                **values_of(move.new),
            ),
        )
    return Moved(MoveState.DONE, has_default)


def _is_linked(customer_id: str, db: Connection, method: MethodAddress) -> bool:
    entry = directory_entry_by_ref(db, method.provider, method.customer_ref)
    return entry is not None and entry.customer.id == customer_id


class Moves(Repository):
    find = ReadMethod(find_move)
    ready = ReadMethod(ready_moves)
    is_seen = ReadMethod(is_seen)
    move = WriteMethod(move_method)
    complete = WriteMethod(complete_move)
