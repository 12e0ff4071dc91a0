"""A browser token used twice, with two keys, at a vault whose lists do not show tokens."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.store.records import OperationState, WriteOutcome
from app.vault.enums import ProviderName
from app.wallet.commands import AddMethod, DeleteMethod, OnDuplicate, WriteResult
from app.wallet.problems import ProblemCode
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import BY_NAME, STAFF, Bench, bench_on, new_key, open_store

CASELLE = ProviderName.CASELLE
C = ProblemCode


@pytest.fixture
async def benches(sandbox: RunningSandbox, store_url: str) -> AsyncIterator[tuple[Bench, Bench]]:
    """Two replicas."""
    store = open_store(store_url)
    async with bench_on(sandbox, store, deadline_s=1.5) as one, bench_on(sandbox, store, deadline_s=1.5) as other:
        yield one, other
    await store.close()


def twice(bench: Bench, on_duplicate: OnDuplicate = OnDuplicate.RETURN_EXISTING) -> tuple[AddMethod, AddMethod]:
    """Two requests with one token."""
    method = bench.method(CASELLE)
    first, second = (bench.adding(CASELLE, method=method, on_duplicate=on_duplicate) for _ in range(2))
    assert first.idempotency_key != second.idempotency_key
    return first, second


async def add(bench: Bench, command: AddMethod) -> WriteResult:
    return await bench.writer.run(command, STAFF, soon())


def codes(result: WriteResult) -> list[ProblemCode]:
    return [problem.code for problem in result.problems]


def saves(sandbox: RunningSandbox) -> int:
    return sum(row["method"] == "POST" for row in sandbox.calls("caselle"))


async def test_second_request_returns_the_first_ones_card(
    sandbox: RunningSandbox, benches: tuple[Bench, Bench]
) -> None:
    first, second = twice(benches[0])
    made = await add(benches[0], first)
    again = await add(benches[1], second)
    assert (codes(again), again.method, again.was_duplicate) == ([], made.method, True)
    assert saves(sandbox) == 1
    operation = await benches[0].store.journal.operation(made.operation.id if made.operation else "")
    assert operation is not None
    assert first.method.secret.reveal() not in str(operation)


async def test_concurrent_requests_add_one_card(sandbox: RunningSandbox, benches: tuple[Bench, Bench]) -> None:
    held = set(await benches[0].wallet(CASELLE))
    pair = zip(benches, twice(benches[0]), strict=True)
    results = await asyncio.gather(
        *(bench.until_settled(lambda bench=bench, one=one: add(bench, one)) for bench, one in pair)  # type: ignore[misc]
    )
    assert sorted(result.was_duplicate for result in results) == [False, True]
    assert results[0].method == results[1].method
    assert len(set(await benches[0].wallet(CASELLE)) - held) == saves(sandbox) == 1


@pytest.mark.parametrize("for_person", [False, True])
async def test_nothing_is_sent_while_the_first_is_unknown(
    sandbox: RunningSandbox, benches: tuple[Bench, Bench], for_person: bool
) -> None:
    one, other = benches
    first, second = twice(one)
    case = BY_NAME[CASELLE]
    sandbox.fault("caselle", "drop_after", method=case.write_verb, path=case.write_path, times=1)
    one.at["lost:add"] = lambda: sandbox.fault("caselle", "status", status=503, method="GET")
    lost = await add(one, first)
    one.at.clear()
    assert codes(lost) == [C.OUTCOME_UNKNOWN]
    sandbox.clear_faults()
    if for_person:
        assert lost.operation is not None
        await one.store.journal.mark(lost.operation, OperationState.UNKNOWN, outcome=WriteOutcome.UNKNOWN)
        assert codes(await add(other, second)) == [C.IDEMPOTENCY_IN_PROGRESS]
        assert saves(sandbox) == 1
    found = await one.until_settled(lambda: add(one, first))
    again = await other.until_settled(lambda: add(other, second))
    assert (codes(again), again.method, again.was_duplicate) == ([], found.method, True)
    assert saves(sandbox) == 1


async def test_duplicate_is_refused_or_allowed_on_request(
    sandbox: RunningSandbox, benches: tuple[Bench, Bench]
) -> None:
    for on_duplicate, expected in ((OnDuplicate.REJECT, [C.DUPLICATE]), (OnDuplicate.ALLOW, [])):
        sandbox.clear_calls()
        first, second = twice(benches[0], on_duplicate)
        assert codes(await add(benches[0], first)) == []
        assert codes(await add(benches[1], second)) == expected
        assert saves(sandbox) == (1 if expected else 2)


async def test_deleted_card_is_added_again(sandbox: RunningSandbox, benches: tuple[Bench, Bench]) -> None:
    one, other = benches
    first, second = twice(one)
    made = (await add(one, first)).method
    assert made is not None
    gone = DeleteMethod(method_id=one.ids.encode_address(made), idempotency_key=new_key())
    assert codes(await one.writer.run(gone, STAFF, soon())) == []
    again = await add(other, second)
    assert (codes(again), again.was_duplicate, again.method != made) == ([], False, True)


async def test_token_is_checked_only_during_its_life(sandbox: RunningSandbox, benches: tuple[Bench, Bench]) -> None:
    one, other = benches
    first, second = twice(one)
    assert codes(await add(one, first)) == []
    one.clock.advance(minutes=16)
    assert (await add(other, second)).was_duplicate is False  # afterwards the vault decides; its clock stands still
    assert saves(sandbox) == 2
