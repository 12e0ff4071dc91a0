"""Deliveries to webhook endpoints: made from the event log, claimed with a lease, in order for each customer."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.endpoints import note_failure, note_success
from app.store.events import events_after, find_event, last_event_id
from app.store.outbox import Transaction
from app.store.records import (
    ClaimedDelivery,
    EndpointDelivery,
    EndpointDeliveryState,
    EndpointWork,
    EventRecord,
    EventType,
)
from app.store.statements import Query, Statement

_PAGE: Final = 500
_SCOPE: Final = "customers:read"
"""A partner gets events over webhooks with the scope with which it can subscribe to them."""


class _Target(NamedTuple):
    """An enabled endpoint; without a client, those of staff, the last two are NULL."""

    id: str
    client: str | None
    types: frozenset[str]
    starts_after: str | None
    sees_all_customers: bool | None
    scopes: frozenset[str] | None


class _Count(NamedTuple):
    state: EndpointDeliveryState
    rows: int


class _Grant(NamedTuple):
    client: str
    customer_id: str


_ENABLED: Final = """
    FROM endpoints AS endpoint LEFT JOIN clients AS client
    ON client.tenant = endpoint.tenant AND client.name = endpoint.client
    WHERE endpoint.tenant = :tenant AND endpoint.disabled_at IS NULL
    AND (endpoint.client IS NULL OR client.disabled_at IS NULL)
"""
_TARGET_COLUMNS: Final = (
    "SELECT endpoint.id, endpoint.client, endpoint.types, endpoint.starts_after, client.sees_all_customers,"
    " client.scopes"
)
_TARGETS: Final = Query(_Target, f"{_TARGET_COLUMNS} {_ENABLED}")
_TARGET: Final = Query(_Target, f"{_TARGET_COLUMNS} {_ENABLED} AND endpoint.id = :id")
_IS_BEHIND: Final = Query(
    int,
    f"SELECT 1 WHERE EXISTS (SELECT 1 {_ENABLED}) AND COALESCE((SELECT last_event_id FROM heads"
    " WHERE tenant = :tenant), '') > COALESCE((SELECT event_id FROM endpoint_positions WHERE tenant = :tenant), '')",
)
_DUE: Final = """
    delivery.state = 'PENDING' AND delivery.next_attempt_at <= :now
    AND (delivery.claimed_until IS NULL OR delivery.claimed_until <= :now)
