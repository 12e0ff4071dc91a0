"""Leases of the processes that run operations."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Update, and_, delete, or_, select, update

from app.store.database import Database
from app.store.prepared import Asked, prepared
from app.store.records import LeaseRecord
from app.store.tables import operations, owners


class Leases:
    """A process registers at startup, sends heartbeats, and marks itself stopped on shutdown.

    With SQLite all processes share a machine, so the caller also checks pids: a killed process is known to be dead
    before its lease expires (`Journal.orphans(..., dead=...)`).
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def register(
        self, owner_id: str, *, host: str, pid: int, keys: Mapping[str, Sequence[str]] | None = None
    ) -> LeaseRecord:
        """`keys`: the names of the keys that the process has, by setting."""
        now = self._db.now()
        record = LeaseRecord(
            id=owner_id, host=host, pid=pid, started_at=now, beat_at=now, stopped_at=None, keys=keys or {}
        )
        row = {"id": owner_id, "host": host, "pid": pid, "started_at": now, "beat_at": now, "keys": dict(keys or {})}
        async with self._db.writing() as tx:
            await tx.conn.execute(self._db.insert(owners).values(tenant=self._db.tenant, **row))
        return record

    async def beat(self, owner_id: str, *, keys: Mapping[str, Sequence[str]] | None = None) -> bool:
        """Renew the lease; False if the process is not registered, so others may have taken over its operations."""
        beat = _beat(self._db.tenant, owner_id, beat_at=self._db.now(), keys=dict(keys or {}))
        async with self._db.writing() as tx:
            return (await tx.conn.execute(*beat)).rowcount == 1

    async def stop(self, owner_id: str) -> None:
        async with self._db.writing() as tx:
            await tx.conn.execute(update(owners).where(self._is(owner_id)).values(stopped_at=self._db.now()))

    async def all(self) -> list[LeaseRecord]:
        async with self._db.reading() as conn:
            return [_record(row) for row in await conn.execute(*_all(self._db.tenant))]

    async def forget(self, before: datetime) -> int:
        """Delete processes whose last heartbeat is before `before` and that have no open operation."""
        busy = select(operations.c.owner_id).where(
            operations.c.tenant == self._db.tenant, operations.c.state == "PENDING"
        )
        gone = delete(owners).where(
            owners.c.tenant == self._db.tenant, owners.c.beat_at < before, owners.c.id.not_in(busy)
        )
        async with self._db.writing() as tx:
            return (await tx.conn.execute(gone)).rowcount

    def _is(self, owner_id: str) -> ColumnElement[bool]:
        return and_(owners.c.tenant == self._db.tenant, owners.c.id == owner_id)


@prepared
def _beat(tenant: Asked, owner_id: Asked) -> Update:
    return update(owners).where(owners.c.tenant == tenant, owners.c.id == owner_id, owners.c.stopped_at.is_(None))


@prepared
def _all(tenant: Asked) -> Select[Any]:
    return select(owners).where(owners.c.tenant == tenant).order_by(owners.c.started_at, owners.c.id)


def is_dead(silent_since: Asked, dead: Asked) -> ColumnElement[bool]:
    """Condition on an outer-joined `owners` row, which is missing if the owner never registered."""
    return or_(
        owners.c.id.is_(None),
        owners.c.stopped_at.is_not(None),
        owners.c.beat_at < silent_since,
        owners.c.id.in_(dead),
    )


def _record(row: Row[Any]) -> LeaseRecord:
    return LeaseRecord(
        id=row.id,
        host=row.host,
        pid=row.pid,
        started_at=row.started_at,
        beat_at=row.beat_at,
        stopped_at=row.stopped_at,
        keys=row.keys or {},
    )
