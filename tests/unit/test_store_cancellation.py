"""Cancellation at any moment leaves the store consistent."""

import asyncio
import random

import pytest
from sqlalchemy import text

from app.store import Store, Tx
from app.store.cancel_safe import run_to_completion
from app.store.records import ChangeNotice


async def test_cancelled_writes_are_atomic_and_leave_no_lock(store: Store) -> None:
    chance = random.Random(7)

    async def write(name: str) -> None:
        async with store.transaction() as tx:
            await store.directory.create(external_id=f"{name}-a", tx=tx)
            await store.directory.create(external_id=f"{name}-b", tx=tx)

    for attempt in range(25):
        tasks = [asyncio.create_task(write(f"{attempt}-{number}")) for number in range(3)]
        await asyncio.sleep(chance.random() * 0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(write(f"{attempt}-after"), 10)
        for name in [*(f"{attempt}-{number}" for number in range(3)), f"{attempt}-after"]:
            pair = [await store.directory.customer_by_external_id(f"{name}-{part}") for part in "ab"]
            assert (pair[0] is None) == (pair[1] is None)
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_cancelled_reads_return_their_connection(store: Store) -> None:
    chance = random.Random(7)
    for _ in range(25):
        tasks = [asyncio.create_task(store.directory.entry("cus_1")) for _ in range(4)]
        await asyncio.sleep(chance.random() * 0.005)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_changes_are_published_if_cancelled_during_the_commit(store: Store) -> None:
    """Otherwise this process would keep serving stale data from its cache."""
    heard: list[ChangeNotice] = []
    store.on_change(heard.extend)
    for attempt in range(40):
        task = asyncio.create_task(store.directory.create(external_id=f"user-{attempt}"))
        await asyncio.sleep(attempt * 0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {change.key for change in heard} == set(await store.directory.page_of_ids())


async def test_concurrent_read_then_write_transactions_succeed(store_url: str, store: Store) -> None:
    """With SQLite such a transaction must take the write lock at its start, or its snapshot becomes stale."""
    other = Store.open(store_url)

    async def write(number: int) -> None:
        writer = (store, other)[number % 2]
        async with writer.transaction() as tx:
            assert await writer.directory.customer_by_external_id(f"user-{number}", tx=tx) is None
            await asyncio.sleep(0.001)
            await writer.directory.create(external_id=f"user-{number}", tx=tx)

    try:
        await asyncio.gather(*(write(number) for number in range(20)))
    finally:
        await other.close()
    assert len(await store.directory.page_of_ids()) == 20


async def test_a_failed_transaction_leaves_a_usable_connection(store: Store) -> None:
    async def fail() -> None:
        async with store.transaction() as tx:
            await tx.conn.execute(text("SELECT no_such_column"))

    with pytest.raises(Exception, match="no_such_column"):
        await fail()
    await store.directory.create(external_id="user-1")


async def test_a_transaction_whose_commit_fails_is_rolled_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox is written in the same step as the commit, so neither happens without the other."""
    heard: list[ChangeNotice] = []
    store.on_change(heard.extend)

    def fail(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr(Tx, "flush", fail)
    with pytest.raises(KeyError):
        await store.directory.create(external_id="user-1")
    monkeypatch.undo()
    assert (await store.directory.page_of_ids(), heard) == ([], [])
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await store.directory.create(external_id="user-1")
    assert len(heard) == 1


async def test_work_completes_despite_repeated_cancellation() -> None:
    steps: list[str] = []

    async def work() -> None:
        for number in range(3):
            await asyncio.sleep(0)
            steps.append(str(number))

    task = asyncio.create_task(run_to_completion(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["0", "1", "2"]


async def test_an_error_of_the_work_is_raised_unless_the_caller_was_cancelled() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError

    with pytest.raises(KeyError):
        await run_to_completion(fail())
    task = asyncio.create_task(run_to_completion(fail()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
