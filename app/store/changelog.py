"""What changed since when, so that every replica can drop what it has cached."""

from datetime import datetime

from sqlalchemy import delete, func, select, update

from app.store.database import Database
from app.store.records import Change, Changes, Topic
from app.store.tables import changes, heads


class ChangeLog:
    """Poll `version()` (one indexed row); when it moved, ask `since(the last one seen)`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def version(self) -> int:
        async with self._db.reading() as conn:
            found = await conn.scalar(select(heads.c.version).where(heads.c.tenant == self._db.tenant))
        return found or 0

    async def since(self, version: int, *, limit: int = 10_000) -> Changes:
        """Changes after `version`, oldest first. More than `limit`, or pruned ones, make it incomplete."""
        query = (
            select(changes.c.version, changes.c.topic, changes.c.key)
            .where(changes.c.tenant == self._db.tenant, changes.c.version > version)
            .order_by(changes.c.version)
            .limit(limit + 1)
        )
        async with self._db.reading() as conn:
            # The rows first: a version read before them could lie below the last row.
            rows = [Change(row.version, Topic(row.topic), row.key) for row in await conn.execute(query)]
            head = (await conn.execute(select(heads).where(heads.c.tenant == self._db.tenant))).first()
        if head is None:
            return Changes(version, (), is_complete=True)
        if version < head.pruned_to or version > head.version or len(rows) > limit:
            return Changes(head.version, (), is_complete=False)
        return Changes(rows[-1].version if rows else version, tuple(rows), is_complete=True)

    async def prune(self, before: datetime) -> int:
        """Forget changes older than `before`; answers how many."""
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
