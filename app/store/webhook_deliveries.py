"""Webhook deliveries: stored before they are acknowledged, processed in order, dead-lettered on failure."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.outbox import Transaction
from app.store.records import DeliveryRecord, DeliveryState, NewDelivery
from app.store.statements import Query, Statement, values_of
from app.store.text import is_storable, storable
from app.store.ulids import new_id

DELIVERY: Final = "rcp_"

_ADD: Final = Query(
    DeliveryRecord,
    """
    INSERT INTO receipts (
        tenant, id, source, account, delivery_id, event_type, lane, body, state, attempts, received_at, next_attempt_at
    ) VALUES (
        :tenant, :id, :source, :account, :delivery_id, :event_type, :lane, :body, 'RECEIVED', 0, :now, :now
    ) ON CONFLICT DO NOTHING RETURNING {columns}
    """,
)
# The earliest delivery of a lane is claimed; the others wait until it is done or dead.
_CLAIM: Final = Query(
    DeliveryRecord,
    """
    WITH due AS MATERIALIZED (
        SELECT candidate.id FROM receipts AS candidate
        WHERE candidate.tenant = :tenant AND candidate.state = 'RECEIVED' AND candidate.next_attempt_at <= :now
        AND (candidate.claimed_until IS NULL OR candidate.claimed_until <= :now)
        AND NOT EXISTS (
            SELECT 1 FROM receipts AS earlier WHERE earlier.tenant = candidate.tenant
            AND earlier.lane = candidate.lane AND earlier.state = 'RECEIVED' AND earlier.id < candidate.id
        )
        ORDER BY candidate.id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE receipts SET attempts = attempts + 1, claimed_by = :worker, claimed_until = :until
    WHERE tenant = :tenant AND id IN (SELECT id FROM due) RETURNING {columns}
    """,
)
_CLAIMED: Final = "WHERE tenant = :tenant AND id = :id AND claimed_by = :worker AND state = 'RECEIVED'"
_DONE: Final = Statement(
    """
    UPDATE receipts SET state = 'DONE', done_at = :now, next_attempt_at = NULL, error = NULL, claimed_by = NULL,
        claimed_until = NULL {claimed}
    """,
    claimed=_CLAIMED,
)
_RETRY: Final = Statement(
    "UPDATE receipts SET next_attempt_at = :at, error = :error, claimed_by = NULL, claimed_until = NULL {claimed}",
    claimed=_CLAIMED,
)
_DEAD: Final = Statement(
    """
    UPDATE receipts SET state = 'DEAD', next_attempt_at = NULL, error = :error, claimed_by = NULL,
        claimed_until = NULL {claimed}
    """,
    claimed=_CLAIMED,
)
_RELEASE: Final = Statement(
    "UPDATE receipts SET claimed_until = NULL"
    " WHERE tenant = :tenant AND state = 'RECEIVED' AND claimed_by IN :workers AND claimed_until > :now"
)
_REPLAY: Final = Query(
    DeliveryRecord,
    """
    UPDATE receipts SET state = 'RECEIVED', attempts = 0, next_attempt_at = :now, claimed_by = NULL,
        claimed_until = NULL, done_at = NULL
    WHERE tenant = :tenant AND id = :id AND state IN ('DEAD', 'DONE') RETURNING {columns}
    """,
)
_BY_ID: Final = Query(DeliveryRecord, "SELECT {columns} FROM receipts WHERE tenant = :tenant AND id = :id")
_PAGE: Final = Query(
    DeliveryRecord,
    "SELECT {columns} FROM receipts WHERE tenant = :tenant AND id > :after ORDER BY id LIMIT :limit",
)
_PAGE_IN_STATE: Final = Query(
    DeliveryRecord,
    "SELECT {columns} FROM receipts WHERE tenant = :tenant AND id > :after AND state = :state ORDER BY id LIMIT :limit",
)
_EXPIRE: Final = Statement("DELETE FROM receipts WHERE tenant = :tenant AND state = 'DONE' AND done_at < :before")


def add_delivery(tx: Transaction, new: NewDelivery) -> DeliveryRecord | None:
    """Store a delivery, due immediately; None for a duplicate of source, account and delivery id."""
    storable(new.source, new.account, new.delivery_id, new.event_type, new.lane)
    return tx.one(_ADD, **values_of(new), id=new_id(DELIVERY), now=tx.now())


def claim_deliveries(tx: Transaction, worker: str, *, lease: timedelta, limit: int = 10) -> list[DeliveryRecord]:
    """Due deliveries, oldest first, one per lane: the next in a lane waits until this one is done or dead."""
    now = tx.now()
    rows = tx.all(_CLAIM, worker=worker, now=now, until=now + lease, limit=limit)
    return sorted(rows, key=lambda record: record.id)


def finish_delivery(tx: Transaction, delivery_id: str, worker: str) -> bool:
    """False if the worker's claim was lost: then roll the transaction back."""
    return tx.count(_DONE, id=delivery_id, worker=worker, now=tx.now()) == 1


def retry_delivery(tx: Transaction, delivery_id: str, worker: str, *, at: datetime, error: str) -> bool:
    """Release it, due again at `at`; its lane waits. `error` is a short reason without values."""
    return tx.count(_RETRY, id=delivery_id, worker=worker, at=at, error=error) == 1


def bury_delivery(tx: Transaction, delivery_id: str, worker: str, *, error: str) -> bool:
    """Dead-letter it; its lane continues."""
    return tx.count(_DEAD, id=delivery_id, worker=worker, error=error) == 1


def release_deliveries(tx: Transaction, workers: Collection[str]) -> int:
    """Release the claims of dead workers: due again immediately. Returns their number."""
    return tx.count(_RELEASE, workers=list(workers), now=tx.now())


def replay_delivery(tx: Transaction, delivery_id: str) -> DeliveryRecord | None:
    """Make a dead or done delivery due again; None if it is neither."""
    return tx.one(_REPLAY, id=delivery_id, now=tx.now())


def find_delivery(db: Connection, delivery_id: str) -> DeliveryRecord | None:
    return db.one(_BY_ID, id=delivery_id) if is_storable(delivery_id) else None


def page_of_deliveries(
    db: Connection, state: DeliveryState | None = None, *, after: str = "", limit: int = 100
) -> list[DeliveryRecord]:
    """One page, oldest first."""
    if state is None:
        return db.all(_PAGE, after=after, limit=limit)
    return db.all(_PAGE_IN_STATE, after=after, state=state, limit=limit)


def expire_deliveries(tx: Transaction, before: datetime) -> int:
    """Delete deliveries done before `before`, not open or dead ones; returns their number."""
    return tx.count(_EXPIRE, before=before)


class WebhookDeliveries(Repository):
    """Workers claim deliveries with a lease; after its expiry another worker can claim them.

    Call `finish_delivery` in the transaction that applies the effect, so that it is applied exactly once.
    """

    add = WriteMethod(add_delivery)
    claim = WriteMethod(claim_deliveries)
    done = WriteMethod(finish_delivery)
    retry = WriteMethod(retry_delivery)
    dead = WriteMethod(bury_delivery)
    release = WriteMethod(release_deliveries)
    replay = WriteMethod(replay_delivery)
    delivery = ReadMethod(find_delivery)
    all = ReadMethod(page_of_deliveries)
    expire = WriteMethod(expire_deliveries)
