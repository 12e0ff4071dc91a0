"""Transactional outbox: changes and events of a transaction, numbered at its end."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Select, Update, insert, select, update

from app.store.prepared import Asked, Insert, prepared
from app.store.records import ChangeNotice, EventRecord, NewEvent, Topic
from app.store.tables import changes, events, heads
from app.store.ulids import EVENT, new_id_after

_ADD_CHANGES: Final = insert(changes)
_ADD_EVENTS: Final = insert(events)


class Outbox:
    """Collects changes and events; `flush` writes them under a lock on the tenant's row in `heads`.

    The lock is taken last and held until the commit, so it cannot cause a deadlock.
    """

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._touched: dict[tuple[Topic, str], None] = {}
        self._new_events: list[NewEvent] = []
        self.changes: tuple[ChangeNotice, ...] = ()
        self.events: tuple[EventRecord, ...] = ()
        """Set by the commit: the stored events, without those dropped by `once`."""

    def touch(self, topic: Topic, key: str) -> None:
        self._touched[topic, key] = None

    def tell(self, event: NewEvent) -> None:
        self._new_events.append(event)

    def flush(self, conn: Connection, now: datetime, upsert: Insert) -> None:
        if not self._touched and not self._new_events:
            return
        version, last_event_id = self._take_head(conn, upsert)
        fresh = self._unseen(conn)
        kept: list[EventRecord] = []
        for event in fresh:
            last_event_id = new_id_after(EVENT, last_event_id)
            kept.append(_record(last_event_id, event, now))
        changed = [ChangeNotice(version + 1 + place, *touched) for place, touched in enumerate(self._touched)]
        if changed:
            conn.execute(_ADD_CHANGES, [self._change_row(change, now) for change in changed])
        if kept:
            rows = [self._event_row(*pair) for pair in zip(kept, fresh, strict=True)]
            conn.execute(_ADD_EVENTS, rows)
        conn.execute(*_move_head(self._tenant, version=version + len(changed), last_event_id=last_event_id))
        self.changes, self.events = tuple(changed), tuple(kept)

    def _take_head(self, conn: Connection, upsert: Insert) -> tuple[int, str | None]:
        row = conn.execute(*_head(self._tenant)).first()
        if row is None:
            conn.execute(_start(upsert), {"tenant": self._tenant, "version": 0, "pruned_to": 0})
            row = conn.execute(*_head(self._tenant)).one()
        return row.version, row.last_event_id

    def _unseen(self, conn: Connection) -> Sequence[NewEvent]:
        """Drop events whose `once` exists; the lock on the head prevents concurrent inserts."""
        keys = {event.once for event in self._new_events if event.once is not None}
        if not keys:
            return self._new_events
        seen = set(conn.execute(*_known(self._tenant, list(keys))).scalars())
        fresh: list[NewEvent] = []
        for event in self._new_events:
            if event.once is None or event.once not in seen:
                fresh.append(event)
                seen.add(event.once)
        return fresh

    def _change_row(self, change: ChangeNotice, now: datetime) -> Mapping[str, Any]:
        return {
            "tenant": self._tenant,
            "version": change.version,
            "topic": change.topic.value,
            "key": change.key,
            "changed_at": now,
        }

    def _event_row(self, record: EventRecord, source: NewEvent) -> Mapping[str, Any]:
        return {
            "tenant": self._tenant,
            "id": record.id,
            "type": record.type.value,
            "origin": record.origin.value,
            "occurred_at": record.occurred_at,
            "customer_id": record.customer_id,
            "provider": record.provider.value if record.provider else None,
            "customer_ref": record.customer_ref,
            "method_ref": record.method_ref,
            "actor": record.actor,
            "outcome": record.outcome,
            "request_id": record.request_id,
            "once": source.once,
            "detail": dict(record.detail),
        }


@prepared
def _head(tenant: Asked) -> Select[Any]:
    return select(heads.c.version, heads.c.last_event_id).where(heads.c.tenant == tenant).with_for_update()


@cache
def _start(insert: Insert) -> Any:
    return insert(heads).on_conflict_do_nothing()


@prepared
def _move_head(tenant: Asked) -> Update:
    return update(heads).where(heads.c.tenant == tenant)


@prepared
def _known(tenant: Asked, keys: Asked) -> Select[Any]:
    return select(events.c.once).where(events.c.tenant == tenant, events.c.once.in_(keys))


def _record(event_id: str, event: NewEvent, now: datetime) -> EventRecord:
    return EventRecord(
        id=event_id,
        type=event.type,
        origin=event.origin,
        occurred_at=event.occurred_at or now,
        customer_id=event.customer_id,
        provider=event.provider,
        customer_ref=event.customer_ref,
        method_ref=event.method_ref,
        actor=event.actor,
        outcome=event.outcome,
        request_id=event.request_id,
        detail=dict(event.detail),
    )
