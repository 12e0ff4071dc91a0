"""The change log, with which all replicas invalidate their caches."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, select, update

from app.store.database import Database
from app.store.prepared import Asked, prepared
from app.store.records import ChangeNotice, ChangeNotices, Topic
from app.store.tables import changes, heads


class ChangeLog:
    """Poll `version()` (one indexed row); if it changed, call `since(last_version)`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def version(self) -> int:
        async with self._db.reading() as conn:
            return await conn.scalar(*_version(self._db.tenant)) or 0

    async def since(self, version: int, *, limit: int = 10_000) -> ChangeNotices:
        """Changes after `version`, oldest first; incomplete if there are more than `limit` or some were pruned."""
        async with self._db.reading() as conn:
            # Read the rows first: a version read before them could be lower than the last row's.
            found = await conn.execute(*_since(self._db.tenant, version, limit + 1))
            rows = [ChangeNotice(row.version, Topic(row.topic), row.key) for row in found]
            head = (await conn.execute(*_head(self._db.tenant))).first()
        if head is None:
            return ChangeNotices(version, (), is_complete=True)
        if version < head.pruned_to or version > head.version or len(rows) > limit:
            return ChangeNotices(head.version, (), is_complete=False)
        return ChangeNotices(rows[-1].version if rows else version, tuple(rows), is_complete=True)

    async def prune(self, before: datetime) -> int:
        """Delete changes older than `before`; returns their number."""
        old = (changes.c.tenant == self._db.tenant, changes.c.changed_at < before)
        async with self._db.writing() as tx:
            last = await tx.conn.scalar(select(func.max(changes.c.version)).where(*old))
            if last is None:
                return 0
            gone = await tx.conn.execute(
                delete(changes).where(changes.c.tenant == self._db.tenant, changes.c.version <= last)
            )
            await tx.conn.execute(update(heads).where(heads.c.tenant == self._db.tenant).values(pruned_to=last))
            return gone.rowcount


@prepared
def _version(tenant: Asked) -> Select[Any]:
    return select(heads.c.version).where(heads.c.tenant == tenant)


@prepared
def _head(tenant: Asked) -> Select[Any]:
    return select(heads).where(heads.c.tenant == tenant)


@prepared
def _since(tenant: Asked, version: Asked, limit: Asked) -> Select[Any]:
    later = changes.c.tenant == tenant, changes.c.version > version
    return (
        select(changes.c.version, changes.c.topic, changes.c.key).where(*later).order_by(changes.c.version).limit(limit)
    )
