"""Customer events and the audit trail, in commit order."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, select, update

from app.store.database import Database, Tx
from app.store.prepared import Asked, prepared
from app.store.records import EventOrigin, EventPage, EventRecord, EventType, MethodAddress, NewEvent
from app.store.tables import events, heads
from app.store.text import is_storable, storable
from app.vault.enums import CustomerRef, MethodRef, ProviderName


class Events:
    """Event ids are cursors: they increase in commit order, so reading after an id misses no event on any replica."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def append(self, event: NewEvent, *, tx: Tx | None = None) -> EventRecord | None:
        """Store one event. None if its `once` exists, or with `tx`: then `tx.events` holds it after the commit."""
        kept = await self.append_all([event], tx=tx)
        return kept[0] if kept else None

    async def append_all(self, new: Iterable[NewEvent], *, tx: Tx | None = None) -> tuple[EventRecord, ...]:
        """Store events atomically; within `tx` they get their ids only at the commit."""
        async with self._db.writing(tx) as own:
            for event in new:
                storable(
                    event.customer_id,
                    event.customer_ref,
                    event.method_ref,
                    event.actor,
                    event.outcome,
                    event.request_id,
                    event.once,
                )
                own.tell(event)
        return () if tx is not None else own.events

    async def event(self, event_id: str) -> EventRecord | None:
        if not is_storable(event_id):
            return None
        found = await self._read(events.c.id == event_id, limit=1)
        return found[0] if found else None

    async def of_customer(
        self,
        customer_id: str,
        *,
        first: int = 20,
        after: str | None = None,
        types: Collection[EventType] | None = None,
    ) -> EventPage:
        """Newest first; `after` is the id of the last event on the previous page."""
        if not is_storable(customer_id) or not is_storable(after or ""):
            return EventPage((), has_next=False)
        conditions: list[ColumnElement[bool]] = [events.c.customer_id == customer_id]
        if after is not None:
            conditions.append(events.c.id < after)
        found = await self._read(*conditions, *_of_types(types), limit=first + 1, is_newest_first=True)
        return EventPage(tuple(found[:first]), has_next=len(found) > first)

    async def of_method(
        self, customer_id: str, address: MethodAddress, types: Collection[EventType], *, first: int = 20
    ) -> list[EventRecord]:
        """Events of one payment method of a customer, newest first."""
        where = address.provider.value, address.customer_ref, address.method_ref
        asked = _of_method(self._db.tenant, customer_id, *where, [each.value for each in types], first)
        return [_record(row) for row in await self._db.rows(asked)]

    async def after(
        self,
        event_id: str | None,
        *,
        customer_id: str | None = None,
        types: Collection[EventType] | None = None,
        limit: int = 500,
    ) -> list[EventRecord]:
        """Events after an id (None: from the beginning), oldest first. Live feeds poll with the last id."""
        conditions: list[ColumnElement[bool]] = [events.c.id > (event_id or "")]
        if customer_id is not None:
            conditions.append(events.c.customer_id == customer_id)
        return await self._read(*conditions, *_of_types(types), limit=limit)

    async def last_id(self) -> str | None:
        """The id of the newest event, even if it has expired: the start of a live feed."""
        async with self._db.reading() as conn:
            found: str | None = await conn.scalar(*_last_id(self._db.tenant))
        return found

    async def forget(self, customer_id: str, *, tx: Tx | None = None) -> None:
        """Erasure: remove the details of a customer's events but keep the events."""
        mine = (events.c.tenant == self._db.tenant, events.c.customer_id == customer_id)
        async with self._db.writing(tx) as own:
            await own.conn.execute(update(events).where(*mine).values(detail={}))

    async def expire(self, before: datetime) -> int:
        """Delete events older than `before`; returns their number."""
        old = (events.c.tenant == self._db.tenant, events.c.occurred_at < before)
        async with self._db.writing() as tx:
            return (await tx.conn.execute(delete(events).where(*old))).rowcount

    async def _read(
        self, *conditions: ColumnElement[bool], limit: int, is_newest_first: bool = False
    ) -> list[EventRecord]:
        query = select(events).where(events.c.tenant == self._db.tenant, *conditions)
        query = query.order_by(events.c.id.desc() if is_newest_first else events.c.id).limit(limit)
        async with self._db.reading() as conn:
            return [_record(row) for row in await conn.execute(query)]


@prepared
def _of_method(
    tenant: Asked,
    customer_id: Asked,
    provider: Asked,
    customer_ref: Asked,
    method_ref: Asked,
    types: Asked,
    limit: Asked,
) -> Select[Any]:
    theirs = events.c.tenant == tenant, events.c.customer_id == customer_id, events.c.type.in_(types)
    its = events.c.provider == provider, events.c.customer_ref == customer_ref, events.c.method_ref == method_ref
    return select(events).where(*theirs, *its).order_by(events.c.id.desc()).limit(limit)


@prepared
def _last_id(tenant: Asked) -> Select[Any]:
    return select(heads.c.last_event_id).where(heads.c.tenant == tenant)


def _of_types(types: Collection[EventType] | None) -> list[ColumnElement[bool]]:
    return [] if types is None else [events.c.type.in_([each.value for each in types])]


def _record(row: Row[Any]) -> EventRecord:
    return EventRecord(
        id=row.id,
        type=EventType(row.type),
        origin=EventOrigin(row.origin),
        occurred_at=row.occurred_at,
        customer_id=row.customer_id,
        provider=ProviderName(row.provider) if row.provider else None,
        customer_ref=CustomerRef(row.customer_ref) if row.customer_ref is not None else None,
        method_ref=MethodRef(row.method_ref) if row.method_ref is not None else None,
        actor=row.actor,
        outcome=row.outcome,
        request_id=row.request_id,
        detail=row.detail,
    )
