"""Delivers new events to the subscribers of their customer and of all customers, in id order.

One task per process reads from the store the events after the last one it saw, so events of this process and of other
replicas arrive the same way. No id below the last one can appear later: the store numbers events by commit.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from app.store import Store
from app.store.errors import RETRY_STORE_S, StoreUnavailable
from app.store.records import EventRecord, EventType
from app.wallet.wake import Wake

_log = logging.getLogger("vaultgraph.feed")
_PAGE: Final = 500


class TooSlow(Exception):
    """The subscriber's queue was full; its subscription was ended."""

    def __init__(self, last_id: str | None) -> None:
        super().__init__("a subscriber was too slow")
        self.last_id = last_id


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPace:
    """Interval between polls while there are subscribers, and the length of each subscriber's queue."""

    poll_s: float = 0.25
    waiting: int = 256


@dataclass(eq=False, slots=True)
class Subscriber:
    """One subscription's bounded queue. `customer_id` None: events of all customers."""

    customer_id: str | None
    types: Collection[EventType]
    most: int
    waiting: deque[EventRecord] = field(default_factory=deque)
    is_over: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, event: EventRecord) -> None:
        if self.is_over or event.type not in self.types:
            return
        if len(self.waiting) >= self.most:
            self.is_over = True
            self.waiting.clear()
        else:
            self.waiting.append(event)
        self.news.set()

    async def next(self, within_s: float) -> EventRecord | None:
        """The next event; None after `within_s` seconds without one. Raises TooSlow without an id."""
        if not self.waiting and not self.is_over:
            self.news.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self.news.wait()
            except TimeoutError:
                return None
        if self.is_over:
            raise TooSlow(None)
        return self.waiting.popleft() if self.waiting else None


class Feed:
    """One per process. `run` reads new events when woken and at intervals, but not while there are no subscribers."""

    def __init__(
        self, store: Store, pace: FeedPace | None = None, before_delivery: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`before_delivery` makes what was committed with the events visible to reads of this process."""
        self._store = store
        self._pace = pace or FeedPace()
        self._before_delivery = before_delivery
        self._wake = Wake()
        self._by_customer: defaultdict[str | None, set[Subscriber]] = defaultdict(set)
        self._has_subscribers = asyncio.Event()
        self._position: str | None = None
        self._has_position = False

    def customers(self) -> list[str]:
        """Customers that have a subscriber of their own now."""
        return [customer_id for customer_id in self._by_customer if customer_id is not None]

    def wants(self, customer_id: str, kind: EventType) -> bool:
        """True if a subscriber of this customer wants events of this type."""
        return any(kind in one.types for one in self._by_customer.get(customer_id, ()))

    def __len__(self) -> int:
        return sum(len(subscribers) for subscribers in self._by_customer.values())

    async def events(
        self, customer_id: str | None, types: Collection[EventType], *, after: str | None = None, tick_s: float = 15.0
    ) -> AsyncIterator[EventRecord | None]:
        """The events of a customer (None: of all) from now on, or after the event `after`, without gaps and each once.

        Yields None after every `tick_s` seconds without an event, so that the caller can check its permissions. Raises
        TooSlow.
        """
        last = await self._store.events.last_id() if after is None else after
        if after is not None:
            async for event in self._stored(customer_id, types, after):
                last = event.id
                yield event
        with self._joined(customer_id, types) as subscriber:
            await self._set_position()
            # Read what was committed before the subscriber joined. The feed may deliver some of it again.
            async for event in self._stored(customer_id, types, last):
                last = event.id
                yield event
            while True:
                try:
                    found = await subscriber.next(tick_s)
                except TooSlow:
                    raise TooSlow(last) from None
                if found is None:
                    yield None
                elif last is None or found.id > last:
                    last = found.id
                    yield found

    def wake(self) -> None:
        self._wake.wake()

    async def run(self) -> None:
        """Deliver new events until cancelled. A store failure is logged and retried; no event is lost."""
        while True:
            await self._has_subscribers.wait()
            try:
                await self.look()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_STORE_S)
            except Exception:  # noqa: BLE001 - the loop must survive: all subscribers depend on it
                _log.exception("new events could not be read; retrying")
            await self._wake.wait(self._pace.poll_s)

    async def look(self) -> None:
        """Deliver the events since the last call."""
        if not self._has_position:
            return
        newest = await self._store.events.last_id()
        while newest is not None and newest != self._position:
            page = await self._store.events.after(self._position, limit=_PAGE)
            if self._before_delivery is not None:
                await self._before_delivery()
            for event in page:
                self._deliver(event)
            if page:
                self._position = page[-1].id
            if len(page) < _PAGE:
                return

    async def _set_position(self) -> None:
        """Set the start position before the first subscriber reads stored events, so that there is no gap."""
        if not self._has_position:
            position = await self._store.events.last_id()
            if not self._has_position:
                self._position, self._has_position = position, True

    def _deliver(self, event: EventRecord) -> None:
        if event.customer_id is not None:
            for key in (event.customer_id, None):
                for subscriber in self._by_customer.get(key, ()):
                    subscriber.offer(event)

    async def _stored(
        self, customer_id: str | None, types: Collection[EventType], after: str | None
    ) -> AsyncIterator[EventRecord]:
        while True:
            page = await self._store.events.after(after, customer_id=customer_id, types=types, limit=_PAGE)
            for event in page:
                if event.customer_id is not None:
                    yield event
            if len(page) < _PAGE:
                return
            after = page[-1].id

    @contextmanager
    def _joined(self, customer_id: str | None, types: Collection[EventType]) -> Iterator[Subscriber]:
        subscriber = Subscriber(customer_id, types, self._pace.waiting)
        self._by_customer[customer_id].add(subscriber)
        self._has_subscribers.set()
        try:
            yield subscriber
        finally:
            others = self._by_customer[customer_id]
            others.discard(subscriber)
            if not others:
                del self._by_customer[customer_id]
            if not self._by_customer:
                self._has_subscribers.clear()
                self._has_position = False
