"""Worker leases, dead processes, and background reconciliation."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from app.sandbox.demo import ALEX
from app.store import Store
from app.store.records import BegunNew, NewOperation, OperationRecord, OperationState
from app.vault.enums import ProviderName
from app.wallet.writes.lease import WorkerLease
from app.wallet.writes.reconcile import KEEP_KEYS, Pace, Reconciler
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, AheadClock, bench_on, dead, open_store

P = ProviderName


@pytest.fixture
def clock() -> AheadClock:
    return AheadClock()


@pytest.fixture
async def opened(sqlite_url: str, clock: AheadClock) -> AsyncIterator[Store]:
    store = open_store(sqlite_url, clock)
    yield store
    await store.close()


async def begun(store: Store, owner_id: str) -> OperationRecord:
    new = NewOperation(
        caller="staff:x", mutation="addPaymentMethod", input_digest="d", owner_id=owner_id, deadline_at=store._db.now()
    )
    found = await store.journal.begin(new)
    assert isinstance(found, BegunNew)
    return found.operation


async def test_own_operation_that_does_not_run_is_abandoned(opened: Store, clock: AheadClock) -> None:
    owner = WorkerLease(opened, clock)
    await owner.start()
    operation = await begun(opened, owner.id)
    assert await owner.is_abandoned(operation)
    owner.running.add(operation.id)
    assert not await owner.is_abandoned(operation)
    await owner.stop()


async def test_operations_of_stopped_or_unknown_owners_are_abandoned(opened: Store, clock: AheadClock) -> None:
    owner, other = WorkerLease(opened, clock), WorkerLease(opened, clock)
    await owner.start()
    assert await owner.is_abandoned(await begun(opened, "own_unknown"))
    await opened.worker_leases.register(other.id, host="elsewhere", pid=1)
    operation = await begun(opened, other.id)
    assert not await owner.is_abandoned(operation)
    clock.advance(seconds=16)
    assert await owner.is_abandoned(operation)
    await opened.worker_leases.beat(other.id)
    assert not await owner.is_abandoned(operation)
    await opened.worker_leases.stop(other.id)
    assert await owner.is_abandoned(operation)
    await owner.stop()


async def test_killed_process_on_this_host_is_detected_at_once(opened: Store, clock: AheadClock) -> None:
    owner = WorkerLease(opened, clock)
    await owner.start()
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        await opened.worker_leases.register("own_alive", host=owner.host, pid=running.pid)
        assert await owner.killed() == set()
    finally:
        running.kill()
    for _ in range(6_000):  # killed but not reaped: a zombie
        if await owner.killed():
            break
        await asyncio.sleep(0.01)
    assert await owner.killed() == {"own_alive"}
    running.wait(10)
    assert await owner.killed() == {"own_alive"}
    await opened.worker_leases.register("own_elsewhere", host="another-machine", pid=running.pid)
    await opened.worker_leases.register("own_before_restart", host=owner.host, pid=os.getpid())
    assert await owner.killed() == {"own_alive", "own_before_restart"}
    await owner.stop()


async def test_heartbeat_registers_again_if_its_row_is_gone(opened: Store, clock: AheadClock) -> None:
    owner = WorkerLease(opened, clock, lease=timedelta(seconds=0.03))
    await owner.start()
    first = owner.id
    clock.advance(seconds=5)
    for _ in range(6_000):
        (row,) = await opened.worker_leases.all()
        if row.beat_at > row.started_at:
            break
        await asyncio.sleep(0.01)
    assert row.beat_at - row.started_at >= timedelta(seconds=5)
    await opened.worker_leases.stop(first)
    for _ in range(6_000):
        if owner.id != first:
            break
        await asyncio.sleep(0.01)
    assert {one.id for one in await opened.worker_leases.all()} == {first, owner.id}
    await owner.stop()
    assert all(one.stopped_at for one in await opened.worker_leases.all())


async def test_reconciler_survives_a_failure(opened: Store, clock: AheadClock, sandbox: RunningSandbox) -> None:
    async with bench_on(sandbox, opened) as bench:
        command = bench.adding(P.CASELLE)
        bench.die_at = "answered:add"
        await dead(bench.writer.run(command, STAFF, soon()))
        clock.advance(minutes=1)
    async with bench_on(sandbox, opened) as bench:
        orphans, failures = opened.journal.orphans, 0

        async def failing(**how: object) -> list[OperationRecord]:
            nonlocal failures
            failures += 1
            if failures == 1:
                raise OSError("the store is away")
            return await orphans(**how)  # type: ignore[arg-type]

        opened.journal.orphans = failing  # type: ignore[method-assign, assignment]
        reconciler = Reconciler(bench.writer, Pace(sweep_every_s=0.02))
        await reconciler.start()
        for _ in range(6_000):
            (operation,) = await opened.journal.of_customer(ALEX.id)
            if operation.state is not OperationState.PENDING:
                break
            await asyncio.sleep(0.01)
        await reconciler.stop()
        assert operation.state is OperationState.SUCCEEDED
        assert failures > 1


async def test_a_write_that_ends_while_a_sweep_looks_is_not_called_reconciled(
    opened: Store, sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The sweep found it PENDING; when it looks at it, the process that runs it has finished."""
    async with bench_on(sandbox, opened) as bench:
        await bench.writer.run(bench.adding(P.CASELLE), STAFF, soon())
        (found,) = await opened.journal.of_customer(ALEX.id)
        assert found.state is OperationState.SUCCEEDED
        as_found = replace(found, state=OperationState.PENDING)
        with caplog.at_level(logging.INFO, "vaultgraph"):
            await Reconciler(bench.writer)._resume(as_found)
        assert caplog.records == []


async def test_expired_keys_and_dead_owners_are_deleted(
    opened: Store, clock: AheadClock, sandbox: RunningSandbox
) -> None:
    async with bench_on(sandbox, opened) as bench:
        command = bench.adding(P.ALOHA)
        done = await bench.writer.run(command, STAFF, soon())
        reconciler = Reconciler(bench.writer)
        clock.advance(days=KEEP_KEYS.days - 1)
        await reconciler.clean()
        assert (await bench.writer.run(command, STAFF, soon())).operation == done.operation
        clock.advance(days=2)
        await reconciler.clean()
        assert await opened.journal.of_customer(ALEX.id) == []
        assert await opened.worker_leases.all() == []
