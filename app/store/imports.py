"""Progress of imports, so that an interrupted import can resume."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select, update

from app.store.database import Database, Tx
from app.store.errors import ImportChanged
from app.store.records import ImportRecord
from app.store.tables import imports
from app.store.text import is_storable, storable


class Imports:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def start(self, key: str, *, content_digest: str, started_by: str) -> ImportRecord:
        """Start the import, or return its progress. Raises ImportChanged if it was started with different content."""
        storable(key, started_by)
        now = self._db.now()
        row = {
            "tenant": self._db.tenant,
            "key": key,
            "content_digest": content_digest,
            "started_by": started_by,
            "next_row": 0,
            "next_offset": 0,
            "counts": {},
            "started_at": now,
            "updated_at": now,
        }
        async with self._db.writing() as tx:
            await tx.conn.execute(self._db.insert(imports).values(row).on_conflict_do_nothing())
            record = _record((await tx.conn.execute(self._one(key))).one())
        if record.content_digest != content_digest:
            raise ImportChanged("the import was started with different content")
        return record

    async def progress(
        self,
        record: ImportRecord,
        *,
        next_row: int,
        next_offset: int = 0,
        counts: Mapping[str, int],
        is_finished: bool = False,
        tx: Tx | None = None,
    ) -> ImportRecord | None:
        """Store the progress, preferably in the transaction that stores the rows.

        None if the stored progress differs from `record`: another process runs the same import; stop.
        """
        now = self._db.now()
        values = {"next_row": next_row, "next_offset": next_offset, "counts": dict(counts), "updated_at": now}
        statement = (
            update(imports)
            .where(
                imports.c.tenant == self._db.tenant,
                imports.c.key == record.key,
                imports.c.next_row == record.next_row,
                imports.c.next_offset == record.next_offset,
                imports.c.finished_at.is_(None),
            )
            .values(**values, finished_at=now if is_finished else None)
            .returning(*imports.c)
        )
        async with self._db.writing(tx) as own:
            row = (await own.conn.execute(statement)).first()
        return None if row is None else _record(row)

    async def recount(self, key: str, counts: Mapping[str, int]) -> None:
        """Update the counts of a finished import after a later run."""
        ended = imports.c.tenant == self._db.tenant, imports.c.key == key, imports.c.finished_at.is_not(None)
        values = {"counts": dict(counts), "updated_at": self._db.now()}
        async with self._db.writing() as own:
            await own.conn.execute(update(imports).where(*ended).values(values))

    async def find(self, key: str) -> ImportRecord | None:
        if not is_storable(key):
            return None
        async with self._db.reading() as conn:
            row = (await conn.execute(self._one(key))).first()
        return None if row is None else _record(row)

    def _one(self, key: str) -> Any:
        return select(imports).where(imports.c.tenant == self._db.tenant, imports.c.key == key)


def _record(row: Row[Any]) -> ImportRecord:
    return ImportRecord(
        key=row.key,
        content_digest=row.content_digest,
        started_by=row.started_by,
        next_row=row.next_row,
        next_offset=row.next_offset,
        counts=row.counts,
        started_at=row.started_at,
        updated_at=row.updated_at,
        finished_at=row.finished_at,
    )
