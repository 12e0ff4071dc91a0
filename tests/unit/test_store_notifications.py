"""PostgreSQL's notifications of commits, and the caches and feeds that they wake. Nothing here polls."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

import psycopg
import pytest

from app.store import Store
from app.store.notifications import Signal
from app.store.records import ChangeNotice, EventType, NewEvent
from app.wallet.changes.feed import Feed, FeedPace
from app.wallet.changes.follower import ChangeFollower

NEVER_S = 3_600.0
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"


class Received:
    """What a store's listener received."""

    def __init__(self, store: Store) -> None:
        self.signals: list[Signal] = []
        self._news = asyncio.Event()
        store.notifications.start(self._receive)

    def _receive(self, signal: Signal) -> None:
        self.signals.append(signal)
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def stores(postgres_url: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two processes' stores over one database."""
    opened = Store.open(postgres_url), Store.open(postgres_url)
    yield opened
    for store in opened:
        await store.close()


async def test_a_commit_elsewhere_is_received(stores: tuple[Store, Store], postgres_url: str) -> None:
    ours, others = stores
    received = Received(ours)
    await received.until(lambda: received.signals == list(Signal))  # connected
    assert ours.notifications.is_connected
    other_tenant = Store.open(postgres_url, tenant="other")
    await other_tenant.directory.create(external_id="theirs")
    await other_tenant.close()
    await others.directory.create(external_id="one")
    await received.until(lambda: len(received.signals) > 2)
    await others.worker_leases.register("own_1", host="other", pid=1)
    await others.worker_leases.beat("own_1")
    await others.worker_leases.stop("own_1")
    await received.until(lambda: len(received.signals) > 3)
    assert received.signals[2:] == [Signal.CHANGES, Signal.WORK]


async def test_a_lost_connection_is_opened_again(
    stores: tuple[Store, Store], postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ours, others = stores
    received = Received(ours)
    for times in range(1, 4):
        await received.until(lambda: received.signals.count(Signal.WORK) == times)  # noqa: B023 - awaited here
        with psycopg.connect(postgres_url, autocommit=True) as raw:
            (pid,) = raw.execute(LISTENERS).fetchone() or (0,)
            raw.execute("SELECT pg_terminate_backend(%s)", [pid])
    await received.until(lambda: received.signals.count(Signal.WORK) == 4)
    before = len(received.signals)
    await others.directory.create(external_id="after")
    await received.until(lambda: len(received.signals) > before)
    assert caplog.records == []  # short interruptions are not logged


async def test_sqlite_has_no_notifications(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    received = Received(store)
    await store.directory.create(external_id="one")
    await store.close()
    assert (received.signals, store.notifications.is_connected) == ([], False)


class Follower:
    """A process that follows the change log when notified."""

    def __init__(self, store: Store) -> None:
        self.applied: list[str] = []
        self.news = asyncio.Event()
        self.changes = ChangeFollower(store, self._apply, self.applied.clear, poll_s=NEVER_S)
        self.feed = Feed(store, FeedPace(poll_s=NEVER_S), self.changes.catch_up)
        self.store = store

    def _apply(self, changes: Sequence[ChangeNotice]) -> None:
        self.applied += [one.key for one in changes]
        self.news.set()

    def _receive(self, signal: Signal) -> None:
        self.changes.wake()
        self.feed.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.changes.start()
        tasks = [asyncio.create_task(self.changes.run()), asyncio.create_task(self.feed.run())]
        self.store.notifications.start(self._receive)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_changes_are_applied_when_notified_and_own_ones_once(stores: tuple[Store, Store]) -> None:
    ours, others = stores
    follower = Follower(ours)
    async with follower.running(), asyncio.timeout(60):
        made = []
        for number in range(6):
            store = ours if number % 2 else others
            made.append((await store.directory.create(external_id=f"user-{number}")).id)
        while set(follower.applied) != set(made):
            follower.news.clear()
            await follower.news.wait()
        await follower.changes.catch_up()
    assert sorted(follower.applied) == sorted(made)


async def test_what_an_event_reports_is_applied_before_the_event_arrives(stores: tuple[Store, Store]) -> None:
    ours, others = stores
    follower = Follower(ours)
    kinds = frozenset({EventType.METHOD_UPDATED})
    async with follower.running(), asyncio.timeout(60):
        await others.events.append(NewEvent(type=EventType.CUSTOMER_CREATED, customer_id="cus_a"))
        async with aclosing(follower.feed.events("cus_a", kinds, tick_s=0.01)) as events:  # type: ignore[type-var]
            assert await anext(events) is None  # it has joined
            for number in range(5):
                made = await others.directory.create(external_id=f"user-{number}")
                sent = await others.events.append(NewEvent(type=EventType.METHOD_UPDATED, customer_id="cus_a"))
                while (event := await anext(events)) is None:
                    pass
                assert sent is not None
                assert event.id == sent.id
                assert made.id in follower.applied
