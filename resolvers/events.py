"""The interfaces through which resolvers read stored events and receive new ones. By themselves they have none."""

from collections.abc import AsyncIterator, Callable, Collection
from typing import Protocol

from app.store.records import EventPage, EventRecord, EventType
from app.wallet.caller import Caller


class EventLog(Protocol):
    """Reads stored events."""

    async def event(self, event_id: str) -> EventRecord | None:
        return None

    async def of_customer(
        self,
        customer_id: str,
        *,
        first: int = 20,
        after: str | None = None,
        types: Collection[EventType] | None = None,
    ) -> EventPage:
        return EventPage((), has_next=False)

    async def page(
        self,
        types: Collection[EventType],
        is_wanted: Callable[[EventRecord], bool],
        *,
        first: int,
        after: str | None = None,
    ) -> EventPage:
        return EventPage((), has_next=False)


class EventFeed(Protocol):
    """See `app.wallet.changes.feed.Feed.events`."""

    async def events(
        self, customer_id: str | None, types: Collection[EventType], *, after: str | None = None, tick_s: float = 15.0
    ) -> AsyncIterator[EventRecord | None]:
        return
        yield  # makes this an async generator


class NoEvents(EventLog, EventFeed):
    """For a process without events."""


async def unchanged(caller: Caller) -> Caller | None:
    """For a process whose callers' rights do not change."""
    return caller
