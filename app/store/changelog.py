"""The change log, with which all replicas invalidate their caches."""

from datetime import datetime
from typing import Final, NamedTuple

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.outbox import Transaction
from app.store.records import ChangeNotice, ChangeNotices
from app.store.statements import Query, Statement


class _Head(NamedTuple):
    version: int
    pruned_to: int


_VERSION: Final = Query(int, "SELECT version FROM heads WHERE tenant = :tenant")
_HEAD: Final = Query(_Head, "SELECT {columns} FROM heads WHERE tenant = :tenant")
_SINCE: Final = Query(
    ChangeNotice,
    "SELECT {columns} FROM changes WHERE tenant = :tenant AND version > :version ORDER BY version LIMIT :limit",
)
_LAST_OLD: Final = Query(int, "SELECT max(version) FROM changes WHERE tenant = :tenant AND changed_at < :before")
_PRUNE: Final = Statement("DELETE FROM changes WHERE tenant = :tenant AND version <= :last")
_PRUNED: Final = Statement("UPDATE heads SET pruned_to = :last WHERE tenant = :tenant")


def change_version(db: Connection) -> int:
    return db.one(_VERSION) or 0


def changes_since(db: Connection, version: int, *, limit: int = 10_000) -> ChangeNotices:
    """Changes after `version`, oldest first; incomplete if there are more than `limit` or some were pruned."""
    # Read the rows first: a version read before them could be lower than the last row's.
    rows = db.all(_SINCE, version=version, limit=limit + 1)
    head = db.one(_HEAD)
    if head is None:
        return ChangeNotices(version, (), is_complete=True)
    if version < head.pruned_to or version > head.version or len(rows) > limit:
        return ChangeNotices(head.version, (), is_complete=False)
    return ChangeNotices(rows[-1].version if rows else version, tuple(rows), is_complete=True)


def prune_changes(tx: Transaction, before: datetime) -> int:
    """Delete changes older than `before`; returns their number."""
    last = tx.one(_LAST_OLD, before=before)
    if last is None:
        return 0
    gone = tx.count(_PRUNE, last=last)
    tx.execute(_PRUNED, last=last)
    return gone


class ChangeLog(Repository):
    """Poll `version()` (one indexed row); if it changed, call `since(last_version)`."""

    version = ReadMethod(change_version)
    since = ReadMethod(changes_since)
    prune = WriteMethod(prune_changes)
