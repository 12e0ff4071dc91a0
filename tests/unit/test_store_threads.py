"""Whole transactions run on one thread, to their end."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.store import Connection, Store, Transaction
from app.store.errors import StoreUnavailable
from app.store.statements import Query
from app.store.threads import ThreadPool
from tests.support.stores import HandClock

ONE = Query(int, "SELECT 1")


class Gate:
    """A function for a thread that waits until it is opened."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, *_: object) -> str:
        self.is_reached.set()
        assert self._open.wait(20)
        return "passed"

    def open(self) -> None:
        self._open.set()

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.is_reached.wait, 20)


class NoDriver:
    """A connection that does nothing."""

    def __init__(self) -> None:
        self.closed_in: int | None = None
        self.is_lost = False

    def is_usable(self) -> bool:
        return not self.is_lost

    def abort(self) -> None:
        self.is_lost = True

    def close(self) -> None:
        self.closed_in = threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def pool_of(size: int, limit_s: float | None = None) -> tuple[ThreadPool, list[NoDriver]]:
    made: list[NoDriver] = []

    def connect() -> NoDriver:
        made.append(NoDriver())
        return made[-1]

    return ThreadPool(connect, size, limit_s), made


async def test_a_transaction_is_one_job(store: Store, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many statements it has; and a read is one as well."""
    jobs: list[Callable[..., object]] = []
    run, here = ThreadPool.run, threading.get_ident()

    async def counted(self: ThreadPool, work: Any, then: Any = None) -> Any:
        if threading.get_ident() == here:  # a gateway of another test may still run in its own thread
            jobs.append(work)
        return await run(self, work, then)

    monkeypatch.setattr(ThreadPool, "run", counted)

    def ask(tx: Transaction) -> set[int]:
        return {threading.get_ident() for _ in range(5) if tx.one(ONE) == 1}

    threads = await store.transaction(ask)
    assert (len(threads), len(jobs)) == (1, 1)
    assert threads != {threading.get_ident()}
    await store.directory.create(external_id="one")
    await store.directory.entry("cus_1")
    assert len(jobs) == 3


async def test_reads_do_not_wait_for_a_running_transaction(store: Store) -> None:
    gate = Gate()
    writing = asyncio.create_task(store.transaction(gate))
    await gate.reached()
    assert await store.read(lambda db: db.one(ONE)) == 1
    gate.open()
    assert await writing == "passed"


async def test_a_cancelled_caller_waits_for_the_end_of_its_transaction(store: Store) -> None:
    gate = Gate()

    def create(tx: Transaction) -> None:
        gate()
        from app.store.directory import create_customer

        create_customer(tx, external_id="one")

    task = asyncio.create_task(store.transaction(create))
    await gate.reached()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.directory.customer_by_external_id("one") is not None


async def test_a_job_that_is_cancelled_in_the_queue_never_runs() -> None:
    pool, _ = pool_of(1)
    gate, ran = Gate(), list[str]()
    first = asyncio.create_task(pool.run(gate))
    await gate.reached()
    second = asyncio.create_task(pool.run(lambda _: ran.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.open()
    assert await first == "passed"
    await pool.run(lambda _: ran.append("third"))
    assert ran == ["third"]
    await pool.close()


async def test_then_runs_only_after_success_and_also_if_the_caller_was_cancelled() -> None:
    pool, _ = pool_of(1)
    heard: list[str] = []
    gate = Gate()
    task = asyncio.create_task(pool.run(gate, heard.append))
    await gate.reached()
    task.cancel()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert heard == ["passed"]

    def fail(_: object) -> str:
        raise KeyError

    with pytest.raises(KeyError):
        await pool.run(fail, heard.append)
    assert heard == ["passed"]
    await pool.close()


async def test_threads_are_started_when_needed_and_close_their_own_connections() -> None:
    pool, drivers = pool_of(2)
    for _ in range(3):
        await pool.run(lambda _: None)
    assert len(drivers) == 1
    gates = [Gate() for _ in range(3)]
    tasks = [asyncio.create_task(pool.run(gate)) for gate in gates]
    for gate in gates[:2]:
        await gate.reached()
    assert (len(drivers), gates[2].is_reached.is_set()) == (2, False)
    for gate in gates:
        gate.open()
    await asyncio.gather(*tasks)
    await pool.close()
    assert all(driver.closed_in not in (None, threading.get_ident()) for driver in drivers)
    assert await pool.run(lambda driver: driver is drivers[-1])  # it opens again
    await pool.close()


async def test_a_lost_connection_is_replaced() -> None:
    pool, drivers = pool_of(1)
    await pool.run(lambda _: None)
    drivers[0].is_lost = True
    await pool.run(lambda _: None)
    assert (len(drivers), drivers[0].closed_in is None) == (2, False)
    await pool.close()


async def test_a_job_that_takes_too_long_is_ended() -> None:
    """One that runs, and one that waits in the queue."""
    pool, drivers = pool_of(1, limit_s=0.05)

    def wait_for_abort(driver: Any) -> None:
        while not driver.is_lost:
            time.sleep(0.001)
        raise StoreUnavailable("aborted")

    running, queued = asyncio.create_task(pool.run(wait_for_abort)), asyncio.create_task(pool.run(lambda _: None))
    with pytest.raises(StoreUnavailable):
        await queued
    with pytest.raises(StoreUnavailable, match="aborted"):
        await running
    assert drivers[0].is_lost
    await pool.close()


async def test_a_job_may_be_submitted_while_the_pool_closes() -> None:
    pool, drivers = pool_of(1)
    gate = Gate()
    first = asyncio.create_task(pool.run(gate))
    await gate.reached()
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    second = asyncio.create_task(pool.run(lambda _: "second"))
    await asyncio.sleep(0)
    gate.open()
    async with asyncio.timeout(60):
        assert list(await asyncio.gather(first, second, closing)) == ["passed", "second", None]
    assert all(driver.closed_in is not None for driver in drivers)


async def test_a_job_whose_time_passes_while_its_thread_connects_is_ended() -> None:
    """It has no connection that could be closed; it must not run without a limit afterwards."""
    gate, ran = Gate(), list[str]()

    def connect() -> NoDriver:
        gate()
        return NoDriver()

    pool = ThreadPool(connect, 1, 0.05)
    with pytest.raises(StoreUnavailable):
        await pool.run(lambda _: ran.append("late"))
    gate.open()
    assert await pool.run(lambda _: "next") == "next"
    assert ran == []
    await pool.close()


async def test_a_caller_need_not_wait_for_a_connection_after_it_is_cancelled() -> None:
    gate = Gate()

    def connect() -> NoDriver:
        gate()
        return NoDriver()

    pool = ThreadPool(connect, 1)
    task = asyncio.create_task(pool.run(lambda _: None))
    await gate.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open()
    await pool.close()


async def test_a_thread_that_cannot_start_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool, drivers = pool_of(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreUnavailable):
            await pool.run(lambda _: None)
    await pool.run(lambda _: None)
    await pool.close()
    assert len(drivers) == 1


async def test_errors_reach_the_caller_and_leave_the_thread_running(store: Store) -> None:
    def fail(_: Connection) -> None:
        raise KeyError("mine")

    for _ in range(3):
        with pytest.raises(KeyError, match="mine"):
            await store.read(fail)
    with pytest.raises(KeyError, match="mine"):
        await store.transaction(fail)
    assert await store.read(lambda db: db.one(ONE)) == 1
