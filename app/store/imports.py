"""Progress of imports, so that an interrupted import can resume."""

from collections.abc import Mapping
from typing import Final

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.errors import ImportChanged
from app.store.outbox import Transaction
from app.store.records import ImportRecord
from app.store.statements import Query, Statement
from app.store.text import is_storable, storable

_START: Final = Query(
    ImportRecord,
    """
    INSERT INTO imports (
        tenant, key, content_digest, started_by, next_row, next_offset, counts, started_at, updated_at
    ) VALUES (:tenant, :key, :content_digest, :started_by, 0, 0, :counts, :now, :now)
    ON CONFLICT (tenant, key) DO UPDATE SET key = excluded.key RETURNING {columns}
    """,
)
_BY_KEY: Final = Query(ImportRecord, "SELECT {columns} FROM imports WHERE tenant = :tenant AND key = :key")
_PROGRESS: Final = Query(
    ImportRecord,
    """
    UPDATE imports SET
        next_row = :next_row, next_offset = :next_offset, counts = :counts, updated_at = :now,
        finished_at = :finished_at
    WHERE tenant = :tenant AND key = :key AND next_row = :last_row AND next_offset = :last_offset
    AND finished_at IS NULL RETURNING {columns}
    """,
)
_RECOUNT: Final = Statement(
    "UPDATE imports SET counts = :counts, updated_at = :now"
    " WHERE tenant = :tenant AND key = :key AND finished_at IS NOT NULL"
)


def start_import(tx: Transaction, key: str, *, content_digest: str, started_by: str) -> ImportRecord:
    """Start the import, or return its progress. Raises ImportChanged if it was started with different content."""
    storable(key, started_by)
    record = tx.one(_START, key=key, content_digest=content_digest, started_by=started_by, counts={}, now=tx.now())
    if record is None or record.content_digest != content_digest:
        raise ImportChanged("the import was started with different content")
    return record


def save_import_progress(
    tx: Transaction,
    record: ImportRecord,
    *,
    next_row: int,
    next_offset: int = 0,
    counts: Mapping[str, int],
    is_finished: bool = False,
) -> ImportRecord | None:
    """Store the progress, preferably in the transaction that stores the rows.

    None if the stored progress differs from `record`: another process runs the same import; stop.
    """
    now = tx.now()
    return tx.one(
        _PROGRESS,
        key=record.key,
        last_row=record.next_row,
        last_offset=record.next_offset,
        next_row=next_row,
        next_offset=next_offset,
        counts=dict(counts),
        now=now,
        finished_at=now if is_finished else None,
    )


def recount_import(tx: Transaction, key: str, counts: Mapping[str, int]) -> None:
    """Update the counts of a finished import after a later run."""
    tx.execute(_RECOUNT, key=key, counts=dict(counts), now=tx.now())


def find_import(db: Connection, key: str) -> ImportRecord | None:
    return db.one(_BY_KEY, key=key) if is_storable(key) else None


class Imports(Repository):
    start = WriteMethod(start_import)
    progress = WriteMethod(save_import_progress)
    recount = WriteMethod(recount_import)
    find = ReadMethod(find_import)
