"""Counts of what the store has not finished yet, for metrics."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.store.connection import Connection
from app.store.statements import Query


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Rows in one state, and when the oldest was created."""

    state: str
    count: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """`operations` in PENDING and UNKNOWN; `undecided` of the latter wait for an operator. `deliveries` are
    ``waiting``, ``failed`` (and tried again) or ``dead``. States without rows are left out.
    """

    operations: tuple[Unfinished, ...]
    undecided: int
    deliveries: tuple[Unfinished, ...]
    at: datetime


_OPERATIONS: Final = Query(
    Unfinished,
    "SELECT state, COUNT(*), MIN(created_at) FROM operations"
    " WHERE tenant = :tenant AND state IN ('PENDING', 'UNKNOWN') GROUP BY state",
)
_UNDECIDED: Final = Query(
    int,
    "SELECT COUNT(*) FROM operations WHERE tenant = :tenant AND state = 'UNKNOWN' AND reconcile_at IS NULL",
)
_DELIVERIES: Final = Query(
    Unfinished,
    """
    SELECT CASE WHEN state = 'DEAD' THEN 'dead' WHEN error IS NULL THEN 'waiting' ELSE 'failed' END, COUNT(*),
        MIN(received_at)
    FROM receipts WHERE tenant = :tenant AND state IN ('RECEIVED', 'DEAD') GROUP BY 1
    """,
)


def read_backlog(db: Connection) -> Backlog:
    """Reads by index: the time depends on the number of unfinished rows, not on the size of the store."""
    return Backlog(tuple(db.all(_OPERATIONS)), db.one(_UNDECIDED) or 0, tuple(db.all(_DELIVERIES)), db.now())
