"""Deferred fragments: what runs when, with a plan and without one, and how parts are written."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from graphql import ExecutionResult, GraphQLError
from graphql.execution import (
    CompletedResult,
    IncrementalDeferResult,
    InitialIncrementalExecutionResult,
    PendingResult,
    SubsequentIncrementalExecutionResult,
)

from app.api.negotiation import PartsFormat
from app.api.parts import PartsEncoder, converter
from app.api.response import encode
from app.execution.budget import ExecutionBudget
from app.execution.documents import Document
from app.execution.plans import Plans
from app.execution.run import run_incrementally
from resolvers.schema import schema
from tests.equality import odd_graph
from tests.support.memory import MemoryVault, P, World
from tests.unit.test_execution_plans import context_of, documents_of

USES = pytest.mark.parametrize("has_plan", [False, True])
SLOW = "slow: paymentMethods(filter: {providers: [LOANPRO]}) { label }"
FAST = "fast: paymentMethods(filter: {providers: [CASELLE]}) { label }"


class GatedVault(MemoryVault):
    gate: asyncio.Event

    async def wallets(self, refs: Any, call: Any) -> Mapping[Any, Any]:
        await self.gate.wait()
        return await super().wallets(refs, call)


def gated() -> tuple[World, asyncio.Event]:
    world, gate = World(), asyncio.Event()
    vault = world.vaults[P.LOANPRO]
    vault.__class__ = GatedVault
    vault.gate = gate  # type: ignore[attr-defined]
    return world, gate


def document_of(text: str, *, has_plan: bool, of: Any = schema) -> Document:
    plans = Plans(of)
    document = documents_of(of, plans=plans if has_plan else None).get(text)
    assert not document.errors, document.errors
    if has_plan:
        plans.prepare(document)
    return document


async def started(document: Document, context: Any, of: Any = schema) -> Any:
    return await asyncio.wait_for(run_incrementally(of, document, None, {}, context), 60)


@USES
@pytest.mark.parametrize(
    "text",
    [
        '{ customer(id: "cus_a") { name FAST ... @defer { SLOW } } }',
        '{ customer(id: "cus_a") { name FAST } ... @defer { customer(id: "cus_a") { SLOW } } }',
        '{ customer(id: "cus_a") { name ...Slow @defer FAST } } fragment Slow on Customer { name FAST SLOW }',
        '{ a: node(id: "cus_a") { ... on Customer { FAST } } ... @defer { b: customer(id: "cus_a") { SLOW } } }',
    ],
)
async def test_what_is_not_deferred_waits_for_its_own_vaults_alone(text: str, *, has_plan: bool) -> None:
    world, gate = gated()
    document = document_of(text.replace("FAST", FAST).replace("SLOW", SLOW), has_plan=has_plan)
    result = await started(document, context_of(world))
    (shown,) = result.initial_result.data.values()
    assert shown["fast"]
    assert "slow" not in shown
    assert world.vaults[P.LOANPRO].calls == []
    gate.set()
    (part,) = [one async for one in result.subsequent_results]
    assert (part.has_next, len(part.incremental), part.completed[0].errors) == (False, 1, None)
    assert '"slow"' in encode(part.incremental[0].data).decode()
    assert [vault.calls for vault in (world.vaults[P.LOANPRO], world.vaults[P.CASELLE])] == [[["37"]], [["cs"]]]


@USES
async def test_fragments_that_need_different_vaults_do_not_wait_for_each_other(*, has_plan: bool) -> None:
    world, gate = gated()
    parts = f'... @defer(label: "s") {{ {SLOW} }} ... @defer(label: "f") {{ {FAST} }}'
    text = f'{{ customer(id: "cus_a") {{ name {parts} }} }}'
    result = await started(document_of(text, has_plan=has_plan), context_of(world))
    labels = {one.id: one.label for one in result.initial_result.pending}
    found = []
    async for part in result.subsequent_results:
        found += [labels[one.id] for one in part.completed]
        gate.set()
    assert found == ["f", "s"]


@USES
async def test_a_deferred_part_counts_as_many_fields(*, has_plan: bool) -> None:
    context = context_of(World())
    context.budget = ExecutionBudget(most_fields=100)
    text = '{ customer(id: "cus_a") { paymentMethods { id ... @defer { label } } } }'
    result = await started(document_of(text, has_plan=has_plan), context)
    assert (result.data, [error.extensions["code"] for error in result.errors]) == (None, ["RESPONSE_TOO_LARGE"])


@USES
async def test_closing_the_parts_ends_what_is_running(*, has_plan: bool) -> None:
    world, _ = gated()
    text = f'{{ customer(id: "cus_a") {{ name ... @defer {{ {SLOW} }} }} }}'
    before = asyncio.all_tasks()
    context = context_of(world)
    result = await started(document_of(text, has_plan=has_plan), context)
    coming = asyncio.ensure_future(anext(result.subsequent_results))
    await asyncio.sleep(0)
    coming.cancel()
    await asyncio.wait({coming})
    await result.subsequent_results.aclose()
    context.close()
    await asyncio.wait_for(asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True), 5)


@USES
async def test_a_cancelled_operation_leaves_no_deferred_work(*, has_plan: bool) -> None:
    world, _ = gated()
    deferred = "... @defer { name }"
    text = f'{{ a: customer(id: "cus_a") {{ {deferred} }} b: customer(id: "cus_a") {{ {SLOW} {deferred} }} }}'
    before, context = asyncio.all_tasks(), context_of(world)
    running = asyncio.ensure_future(started(document_of(text, has_plan=has_plan), context))
    for _ in range(20):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    context.close()
    await asyncio.wait_for(asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True), 5)


@USES
async def test_a_mutation_runs_all_of_its_fields_first(*, has_plan: bool) -> None:
    text = 'mutation { a: write(word: "a") { id ... @defer { slow } } b: write(word: "b") { id ... @defer { slow } } }'
    world = odd_graph.World(3)
    result = await started(document_of(text, has_plan=has_plan, of=odd_graph.schema), world, odd_graph.schema)
    if isinstance(result, ExecutionResult):
        pytest.fail("nothing was deferred: choose another seed")
    assert world.log == ["begin a", "end a", "begin b", "end b"]
    assert [one async for one in result.subsequent_results][-1].has_next is False


async def written(format: PartsFormat) -> list[Any]:
    """Of three fragments: one has an entry, one shares it, and one has failed."""
    encoder = PartsEncoder(ExecutionBudget(), "req-1", lambda: {"requestId": "req-1"})
    convert = converter(format)
    pending = [PendingResult("0", ["c"], "a"), PendingResult("1", ["c"], "b"), PendingResult("2", ["c", "d"], None)]
    first = await encoder.first(InitialIncrementalExecutionResult({"c": {"d": {}}}, None, pending, has_next=True))
    error = GraphQLError("a bug", path=["c", "d", "e"], original_error=ValueError("secret"))
    part = SubsequentIncrementalExecutionResult(
        has_next=False,
        incremental=[IncrementalDeferResult({"x": 1}, "0", sub_path=["d"])],
        completed=[CompletedResult("0"), CompletedResult("1"), CompletedResult("2", [error])],
    )
    bodies = [convert(first), convert(await encoder.next(part))]
    assert encoder.has_failed
    found: list[Any] = orjson.loads(encode(bodies))
    return found


@pytest.mark.parametrize("format", PartsFormat)
async def test_a_part_that_is_too_large_fails_the_fragments_that_were_announced(format: PartsFormat) -> None:
    encoder, convert = PartsEncoder(ExecutionBudget(most_bytes=100), "req-1", dict), converter(format)
    first = InitialIncrementalExecutionResult({"c": {}}, None, [PendingResult("0", ["c"], None)], has_next=True)
    part = SubsequentIncrementalExecutionResult(
        has_next=True,
        pending=[PendingResult("1", ["c", "d"], None)],
        incremental=[IncrementalDeferResult({"d": {"text": "x" * 200}}, "0")],
        completed=[CompletedResult("0")],
    )
    convert(await encoder.first(first))
    last = convert(await encoder.next(part))
    (failed,) = last["completed" if format is PartsFormat.IDS else "incremental"]
    assert (failed.get("id", "0"), failed.get("path", ["c"]), last["hasNext"]) == ("0", ["c"], False)
    assert [error["extensions"]["code"] for error in failed["errors"]] == ["RESPONSE_TOO_LARGE"]


async def test_parts_by_id() -> None:
    first, last = await written(PartsFormat.IDS)
    assert first["pending"] == [
        {"id": "0", "path": ["c"], "label": "a"},
        {"id": "1", "path": ["c"], "label": "b"},
        {"id": "2", "path": ["c", "d"]},
    ]
    assert last["incremental"] == [
        {"id": "0", "data": {"x": 1}, "subPath": ["d"], "extensions": {"requestId": "req-1"}}
    ]
    ended = {one["id"]: [error["message"] for error in one.get("errors", ())] for one in last["completed"]}
    assert (ended, last["hasNext"]) == ({"0": [], "1": [], "2": ["Unexpected error."]}, False)


async def test_parts_by_path() -> None:
    first, last = await written(PartsFormat.PATHS)
    assert first == {"data": {"c": {"d": {}}}, "extensions": {"requestId": "req-1"}, "hasNext": True}
    entry, shared, failed = last["incremental"]
    assert entry == {"path": ["c", "d"], "label": "a", "data": {"x": 1}, "extensions": {"requestId": "req-1"}}
    assert shared == {"path": ["c"], "label": "b", "data": {}}
    assert (failed["path"], failed["data"]) == (["c", "d"], None)
    assert [error["path"] for error in failed["errors"]] == [["c", "d", "e"]]
    assert last.keys() == {"incremental", "hasNext"}
