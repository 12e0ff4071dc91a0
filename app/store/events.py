"""Customer events and the audit trail, in commit order."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import cache
from typing import Final

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.outbox import Transaction
from app.store.records import EventPage, EventRecord, EventType, MethodAddress, NewEvent
from app.store.statements import Query, Statement
from app.store.text import is_storable, storable

_BY_ID: Final = Query(EventRecord, "SELECT {columns} FROM events WHERE tenant = :tenant AND id = :id")
_OF_TYPES: Final = "AND (:has_all_types OR type IN :types)"
_OF_CUSTOMER: Final = Query(
    EventRecord,
    "SELECT {columns} FROM events WHERE tenant = :tenant AND customer_id = :customer_id"
    " AND (NOT :is_later_page OR id < :after) {of_types} ORDER BY id DESC LIMIT :limit",
    of_types=_OF_TYPES,
)
_OF_METHOD: Final = Query(
    EventRecord,
    """
    SELECT {columns} FROM events WHERE tenant = :tenant AND customer_id = :customer_id AND type IN :types
    AND provider = :provider AND customer_ref = :customer_ref AND method_ref = :method_ref
    ORDER BY id DESC LIMIT :limit
    """,
)
_AFTER: Final = Query(
    EventRecord, "SELECT {columns} FROM events WHERE tenant = :tenant AND id > :after ORDER BY id LIMIT :limit"
)
_AFTER_OF_TYPE: Final = (
    "SELECT * FROM (SELECT {columns} FROM events WHERE tenant = :tenant AND type = :type{n} AND id > :after"
    " ORDER BY id LIMIT :limit) AS of_type{n}"
)
_OF_CUSTOMER_AFTER: Final = Query(
    EventRecord,
    "SELECT {columns} FROM events WHERE tenant = :tenant AND customer_id = :customer_id AND id > :after {of_types}"
    " ORDER BY id LIMIT :limit",
    of_types=_OF_TYPES,
)
_LAST_ID: Final = Query(str, "SELECT last_event_id FROM heads WHERE tenant = :tenant")
_CHUNK: Final = 250
_CHUNKS: Final = 8
_FORGET: Final = Statement("UPDATE events SET detail = :nothing WHERE tenant = :tenant AND customer_id = :customer_id")
_EXPIRE: Final = Statement("DELETE FROM events WHERE tenant = :tenant AND occurred_at < :before")


def append_event(tx: Transaction, event: NewEvent) -> None:
    """Store an event; after the commit `tx.events` holds it, unless its `once` existed."""
    storable(
        event.customer_id,
        event.customer_ref,
        event.method_ref,
        event.actor,
        event.outcome,
        event.request_id,
        event.once,
    )
    tx.tell(event)


def append_events(tx: Transaction, new: Iterable[NewEvent]) -> Transaction:
    for event in new:
        append_event(tx, event)
    return tx


def find_event(db: Connection, event_id: str) -> EventRecord | None:
    return db.one(_BY_ID, id=event_id) if is_storable(event_id) else None


def events_of_customer(
    db: Connection,
    customer_id: str,
    *,
    first: int = 20,
    after: str | None = None,
    types: Collection[EventType] | None = None,
) -> EventPage:
    """Newest first; `after` is the id of the last event on the previous page."""
    if not is_storable(customer_id) or not is_storable(after or ""):
        return EventPage((), has_next=False)
    found = db.all(
        _OF_CUSTOMER,
        customer_id=customer_id,
        is_later_page=after is not None,
        after=after or "",
        has_all_types=types is None,
        types=list(types or ()),
        limit=first + 1,
    )
    return EventPage(tuple(found[:first]), has_next=len(found) > first)


def events_of_method(
    db: Connection, customer_id: str, address: MethodAddress, types: Collection[EventType], *, first: int = 20
) -> list[EventRecord]:
    """Events of one payment method of a customer, newest first."""
    return db.all(
        _OF_METHOD,
        customer_id=customer_id,
        types=list(types),
        provider=address.provider,
        customer_ref=address.customer_ref,
        method_ref=address.method_ref,
        limit=first,
    )


def events_after(
    db: Connection,
    event_id: str | None,
    *,
    customer_id: str | None = None,
    types: Collection[EventType] | None = None,
    limit: int = 500,
) -> list[EventRecord]:
    """Events after an id (None: from the beginning), oldest first. Live feeds poll with the last id."""
    after = event_id or ""
    if customer_id is not None:
        return db.all(
            _OF_CUSTOMER_AFTER,
            customer_id=customer_id,
            after=after,
            has_all_types=types is None,
            types=list(types or ()),
            limit=limit,
        )
    if types is None:
        return db.all(_AFTER, after=after, limit=limit)
    wanted = {f"type{n}": one for n, one in enumerate(sorted(set(types)))}
    return db.all(_after_of_types(len(wanted)), after=after, limit=limit, **wanted) if wanted else []


@cache
def _after_of_types(count: int) -> Query[EventRecord]:
    """One range of the index for each type: a rare type is found without reading the events of the others."""
    each = " UNION ALL ".join(_AFTER_OF_TYPE.replace("{n}", str(n)) for n in range(count))
    return Query(EventRecord, f"{each} ORDER BY id LIMIT :limit")


def page_of_events(
    db: Connection,
    types: Collection[EventType],
    is_wanted: Callable[[EventRecord], bool],
    *,
    first: int,
    after: str | None = None,
) -> EventPage:
    """Events of all customers, oldest first. Examines a bounded number of events: a page may have fewer than `first`
    while there is a next one, which begins after `position`.
    """
    if not is_storable(after or ""):
        return EventPage((), has_next=False)
    found: list[EventRecord] = []
    position = after
    for _ in range(_CHUNKS):
        chunk = events_after(db, position, types=types, limit=_CHUNK)
        for event in chunk:
            if is_wanted(event):
                if len(found) == first:
                    return EventPage(tuple(found), has_next=True, position=position)
                found.append(event)
            position = event.id
        if len(chunk) < _CHUNK:
            return EventPage(tuple(found), has_next=False, position=position)
    return EventPage(tuple(found), has_next=True, position=position)


def last_event_id(db: Connection) -> str | None:
    """The id of the newest event, even if it has expired: the start of a live feed."""
    return db.one(_LAST_ID)


def forget_event_details(tx: Transaction, customer_id: str) -> None:
    """Erasure: remove the details of a customer's events but keep the events."""
    tx.execute(_FORGET, customer_id=customer_id, nothing={})


def expire_events(tx: Transaction, before: datetime) -> int:
    """Delete events older than `before`; returns their number."""
    return tx.count(_EXPIRE, before=before)


class Events(Repository):
    """Event ids are cursors: they increase in commit order, so reading after an id misses no event on any replica."""

    event = ReadMethod(find_event)
    of_customer = ReadMethod(events_of_customer)
    of_method = ReadMethod(events_of_method)
    after = ReadMethod(events_after)
    page = ReadMethod(page_of_events)
    last_id = ReadMethod(last_event_id)
    forget = WriteMethod(forget_event_details)
    expire = WriteMethod(expire_events)

    async def append(self, event: NewEvent) -> EventRecord | None:
        """Store one event; None if its `once` exists."""
        stored = await self.append_all([event])
        return stored[0] if stored else None

    async def append_all(self, new: Iterable[NewEvent]) -> tuple[EventRecord, ...]:
        """Store events atomically; returns them, without those whose `once` exists."""
        return (await self._db.write(append_events, list(new))).events
