"""Locks: one holder, bounded waiting, and no leaks after cancellation, timeout or process death."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.store import Store
from app.store.errors import LockTimeout, StoreUnavailable
from app.vault.enums import CustomerRef, ProviderName
from tests.support.stores import sql

REF = CustomerRef("37")
OTHER_REF = CustomerRef("38")

_HOLD = """
import asyncio, sys
from app.store import Store
async def hold():
    store = Store.open(sys.argv[1])
    async with store.locks.hold("job", wait_s=5):
        print("held", flush=True)
        await asyncio.sleep(60)
asyncio.run(hold())
"""


@pytest.fixture
async def replica(store_url: str) -> AsyncIterator[Store]:
    """A second process of the same store."""
    opened = Store.open(store_url)
    yield opened
    await opened.close()


@pytest.fixture
async def pg_store(postgres_url: str) -> AsyncIterator[Store]:
    opened = Store.open(postgres_url)
    yield opened
    await opened.close()


def vault_lock(store: Store, ref: CustomerRef = REF, wait_s: float = 5.0):  # type: ignore[no-untyped-def]
    return store.locks.customer_vault_lock(ProviderName.LOANPRO, ref, wait_s=wait_s)


async def test_a_lock_has_one_holder_in_fifo_order(store: Store) -> None:
    inside: list[int] = []
    order: list[int] = []

    async def work(number: int) -> None:
        async with vault_lock(store):
            inside.append(number)
            order.append(number)
            await asyncio.sleep(0.001)
            assert inside == [number]
            inside.remove(number)

    await asyncio.gather(*(work(number) for number in range(10)))
    assert order == list(range(10))


async def test_other_customers_and_vaults_do_not_wait(store: Store) -> None:
    caselle = store.locks.customer_vault_lock(ProviderName.CASELLE, REF, wait_s=0)
    async with vault_lock(store), vault_lock(store, OTHER_REF, wait_s=0), caselle:
        pass


async def test_waiting_is_bounded(store: Store) -> None:
    async with vault_lock(store):
        with pytest.raises(LockTimeout):
            async with vault_lock(store, wait_s=0.02):
                raise AssertionError("two holders")
    async with vault_lock(store, wait_s=0):
        pass


async def test_an_error_inside_releases_the_lock(store: Store) -> None:
    with pytest.raises(KeyError):
        async with vault_lock(store):
            raise KeyError
    async with vault_lock(store, wait_s=0):
        pass


async def test_cancellation_leaks_no_lock(store: Store) -> None:
    async def wait() -> None:
        async with vault_lock(store):
            await asyncio.sleep(60)

    for pauses in range(12):  # cancelled at a different step each time
        tasks = [asyncio.create_task(wait()) for _ in range(3)]
        for _ in range(pauses):
            await asyncio.sleep(0.0005)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with vault_lock(store, wait_s=5):
            pass


async def test_replicas_exclude_each_other(store: Store, replica: Store) -> None:
    inside = 0
    most = 0

    async def work(one: Store) -> None:
        nonlocal inside, most
        async with vault_lock(one, wait_s=30):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1

    await asyncio.gather(*(work((store, replica)[number % 2]) for number in range(12)))
    assert most == 1


async def test_a_waiting_replica_times_out(store: Store, replica: Store) -> None:
    async with vault_lock(store):
        with pytest.raises(LockTimeout):
            async with vault_lock(replica, wait_s=0.05):
                raise AssertionError("two holders")
        async with vault_lock(replica, OTHER_REF, wait_s=5):
            pass
    async with vault_lock(replica, wait_s=5):
        pass


async def test_closing_a_store_releases_its_locks(store_url: str, store: Store) -> None:
    gone = Store.open(store_url)
    hold = gone.locks.hold("job", wait_s=1)
    await hold.__aenter__()
    await gone.close()
    async with store.locks.hold("job", wait_s=5):
        pass
    await hold.__aexit__(None, None, None)  # nothing left to release


async def test_a_killed_process_holds_no_locks(store_url: str, store: Store, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, store_url], stdout=subprocess.PIPE, cwd=tmp_path, env=environment
    )
    try:
        assert holder.stdout is not None
        assert await asyncio.to_thread(holder.stdout.readline) == b"held\n"
        with pytest.raises(LockTimeout):
            async with store.locks.hold("job", wait_s=0):
                raise AssertionError("two holders")
        holder.send_signal(signal.SIGKILL)
        async with store.locks.hold("job", wait_s=10):
            pass
    finally:
        holder.kill()
        holder.communicate()


async def test_one_leader_at_most(store: Store) -> None:
    async with store.locks.leadership("sweep") as first, store.locks.leadership("sweep") as second:
        assert (first, second) == (True, False)
    async with store.locks.leadership("sweep") as later:
        assert later is True


async def test_one_leader_among_replicas(store: Store, replica: Store) -> None:
    async with store.locks.leadership("sweep") as first, replica.locks.leadership("sweep") as second:
        assert (first, second) == (True, False)


async def test_locks_recover_from_a_lost_session(pg_store: Store, postgres_url: str) -> None:
    held_by = (  # other databases of this server are those of other test workers
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    async with vault_lock(pg_store):
        with sql(postgres_url) as conn:
            assert conn.exec_driver_sql(held_by).scalars().all() == [True]
    async with vault_lock(pg_store, wait_s=5), vault_lock(pg_store, OTHER_REF, wait_s=5):
        pass


async def test_a_lock_file_that_cannot_be_opened_is_an_outage(sqlite_url: str) -> None:
    """Not a lock that another process holds."""
    Path(f"{sqlite_url.removeprefix('sqlite:///')}-locks").mkdir()
    opened = Store.open(sqlite_url)
    with pytest.raises(StoreUnavailable):
        async with vault_lock(opened, wait_s=0.1):
            pass
    await opened.close()
