"""Leases of the processes that run operations."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.outbox import Transaction
from app.store.records import LeaseRecord
from app.store.statements import Query, Statement

_REGISTER: Final = Statement(
    "INSERT INTO owners (tenant, id, host, pid, started_at, beat_at, keys)"
    " VALUES (:tenant, :id, :host, :pid, :now, :now, :keys)"
)
_BEAT: Final = Statement(
    "UPDATE owners SET beat_at = :now, keys = :keys WHERE tenant = :tenant AND id = :id AND stopped_at IS NULL"
)
_STOP: Final = Statement("UPDATE owners SET stopped_at = :now WHERE tenant = :tenant AND id = :id")
_ALL: Final = Query(LeaseRecord, "SELECT {columns} FROM owners WHERE tenant = :tenant ORDER BY started_at, id")
_FORGET: Final = Statement(
    "DELETE FROM owners WHERE tenant = :tenant AND beat_at < :before AND id NOT IN"
    " (SELECT owner_id FROM operations WHERE operations.tenant = :tenant AND operations.state = 'PENDING')"
)


def register_lease(
    tx: Transaction, owner_id: str, *, host: str, pid: int, keys: Mapping[str, Sequence[str]] | None = None
) -> LeaseRecord:
    """`keys`: the names of the keys that the process has, by setting."""
    now, names = tx.now(), dict(keys or {})
    tx.execute(_REGISTER, id=owner_id, host=host, pid=pid, now=now, keys=names)
    return LeaseRecord(id=owner_id, host=host, pid=pid, started_at=now, beat_at=now, stopped_at=None, keys=names)


def renew_lease(tx: Transaction, owner_id: str, *, keys: Mapping[str, Sequence[str]] | None = None) -> bool:
    """Renew the lease; False if the process is not registered, so others may have taken over its operations."""
    return tx.count(_BEAT, id=owner_id, now=tx.now(), keys=dict(keys or {})) == 1


def end_lease(tx: Transaction, owner_id: str) -> None:
    tx.execute(_STOP, id=owner_id, now=tx.now())


def all_leases(db: Connection) -> list[LeaseRecord]:
    return db.all(_ALL)


def forget_leases(tx: Transaction, before: datetime) -> int:
    """Delete processes whose last heartbeat is before `before` and that have no open operation."""
    return tx.count(_FORGET, before=before)


class Leases(Repository):
    """A process registers at startup, sends heartbeats, and marks itself stopped on shutdown.

    With SQLite all processes share a machine, so the caller also checks pids: a killed process is known to be dead
    before its lease expires (`Journal.orphans(..., dead=...)`).
    """

    register = WriteMethod(register_lease)
    beat = WriteMethod(renew_lease)
    stop = WriteMethod(end_lease)
    all = ReadMethod(all_leases)
    forget = WriteMethod(forget_leases)
