"""New events, handed to whoever subscribed to their customer, in the order of their ids.

One task per process polls the store for what came after the last event it saw: an event of this process and one of
another replica arrive the same way, and an id below the last one cannot appear later (the store numbers by commit).
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from app.store import Store
from app.store.errors import RETRY_STORE_S, StoreUnavailable
from app.store.records import EventRecord, EventType

_log = logging.getLogger("vaultgraph.feed")
_PAGE: Final = 500


class TooSlow(Exception):
    """The subscriber did not take its events: as many as it may leave waiting were waiting. It was let go."""

    def __init__(self, last_id: str | None) -> None:
        super().__init__("a subscriber was too slow")
        self.last_id = last_id


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPace:
    """How often the store is asked while somebody subscribes, and how many events may wait for one subscriber."""

    poll_s: float = 0.25
    waiting: int = 256


@dataclass(eq=False, slots=True)
class Subscriber:
    """One subscription's place in the feed: a bounded queue."""

    customer_id: str
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
        """The next event; None when there was none within that time. Raises TooSlow without an id."""
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
    """One per process. `run` does the work; nothing is read while nobody subscribes."""

    def __init__(self, store: Store, pace: FeedPace | None = None) -> None:
        self._store = store
        self._pace = pace or FeedPace()
        self._by_customer: defaultdict[str, set[Subscriber]] = defaultdict(set)
        self._somebody = asyncio.Event()
        self._position: str | None = None
        self._is_placed = False

    def customers(self) -> list[str]:
        """Those whom somebody subscribes to at this moment."""
        return list(self._by_customer)

    def wants(self, customer_id: str, kind: EventType) -> bool:
        """Whether somebody listens to this kind of a customer's events."""
        return any(kind in one.types for one in self._by_customer.get(customer_id, ()))

    def __len__(self) -> int:
        return sum(len(subscribers) for subscribers in self._by_customer.values())

    async def events(
        self, customer_id: str, types: Collection[EventType], *, after: str | None = None, tick_s: float = 15.0
    ) -> AsyncIterator[EventRecord | None]:
        """A customer's events from now on, or those that came after the event `after`, without a gap, each once.

        None every `tick_s` seconds without one: a moment to look whether the caller may still listen. Raises TooSlow.
        """
        last = await self._store.events.last_id() if after is None else after
        if after is not None:
            async for event in self._kept(customer_id, types, after):
                last = event.id
                yield event
        with self._joined(customer_id, types) as subscriber:
            await self._place()
            # What was committed before we had a place is read; what the feed brings may be the same again.
            async for event in self._kept(customer_id, types, last):
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

    async def run(self) -> None:
        """Hand out what is new until cancelled. A failure of the store is logged and tried again: nothing is lost."""
        while True:
            await self._somebody.wait()
            try:
                await self.look()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_STORE_S)
            except Exception:  # noqa: BLE001 - a feed that died would leave every subscriber waiting
                _log.exception("new events could not be read; trying again")
            await asyncio.sleep(self._pace.poll_s)

    async def look(self) -> None:
        """Hand out what came since the last look."""
        if not self._is_placed:
            return
        newest = await self._store.events.last_id()
        while newest is not None and newest != self._position:
            page = await self._store.events.after(self._position, limit=_PAGE)
            for event in page:
                self._hand_out(event)
            if page:
                self._position = page[-1].id
            if len(page) < _PAGE:
                return

    async def _place(self) -> None:
        """Where handing out begins: before the first subscriber reads what is kept, so that there is no gap."""
        if not self._is_placed:
            position = await self._store.events.last_id()
            if not self._is_placed:
                self._position, self._is_placed = position, True

    def _hand_out(self, event: EventRecord) -> None:
        if event.customer_id is not None:
            for subscriber in self._by_customer.get(event.customer_id, ()):
                subscriber.offer(event)

    async def _kept(
        self, customer_id: str, types: Collection[EventType], after: str | None
    ) -> AsyncIterator[EventRecord]:
        while True:
            page = await self._store.events.after(after, customer_id=customer_id, types=types, limit=_PAGE)
            for event in page:
                yield event
            if len(page) < _PAGE:
                return
            after = page[-1].id

    @contextmanager
    def _joined(self, customer_id: str, types: Collection[EventType]) -> Iterator[Subscriber]:
        subscriber = Subscriber(customer_id, types, self._pace.waiting)
        self._by_customer[customer_id].add(subscriber)
        self._somebody.set()
        try:
            yield subscriber
        finally:
            others = self._by_customer[customer_id]
            others.discard(subscriber)
            if not others:
                del self._by_customer[customer_id]
            if not self._by_customer:
                self._somebody.clear()
                self._is_placed = False
