"""Requests are cancelled at any moment; the store must not notice."""

import asyncio
import random

import pytest
from sqlalchemy import text

from app.store import Store, Tx
from app.store.cancel_safe import run_to_completion
from app.store.records import ChangeNotice


async def test_cancelled_writes_are_whole_or_absent_and_lock_nobody_out(store: Store) -> None:
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


async def test_cancelled_reads_give_their_connection_back(store: Store) -> None:
    chance = random.Random(7)
    for _ in range(25):
        tasks = [asyncio.create_task(store.directory.entry("cus_1")) for _ in range(4)]
        await asyncio.sleep(chance.random() * 0.005)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_whoever_is_cancelled_after_the_commit_was_sent_is_still_announced(store: Store) -> None:
    """Else this process would go on answering from its cache what the database no longer says."""
    heard: list[ChangeNotice] = []
    store.on_change(heard.extend)
    for attempt in range(40):
        task = asyncio.create_task(store.directory.create(external_id=f"user-{attempt}"))
        await asyncio.sleep(attempt * 0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {change.key for change in heard} == set(await store.directory.page_of_ids())


async def test_processes_that_read_before_they_write_do_not_fail_each_other(store_url: str, store: Store) -> None:
    """With SQLite such a transaction must hold the write lock from its first statement, or its snapshot goes stale."""
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


async def test_a_transaction_that_cannot_end_is_undone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it tells others is written in the same step as the commit: without the one there is no other."""
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


async def test_work_runs_to_its_end_however_often_it_is_cancelled() -> None:
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


async def test_the_works_own_error_is_raised_unless_the_caller_was_cancelled() -> None:
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
