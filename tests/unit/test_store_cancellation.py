"""Cancellation at any moment leaves the store consistent."""

import asyncio
import random
import time

import pytest

from app.store import Store, Transaction
from app.store.directory import create_customer
from app.store.directory_reads import customer_by_external_id
from app.store.errors import StatementFailed
from app.store.records import ChangeNotice
from app.store.statements import Statement
from tests.support.stores import customer_ids


async def test_cancelled_writes_are_atomic_and_leave_no_lock(store: Store) -> None:
    chance = random.Random(7)

    def create_both(tx: Transaction, name: str) -> None:
        create_customer(tx, external_id=f"{name}-a")
        create_customer(tx, external_id=f"{name}-b")

    async def write(name: str) -> None:
        await store.transaction(create_both, name)

    for attempt in range(25):
        tasks = [asyncio.create_task(write(f"{attempt}-{number}")) for number in range(3)]
        await asyncio.sleep(chance.random() * 0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(write(f"{attempt}-after"), 60)
        for name in [*(f"{attempt}-{number}" for number in range(3)), f"{attempt}-after"]:
            pair = [await store.directory.customer_by_external_id(f"{name}-{part}") for part in "ab"]
            assert (pair[0] is None) == (pair[1] is None)


async def test_cancelled_reads_return_their_connection(store: Store) -> None:
    chance = random.Random(7)
    for _ in range(25):
        tasks = [asyncio.create_task(store.directory.entry("cus_1")) for _ in range(4)]
        await asyncio.sleep(chance.random() * 0.005)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_changes_are_published_if_cancelled_during_the_commit(store: Store) -> None:
    """Otherwise this process would keep serving stale data from its cache."""
    heard: list[ChangeNotice] = []
    store.on_change(heard.extend)
    for attempt in range(40):
        task = asyncio.create_task(store.directory.create(external_id=f"user-{attempt}"))
        await asyncio.sleep(attempt * 0.0002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {change.key for change in heard} == set(await customer_ids(store))


async def test_concurrent_read_then_write_transactions_succeed(store_url: str, store: Store) -> None:
    """With SQLite such a transaction must take the write lock at its start, or its snapshot becomes stale."""
    other = Store.open(store_url)

    def create(tx: Transaction, name: str) -> None:
        assert customer_by_external_id(tx, name) is None
        time.sleep(0.001)
        create_customer(tx, external_id=name)

    try:
        names = [f"user-{number}" for number in range(20)]
        await asyncio.gather(*((store, other)[len(name) % 2].transaction(create, name) for name in names))
    finally:
        await other.close()
    assert len(await customer_ids(store)) == 20


async def test_a_failed_transaction_leaves_a_usable_connection(store: Store) -> None:
    with pytest.raises(StatementFailed, match="no_such_column"):
        await store.transaction(Transaction.execute, Statement("SELECT no_such_column"))
    await store.directory.create(external_id="user-1")


async def test_a_transaction_whose_commit_fails_is_rolled_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox is written in the same step as the commit, so neither happens without the other."""
    heard: list[ChangeNotice] = []
    store.on_change(heard.extend)

    def fail(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr(Transaction, "flush", fail)
    with pytest.raises(KeyError):
        await store.directory.create(external_id="user-1")
    monkeypatch.undo()
    assert (await customer_ids(store), heard) == ([], [])
    await store.directory.create(external_id="user-1")
    assert len(heard) == 1