"""
_DUE_ENDPOINTS: Final = Query(
    str,
    f"""
    SELECT endpoint.id {_ENABLED} AND EXISTS (
        SELECT 1 FROM endpoint_deliveries AS delivery WHERE delivery.tenant = endpoint.tenant
        AND delivery.endpoint_id = endpoint.id AND {_DUE}
    ) ORDER BY endpoint.id
    """,
)
_START_POSITION: Final = Statement(
    "INSERT INTO endpoint_positions (tenant, event_id) VALUES (:tenant, '') ON CONFLICT DO NOTHING"
)
_LOCK_POSITION: Final = Query(
    str, "SELECT event_id FROM endpoint_positions WHERE tenant = :tenant FOR UPDATE SKIP LOCKED"
)
_MOVE_POSITION: Final = Statement("UPDATE endpoint_positions SET event_id = :position WHERE tenant = :tenant")
_GRANTS: Final = Query(
    _Grant,
    "SELECT client, customer_id FROM client_grants"
    " WHERE tenant = :tenant AND client IN :clients AND customer_id IN :customers",
)
# The casts give PostgreSQL the same type for a parameter here and as a column's value.
_ADD: Final = Statement(
    """
    INSERT INTO endpoint_deliveries (
        tenant, endpoint_id, event_id, customer_id, state, attempts, created_at, next_attempt_at, expires_at
    ) VALUES (
        :tenant, :endpoint_id, :event_id, :customer_id, 'PENDING', 0, :now,
        COALESCE((
            SELECT MAX(other.next_attempt_at) FROM endpoint_deliveries AS other
            WHERE other.tenant = CAST(:tenant AS VARCHAR) AND other.endpoint_id = CAST(:endpoint_id AS VARCHAR)
            AND other.customer_id = CAST(:customer_id AS VARCHAR) AND other.state = 'PENDING'
        ), :now), :expires_at
    ) ON CONFLICT DO NOTHING
    """
)
# The customer's earliest event is claimed; the later ones wait until it is delivered, withheld or dead.
_CLAIM: Final = Query(
    EndpointDelivery,
    f"""
    WITH due AS MATERIALIZED (
        SELECT delivery.event_id FROM endpoint_deliveries AS delivery
        WHERE delivery.tenant = :tenant AND delivery.endpoint_id = :endpoint_id AND {_DUE}
        AND (:has_time_left OR delivery.expires_at <= :now)
        AND NOT EXISTS (
            SELECT 1 FROM endpoint_deliveries AS earlier WHERE earlier.tenant = delivery.tenant
            AND earlier.endpoint_id = delivery.endpoint_id AND earlier.customer_id = delivery.customer_id
            AND earlier.state = 'PENDING' AND earlier.event_id < delivery.event_id
        )
        ORDER BY delivery.next_attempt_at, delivery.event_id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE endpoint_deliveries SET attempts = attempts + 1, claimed_by = :worker, claimed_until = :until
    WHERE tenant = :tenant AND endpoint_id = :endpoint_id AND event_id IN (SELECT event_id FROM due)
    RETURNING {{columns}}
    """,
)
_ONE: Final = "tenant = :tenant AND endpoint_id = :endpoint_id AND event_id = :event_id"
_CLAIMED: Final = f"WHERE {_ONE} AND claimed_by = :worker AND state = 'PENDING'"
_CLOSE: Final = Statement(
    "UPDATE endpoint_deliveries SET state = :state, status = :status, error = :error, done_at = :now,"
    f" next_attempt_at = NULL, claimed_by = NULL, claimed_until = NULL {_CLAIMED}"
)
_RETRY: Final = Statement(
    "UPDATE endpoint_deliveries SET next_attempt_at = :at, status = :status, error = :error, claimed_by = NULL,"
    f" claimed_until = NULL {_CLAIMED}"
)
_HOLD_BACK: Final = Statement(
    "UPDATE endpoint_deliveries SET next_attempt_at = :at WHERE tenant = :tenant AND endpoint_id = :endpoint_id"
    " AND customer_id = :customer_id AND state = 'PENDING' AND next_attempt_at < :at"
)
_RELEASE: Final = Statement(
    "UPDATE endpoint_deliveries SET claimed_until = NULL"
    " WHERE tenant = :tenant AND state = 'PENDING' AND claimed_by IN :workers AND claimed_until > :now"
)
_REPLAYED: Final = (
    "UPDATE endpoint_deliveries SET state = 'PENDING', attempts = 0, status = NULL, error = NULL, done_at = NULL,"
    " next_attempt_at = :now, expires_at = :expires_at, claimed_by = NULL, claimed_until = NULL"
    " WHERE tenant = :tenant AND endpoint_id = :endpoint_id"
)
_REPLAY: Final = Statement(f"{_REPLAYED} AND event_id = :event_id AND state <> 'PENDING'")
_REPLAY_MISSED: Final = Statement(
    f"{_REPLAYED} AND event_id = :event_id AND customer_id = :customer_id AND state IN ('DEAD', 'WITHHELD')"
)
_REPLAY_DEAD: Final = Statement(f"{_REPLAYED} AND state = 'DEAD'")
_OF_ENDPOINT: Final = Query(
    EndpointDelivery,
    "SELECT {columns} FROM endpoint_deliveries WHERE tenant = :tenant AND endpoint_id = :endpoint_id"
    " AND event_id > :after AND (:has_all_states OR state = :state) ORDER BY event_id LIMIT :limit",
)
_COUNTS: Final = Query(
    _Count,
    "SELECT state, COUNT(*) FROM endpoint_deliveries WHERE tenant = :tenant AND endpoint_id = :endpoint_id"
    " GROUP BY state",
)
_EXPIRE: Final = Statement(
    "DELETE FROM endpoint_deliveries WHERE tenant = :tenant AND state IN :states AND done_at < :before"
)


# ---- from events to deliveries ---------------------------------------------------------------------------------


def read_endpoint_work(db: Connection) -> EndpointWork:
    return EndpointWork(db.one(_IS_BEHIND) is not None, tuple(db.all(_DUE_ENDPOINTS, now=db.now())))


def fan_out_events(tx: Transaction, *, retry_for: timedelta, limit: int = _PAGE) -> bool:
    """Make deliveries of the events since the last call, for the endpoints that want them and may have them.

    True if there are more events. Does nothing if another process does it now.
    """
    tx.execute(_START_POSITION)
    position = tx.one(_LOCK_POSITION)
    last = last_event_id(tx)  # what has a lower id is committed
    targets = tx.all(_TARGETS)  # after `last`: an endpoint that is added meanwhile misses no event up to it
    if position is None or not targets or last is None:
        return False
    start = max(position, min(one.starts_after or "" for one in targets))
    types = frozenset(EventType(name) for one in targets for name in one.types)
    events = [event for event in events_after(tx, start, types=types, limit=limit) if event.id <= last]
    tx.execute_many(_ADD, _rows(tx, targets, events, retry_for))
    is_full = len(events) == limit
    tx.execute(_MOVE_POSITION, position=events[-1].id if is_full else last)
    return is_full


def deliver_missed_events(
    tx: Transaction, endpoint_id: str, after: str, *, retry_for: timedelta, limit: int = _PAGE
) -> tuple[int, str | None]:
    """One page of the events after an id that were not delivered, also of a time when the endpoint was disabled.

    Returns how many events are due, and the id after which the next page begins.
    """
    target = tx.one(_TARGET, id=endpoint_id)
    if target is None:
        return 0, None
    events = events_after(tx, after, types=[EventType(name) for name in target.types], limit=limit)
    rows = _rows(tx, [target._replace(starts_after=None)], events, retry_for)
    due = sum(tx.count(_ADD, **row) + tx.count(_REPLAY_MISSED, **row) for row in rows)
    return due, events[-1].id if len(events) == limit else None


def _rows(
    tx: Transaction, targets: Sequence[_Target], events: Sequence[EventRecord], retry_for: timedelta
) -> list[dict[str, Any]]:
    """A delivery for each event and each endpoint that wants it and may have it."""
    clients = [one.client for one in targets if one.client is not None and not one.sees_all_customers]
    customers = sorted({event.customer_id for event in events if event.customer_id is not None})
    granted = set(tx.all(_GRANTS, clients=clients, customers=customers)) if clients and customers else set()
    now = tx.now()
    return [
        {
            "endpoint_id": target.id,
            "event_id": event.id,
            "customer_id": event.customer_id,
            "now": now,
            "expires_at": now + retry_for,
        }
        for event in events
        for target in targets
        if event.customer_id is not None
        and event.type.value in target.types
        and event.id > (target.starts_after or "")
        and _may_have(target, event.customer_id, granted)
    ]


def _may_have(target: _Target, customer_id: str, granted: Collection[_Grant]) -> bool:
    if target.client is None:
        return True
    if _SCOPE not in (target.scopes or ()):
        return False
    return bool(target.sees_all_customers) or _Grant(target.client, customer_id) in granted


# ---- deliveries ------------------------------------------------------------------------------------------------


def claim_endpoint_deliveries(
    tx: Transaction, endpoint_id: str, worker: str, *, lease: timedelta, limit: int, only_expired: bool = False
) -> list[ClaimedDelivery]:
    """Due deliveries, one per customer, with what their endpoint's owner may see now.

    `only_expired`: those whose time for retries is over.
    """
    now = tx.now()
    target = tx.one(_TARGET, id=endpoint_id)
    if target is None:  # it, or its partner, was disabled meanwhile
        return []
    values = {"endpoint_id": endpoint_id, "worker": worker, "now": now, "until": now + lease, "limit": limit}
    claimed = tx.all(_CLAIM, has_time_left=not only_expired, **values)
    granted: Collection[_Grant] = ()
    if claimed and target.client is not None and not target.sees_all_customers:
        granted = set(tx.all(_GRANTS, clients=[target.client], customers=[one.customer_id for one in claimed]))
    claimed.sort(key=lambda one: one.event_id)
    return [
        ClaimedDelivery(one, find_event(tx, one.event_id), _may_have(target, one.customer_id, granted))
        for one in claimed
    ]


def finish_endpoint_delivery(tx: Transaction, delivery: EndpointDelivery, worker: str, status: int) -> bool:
    """It was delivered. False if the worker's claim was lost: another one may deliver it again."""
    note_success(tx, delivery.endpoint_id)
    return _close(tx, delivery, worker, EndpointDeliveryState.DELIVERED, status, None)


def withhold_endpoint_delivery(tx: Transaction, delivery: EndpointDelivery, worker: str, error: str) -> bool:
    """It is not sent: the endpoint's owner may not see the event any more, or the event has expired."""
    return _close(tx, delivery, worker, EndpointDeliveryState.WITHHELD, None, error)


def retry_endpoint_delivery(
    tx: Transaction,
    delivery: EndpointDelivery,
    worker: str,
    *,
    at: datetime,
    status: int | None,
    error: str,
    disable_after: timedelta | None,
) -> bool:
    """Release it, due again at `at`; the customer's later events wait. True if its endpoint is disabled now.

    `disable_after`: see `note_failure`.
    """
    if tx.count(_RETRY, **_key(delivery), worker=worker, at=at, status=status, error=error):
        tx.execute(_HOLD_BACK, endpoint_id=delivery.endpoint_id, customer_id=delivery.customer_id, at=at)
    return note_failure(tx, delivery.endpoint_id, disable_after)


def bury_endpoint_delivery(
    tx: Transaction,
    delivery: EndpointDelivery,
    worker: str,
    *,
    status: int | None,
    error: str,
    disable_after: timedelta | None,
) -> bool:
    """Dead-letter it; the customer's later events continue. True if its endpoint is disabled now."""
    _close(tx, delivery, worker, EndpointDeliveryState.DEAD, status, error)
    return note_failure(tx, delivery.endpoint_id, disable_after)


def _close(
    tx: Transaction,
    delivery: EndpointDelivery,
    worker: str,
    state: EndpointDeliveryState,
    status: int | None,
    error: str | None,
) -> bool:
    return tx.count(_CLOSE, **_key(delivery), worker=worker, state=state, status=status, error=error, now=tx.now()) == 1


def _key(delivery: EndpointDelivery) -> dict[str, str]:
    return {"endpoint_id": delivery.endpoint_id, "event_id": delivery.event_id}


def release_endpoint_deliveries(tx: Transaction, workers: Collection[str]) -> int:
    """Release the claims of dead workers: due again immediately. Returns their number."""
    return tx.count(_RELEASE, workers=list(workers), now=tx.now())


def replay_endpoint_delivery(tx: Transaction, endpoint_id: str, event_id: str, *, retry_for: timedelta) -> bool:
    """Make it due again, with a new time for its retries; False if it is pending or unknown."""
    values = {"endpoint_id": endpoint_id, "now": tx.now(), "expires_at": tx.now() + retry_for}
    return tx.count(_REPLAY, event_id=event_id, **values) == 1


def replay_dead_deliveries(tx: Transaction, endpoint_id: str, *, retry_for: timedelta) -> int:
    """As `replay_endpoint_delivery`, for all that are dead-lettered; returns their number."""
    return tx.count(_REPLAY_DEAD, endpoint_id=endpoint_id, now=tx.now(), expires_at=tx.now() + retry_for)


def page_of_endpoint_deliveries(
    db: Connection,
    endpoint_id: str,
    state: EndpointDeliveryState | None = None,
    *,
    after: str = "",
    limit: int = _PAGE,
) -> list[EndpointDelivery]:
    """One page, oldest event first."""
    values = {"endpoint_id": endpoint_id, "after": after, "limit": limit}
    return db.all(_OF_ENDPOINT, has_all_states=state is None, state=state or "", **values)


def count_endpoint_deliveries(db: Connection, endpoint_id: str) -> dict[EndpointDeliveryState, int]:
    """In every state."""
    found = {one.state: one.rows for one in db.all(_COUNTS, endpoint_id=endpoint_id)}
    return {state: found.get(state, 0) for state in EndpointDeliveryState}


def expire_endpoint_deliveries(tx: Transaction, before: datetime, *, dead_before: datetime) -> int:
    """Delete those that ended before `before`, dead-lettered ones before `dead_before`; returns their number."""
    done = [EndpointDeliveryState.DELIVERED.value, EndpointDeliveryState.WITHHELD.value]
    gone = tx.count(_EXPIRE, states=done, before=before)
    return gone + tx.count(_EXPIRE, states=[EndpointDeliveryState.DEAD.value], before=dead_before)


class EndpointDeliveries(Repository):
    """Workers claim deliveries with a lease; after its expiry another worker can claim them: at least once."""

    work = ReadMethod(read_endpoint_work)
    fan_out = WriteMethod(fan_out_events)
    claim = WriteMethod(claim_endpoint_deliveries)
    done = WriteMethod(finish_endpoint_delivery)
    withhold = WriteMethod(withhold_endpoint_delivery)
    retry = WriteMethod(retry_endpoint_delivery)
    dead = WriteMethod(bury_endpoint_delivery)
    release = WriteMethod(release_endpoint_deliveries)
    page = ReadMethod(page_of_endpoint_deliveries)
    counts = ReadMethod(count_endpoint_deliveries)
    expire = WriteMethod(expire_endpoint_deliveries)
