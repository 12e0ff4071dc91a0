"""The feed: no gaps between stored and live events, no duplicates, bounded queues."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from app.store import Store, migrate
from app.store.records import EventType, NewEvent
from app.wallet.changes.feed import Feed, FeedPace, TooSlow

KINDS = frozenset({EventType.METHOD_UPDATED})
Keep = Callable[..., Any]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'feed.db'}")
    await migrate(opened.engine)
    customer = NewEvent(type=EventType.CUSTOMER_CREATED)
    await opened.events.append(customer)
    yield opened
    await opened.close()


async def keep(store: Store, customer: str = "cus_a", kind: EventType = EventType.METHOD_UPDATED) -> str:
    kept = await store.events.append(NewEvent(type=kind, customer_id=customer))
    assert kept is not None
    return kept.id


async def take(events: AsyncIterator[Any], count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            event = await anext(events)
            if event is not None:
                found.append(event.id)
    return found


async def joined(events: AsyncIterator[Any]) -> None:
    assert await anext(events) is None  # one tick without an event: the subscriber has joined


async def test_stored_and_live_events_have_no_gap(store: Store) -> None:
    feed = Feed(store)
    first = await keep(store)
    missed = [await keep(store) for _ in range(3)]
    async with aclosing(feed.events("cus_a", KINDS, after=first, tick_s=0.01)) as events:  # type: ignore[type-var]
        assert await take(events, 1) == missed[:1]
        between = await keep(store)  # after the first page was read, before the subscriber joins
        assert await take(events, 3) == [*missed[1:], between]
        await joined(events)
        news = [await keep(store) for _ in range(2)]
        await keep(store, "cus_b")
        await keep(store, kind=EventType.METHOD_ADDED)
        await feed.look()
        await feed.look()
        assert await take(events, 2) == news
        await joined(events)
    assert len(feed) == 0
    assert feed.customers() == []


async def test_without_a_last_id_only_new_events_are_delivered(store: Store) -> None:
    feed = Feed(store)
    await keep(store)
    async with aclosing(feed.events("cus_a", KINDS, tick_s=0.01)) as events:  # type: ignore[type-var]
        await joined(events)
        news = await keep(store)
        await feed.look()
        assert await take(events, 1) == [news]


async def test_slow_subscriber_is_ended_with_its_last_id(store: Store) -> None:
    feed = Feed(store, FeedPace(waiting=4))
    slow = feed.events("cus_a", KINDS, tick_s=0.01)
    quick = feed.events("cus_a", KINDS, tick_s=0.01)
    async with aclosing(slow), aclosing(quick):  # type: ignore[type-var]
        await joined(slow)
        await joined(quick)
        last = await keep(store)
        await feed.look()
        assert await take(slow, 1) == await take(quick, 1) == [last]
        kept = [await keep(store) for _ in range(4)]
        await feed.look()
        assert await take(quick, 4) == kept
        more = [await keep(store) for _ in range(2)]
        await feed.look()
        with pytest.raises(TooSlow) as let_go:
            await anext(slow)
        assert let_go.value.last_id == last
        assert await take(quick, 2) == more
    async with aclosing(feed.events("cus_a", KINDS, after=last, tick_s=0.01)) as again:  # type: ignore[type-var]
        assert await take(again, 6) == [*kept, *more]


async def test_two_processes_on_one_store_deliver_the_same_events(store: Store) -> None:
    feeds = [Feed(store, FeedPace(poll_s=0.01)) for _ in range(2)]
    running = [asyncio.create_task(feed.run()) for feed in feeds]
    streams = [feed.events("cus_a", KINDS, tick_s=0.05) for feed in feeds]
    for stream in streams:
        await joined(stream)
    kept = [await keep(store) for _ in range(20)]
    assert [await take(stream, 20) for stream in streams] == [kept, kept]
    for stream in streams:
        await stream.aclose()  # type: ignore[attr-defined]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
