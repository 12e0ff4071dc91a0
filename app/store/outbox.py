"""A write transaction with its outbox: changes and events, numbered at its end."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from app.store.connection import Clock, Driver, WriteConnection
from app.store.records import ChangeNotice, EventRecord, NewEvent, Topic
from app.store.statements import Query, Statement, values_of
from app.store.ulids import EVENT, new_id, new_id_after

# `heads` has one row per tenant. It is written last and stays locked until the commit. So versions and event ids are in
# commit order, and a reader with a cursor never misses a row that was numbered earlier but committed later.
_TAKE_VERSIONS: Final = Query(
    int, "UPDATE heads SET version = version + :changes WHERE tenant = :tenant RETURNING version"
)
_TAKE_VERSIONS_AND_IDS: Final = Query(
    int,
    "UPDATE heads SET version = version + :changes, last_event_id = :last_id"
    " WHERE tenant = :tenant AND (last_event_id IS NULL OR last_event_id < :first_id) RETURNING version",
)
_START_HEAD: Final = Statement(
    "INSERT INTO heads (tenant, version, pruned_to) VALUES (:tenant, 0, 0) ON CONFLICT DO NOTHING"
)
_LAST_ID: Final = Query(str, "SELECT last_event_id FROM heads WHERE tenant = :tenant FOR UPDATE")
_ADD_CHANGE: Final = Statement(
    "INSERT INTO changes (tenant, version, topic, key, changed_at)"
    " VALUES (:tenant, :version, :topic, :key, :changed_at)"
)
_INTO_EVENTS: Final = (
    "INSERT INTO events (tenant, id, type, origin, occurred_at, customer_id, provider, customer_ref, method_ref, actor,"
    " outcome, request_id, once, detail) VALUES "
)
_EVENT: Final = (
    "(:tenant, :id{n}, :type{n}, :origin{n}, :occurred_at{n}, :customer_id{n}, :provider{n}, :customer_ref{n},"
    " :method_ref{n}, :actor{n}, :outcome{n}, :request_id{n}, :once{n}, :detail{n})"
)
_ADD_EVENT_ONCE: Final = Query(
    str,
    "{insert} ON CONFLICT (tenant, once) DO NOTHING RETURNING id",
    insert=_INTO_EVENTS + _EVENT.format(n=""),
)
_EVENTS_PER_INSERT: Final = 8


class Transaction(WriteConnection):
    """A write transaction. Its changes and events are collected, and written by `flush` just before the commit."""

    def __init__(self, driver: Driver, tenant: str, clock: Clock) -> None:
        super().__init__(driver, tenant, clock)
        self._touched: dict[tuple[Topic, str], None] = {}
        self._new_events: list[NewEvent] = []
        self.changes: tuple[ChangeNotice, ...] = ()
        self.events: tuple[EventRecord, ...] = ()
        """Set by the commit: the stored events, without those dropped by `once`."""

    def touch(self, topic: Topic, key: str) -> None:
        """Publish that this object has changed."""
        self._touched[topic, key] = None

    def tell(self, event: NewEvent) -> None:
        """Store an event. Its texts must be storable: see `app.store.events.append_events`."""
        self._new_events.append(event)

    def flush(self) -> None:
        if not self._touched and not self._new_events:
            return
        now, ids = self.now(), [new_id(EVENT) for _ in self._new_events]
        version = self._take_head(len(self._touched), ids) - len(self._touched)
        self.changes = tuple(
            ChangeNotice(version + place, *touched) for place, touched in enumerate(self._touched, start=1)
        )
        rows = [{"version": one.version, "topic": one.topic, "key": one.key, "changed_at": now} for one in self.changes]
        self.execute_many(_ADD_CHANGE, rows)
        self.events = self._add_events(ids, now)

    def _take_head(self, changes: int, ids: list[str]) -> int:
        """The version after `changes` more; replaces `ids` by later ones if a process with a faster clock was here."""
        version = self._try_head(changes, ids)
        if version is None:
            self.execute(_START_HEAD)
            last_id = self.one(_LAST_ID)
            for place in range(len(ids)):
                ids[place] = last_id = new_id_after(EVENT, last_id)
            version = self._try_head(changes, ids)
        if version is None:
            raise AssertionError("the head of the change log could not be written under its lock")
        return version

    def _try_head(self, changes: int, ids: Sequence[str]) -> int | None:
        if not ids:
            return self.one(_TAKE_VERSIONS, changes=changes)
        return self.one(_TAKE_VERSIONS_AND_IDS, changes=changes, first_id=ids[0], last_id=ids[-1])

    def _add_events(self, ids: Sequence[str], now: datetime) -> tuple[EventRecord, ...]:
        plain: list[dict[str, Any]] = []
        stored: list[EventRecord] = []
        for event_id, event in zip(ids, self._new_events, strict=True):
            row = {**values_of(event), "id": event_id, "occurred_at": event.occurred_at or now}
            record = EventRecord(**{name: value for name, value in row.items() if name != "once"})
            if event.once is None:
                plain.append(row)
            elif self.one(_ADD_EVENT_ONCE, **row) is None:
                continue
            stored.append(record)
        for start in range(0, len(plain), _EVENTS_PER_INSERT):
            rows = plain[start : start + _EVENTS_PER_INSERT]
            values = {f"{name}{place}": value for place, row in enumerate(rows) for name, value in row.items()}
            self.execute(_add_events(len(rows)), **values)
        return tuple(stored)


@cache
def _add_events(count: int) -> Statement:
    """For `count` rows, with the row's place after each parameter's name."""
    return Statement(_INTO_EVENTS + ", ".join(_EVENT.format(n=place) for place in range(count)))
