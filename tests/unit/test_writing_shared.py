"""Several processes on one PostgreSQL: serialised writes, one write per key, expired leases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from app.sandbox.demo import ALEX
from app.store.records import OperationState
from app.vault.enums import ProviderName
from app.wallet.commands import SetDefault
from app.wallet.problems import ProblemCode
from app.wallet.writes.reconcile import Reconciler
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, AheadClock, Bench, bench_on, dead, open_store

P = ProviderName


@pytest.fixture
async def two(sandbox: RunningSandbox, postgres_url: str) -> AsyncIterator[tuple[Bench, Bench]]:
    clock = AheadClock()
    async with AsyncExitStack() as opened:
        benches = []
        for _ in range(2):
            store = open_store(postgres_url, clock)
            opened.push_async_callback(store.close)
            benches.append(await opened.enter_async_context(bench_on(sandbox, store)))
        yield benches[0], benches[1]


async def test_one_key_at_two_processes_is_one_write(two: tuple[Bench, Bench]) -> None:
    held = set(await two[0].wallet(P.CASELLE))
    command = two[0].adding(P.CASELLE)
    results = await asyncio.gather(
        *(each.until_settled(lambda each=each: each.writer.run(command, STAFF, soon())) for each in two)  # type: ignore[misc]
    )
    assert results[0].method == results[1].method
    assert results[0].method is not None
    assert set(await two[0].wallet(P.CASELLE)) - held == {results[0].method.method_ref}


async def test_writes_of_one_customer_are_serialised_across_processes(two: tuple[Bench, Bench]) -> None:
    held = set(await two[0].wallet(P.LOANPRO))
    results = await asyncio.gather(*(two[place % 2].add(P.LOANPRO) for place in range(6)))
    assert [result.problems for result in results] == [()] * 6
    added = {result.method.method_ref for result in results if result.method}
    assert len(added) == 6
    assert set(await two[0].wallet(P.LOANPRO)) - held == added


async def test_concurrent_defaults_at_two_processes_end_in_one(two: tuple[Bench, Bench]) -> None:
    targets = [(await two[0].add(P.LOANPRO)).method for _ in range(2)]
    commands = [
        SetDefault(customer_id=ALEX.id, method_id=two[0].ids.encode_address(target)) for target in targets if target
    ]
    results = await asyncio.gather(
        *(each.writer.run(command, STAFF, soon()) for each, command in zip(two, commands, strict=True))
    )
    assert [result.problems for result in results] == [(), ()]
    choice = await two[0].store.directory.choice(ALEX.id)
    shown = [ref for ref, each in (await two[0].wallet(P.LOANPRO)).items() if each.is_provider_default]
    assert choice is not None
    assert shown == [choice.method_ref]


async def test_operations_are_taken_over_after_the_lease_expires(two: tuple[Bench, Bench]) -> None:
    """The pid does not count: the process may run on another host."""
    dying, other = two
    held = set(await other.wallet(P.JPMORGAN))
    command = dying.adding(P.JPMORGAN)
    dying.die_at = "answered:add"
    await dead(dying.writer.run(command, STAFF, soon()))
    dying.deps.owner.running.add("op_of_a_process_that_hangs")
    waiting = await other.writer.run(command, STAFF, soon())
    assert [problem.code for problem in waiting.problems] == [ProblemCode.IDEMPOTENCY_IN_PROGRESS]
    assert await Reconciler(other.writer).sweep() == 0
    dying.clock.advance(seconds=20)
    await other.store.worker_leases.beat(other.deps.owner.id)
    result = await other.until_settled(lambda: other.writer.run(command, STAFF, soon()))
    assert result.operation is not None
    assert result.operation.state is OperationState.SUCCEEDED
    assert len(set(await other.wallet(P.JPMORGAN)) - held) == 1


async def test_concurrent_reconcilers_decide_an_operation_once(two: tuple[Bench, Bench]) -> None:
    dying, other = two
    held = set(await other.wallet(P.CASELLE))
    command = dying.adding(P.CASELLE, make_default=True)
    dying.die_at = "answered:add"
    await dead(dying.writer.run(command, STAFF, soon()))
    dying.die_at = None
    dying.clock.advance(minutes=1)
    swept = await asyncio.gather(*(Reconciler(each.writer).sweep() for each in (*two, *two)))
    assert max(swept) == 1
    (operation,) = await other.store.journal.of_customer(ALEX.id)
    assert operation.state is OperationState.SUCCEEDED
    assert len(set(await other.wallet(P.CASELLE)) - held) == 1
