"""What happened, as far as resolvers see it: kept events, and new ones as they come."""

from collections.abc import AsyncIterator, Collection
from typing import Protocol

from app.store.records import EventPage, EventRecord, EventType
from app.wallet.caller import Caller


class EventLog(Protocol):
    """The store's events, for reading."""

    async def event(self, event_id: str) -> EventRecord | None: ...

    async def of_customer(
        self,
        customer_id: str,
        *,
        first: int = 20,
        after: str | None = None,
        types: Collection[EventType] | None = None,
    ) -> EventPage: ...


class EventFeed(Protocol):
    """See `app.wallet.feed.Feed.events`."""

    def events(
        self, customer_id: str, types: Collection[EventType], *, after: str | None = None, tick_s: float = 15.0
    ) -> AsyncIterator[EventRecord | None]: ...


class NoEvents:
    """Of a process that keeps none: nothing happened, and nothing will."""

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

    async def events(
        self, customer_id: str, types: Collection[EventType], *, after: str | None = None, tick_s: float = 15.0
    ) -> AsyncIterator[EventRecord | None]:
        return
        yield  # an async generator without items


async def unchanged(caller: Caller) -> Caller | None:
    """For a process whose callers keep their rights."""
    return caller
