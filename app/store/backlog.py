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
    ``waiting``, ``failed`` (and tried again) or ``dead``; so are those to `endpoints`, which are ``enabled``,
    ``failing``, ``disabled`` (by the gateway) or ``paused`` (by an operator). States without rows are left out.
    """

    operations: tuple[Unfinished, ...]
    undecided: int
    deliveries: tuple[Unfinished, ...]
    endpoints: tuple[Unfinished, ...]
    endpoint_deliveries: tuple[Unfinished, ...]
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
_ENDPOINTS: Final = Query(
    Unfinished,
    """
    SELECT CASE WHEN disabled_reason = 'OPERATOR' THEN 'paused' WHEN disabled_at IS NOT NULL THEN 'disabled'
        WHEN failing_since IS NOT NULL THEN 'failing' ELSE 'enabled' END, COUNT(*), MIN(created_at)
    FROM endpoints WHERE tenant = :tenant GROUP BY 1
    """,
)
_ENDPOINT_DELIVERIES: Final = Query(
    Unfinished,
    """
    SELECT CASE WHEN delivery.state = 'DEAD' THEN 'dead' WHEN delivery.error IS NULL THEN 'waiting' ELSE 'failed' END,
        COUNT(*), MIN(delivery.created_at)
    FROM endpoint_deliveries AS delivery JOIN endpoints AS endpoint
    ON endpoint.tenant = delivery.tenant AND endpoint.id = delivery.endpoint_id
    WHERE delivery.tenant = :tenant
    AND (delivery.state = 'DEAD' OR (delivery.state = 'PENDING' AND endpoint.disabled_at IS NULL)) GROUP BY 1
    """,
)


def read_backlog(db: Connection) -> Backlog:
    """Reads by index: the time depends on the number of unfinished rows, not on the size of the store."""
    return Backlog(
        operations=tuple(db.all(_OPERATIONS)),
        undecided=db.one(_UNDECIDED) or 0,
        deliveries=tuple(db.all(_DELIVERIES)),
        endpoints=tuple(db.all(_ENDPOINTS)),
        endpoint_deliveries=tuple(db.all(_ENDPOINT_DELIVERIES)),
        at=db.now(),
    )
