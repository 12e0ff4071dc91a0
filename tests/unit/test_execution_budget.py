"""Response size limits on every execution path, and yielding to the event loop in large responses."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson
import pytest
import strawberry
from graphql import ExecutionResult, OperationType, get_introspection_query

from app.api.encoding import encoded
from app.execution.budget import SLICE, STEPS_BY_LIBRARY, ExecutionBudget, TooLarge, Turns
from app.execution.documents import Document, DocumentCache
from app.execution.plan import Plan
from app.execution.run import run_operation, run_subscription
from app.wallet.caller import ALL_SCOPES, Caller
from resolvers.context import Context
from resolvers.schema import schema
from tests.equality.compare import decoded
from tests.support.memory import P, World, card

Way = Callable[[Document, Context, dict[str, Any]], Any]
FIELDS = "id label last4 isDefault status ... on Card { brand expiryState }"
LOOP = "customer{paymentMethods(first:1000){id label}}"


async def by_library(document: Document, context: Any, variables: dict[str, Any], of: Any = schema) -> ExecutionResult:
    return await run_operation(of, document, None, variables, context)


def _planned(*, is_fast: bool) -> Any:
    async def run(document: Document, context: Any, variables: dict[str, Any], of: Any = schema) -> ExecutionResult:
        operation = document.operation(None)
        assert operation is not None
        plan = Plan(of, operation, document.fragments, is_fast=is_fast)
        return await plan.start(variables, context, hide_suggestions=True)

    return run


WAYS = {"graphql-core": by_library, "interpreted": _planned(is_fast=False), "generated": _planned(is_fast=True)}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def document_of(text: str, of: strawberry.Schema = schema) -> Document:
    made = DocumentCache(of._schema, max_bytes=0, max_tokens=10_000, suggest=False).prepare(text)
    assert not made.errors, made.errors
    return made


def world_of(count: int) -> World:
    """One customer with many cards that all look different."""
    world = World()
    vault = world.vaults[P.LOANPRO]
    cards = [card(f"m{index}", last4=f"{index:04}", holder_name=f"Alex {index}") for index in range(count)]
    vault.put(next(iter(vault.held)), *cards)
    for name, other in world.vaults.items():
        if name is not P.LOANPRO:
            other.put(next(iter(other.held)))
    world.services.list_limit = 10_000
    return world


def context_of(world: World, budget: ExecutionBudget) -> Context:
    made = Context.create(world.services, Caller(name="tests", scopes=ALL_SCOPES), "req-1")
    made.budget = budget
    return made


def fields_in(value: Any) -> int:
    if isinstance(value, dict):
        return sum(1 + fields_in(one) for one in value.values())
    return sum(map(fields_in, value)) if isinstance(value, list) else 0


def query(inner: str, first: int = 10_000) -> str:
    return f'{{customer(id:"cus_a"){{paymentMethods(first:{first}){{{inner}}}}}}}'


@ways
async def test_every_field_of_a_response_is_counted(way: Way) -> None:
    world, budget = world_of(40), ExecutionBudget(100_000, 10_000_000)
    result = await way(document_of(query(f"{FIELDS} billingAddress{{city}} {LOOP}")), context_of(world, budget), {})
    assert result.errors is None
    data = decoded(result.data)
    made = fields_in(data)
    assert made <= budget.spent <= made + 80  # generated code also counts null objects, some twice
    assert 10_000_000 - budget.bytes <= len(json.dumps(data, separators=(",", ":")))


@ways
@pytest.mark.parametrize(
    "text",
    [
        query(FIELDS),
        query(LOOP),
        query("customer{paymentMethods(first:1000){" * 6 + "id" + "}}" * 6),
        query(f"authStatus {FIELDS}"),
        query("possibleDuplicates{id} customer{defaultMethod{customer{paymentMethods{id}}}}"),
        "{" + " ".join(f'a{n}:customer(id:"cus_a"){{paymentMethods(first:300){{{FIELDS}}}}}' for n in range(5)) + "}",
        '{nodes(ids:["cus_a","cus_a","cus_a"]){... on Customer{paymentMethods(first:300){' + FIELDS + "}}}}",
    ],
)  # fmt: skip
async def test_a_response_with_too_many_fields_is_aborted(way: Way, text: str) -> None:
    budget = ExecutionBudget(500, 10_000_000)
    result = await way(document_of(text), context_of(world_of(300), budget), {})
    assert result.data is None
    assert [error.extensions for error in result.errors][-1:] == [
        {"code": "RESPONSE_TOO_LARGE", "unit": "fields", "limit": 500}
    ]
    # At most one list over the limit may be counted.
    assert budget.spent <= 500 + 10_000


@ways
async def test_a_response_with_too_many_bytes_is_aborted(way: Way) -> None:
    long = "a" * 900
    budget = ExecutionBudget(100_000, 100_000)
    text = query(" ".join(f"{long}{n}:id" for n in range(10)))
    result = await way(document_of(text), context_of(world_of(300), budget), {})
    assert result.data is None
    assert [error.extensions["unit"] for error in result.errors] == ["bytes"]


async def test_long_values_are_counted_when_they_are_encoded() -> None:
    data = {"rows": [{"a": "x" * 500} for _ in range(300)]}
    assert orjson.loads(orjson.dumps(await encoded(data, ExecutionBudget(1_000, 200_000)))) == data
    with pytest.raises(TooLarge):
        await encoded(data, ExecutionBudget(1_000, 100_000))
    spent = ExecutionBudget(10_000, 100_000)
    spent.take(5_000, 0)
    with pytest.raises(TooLarge):
        await encoded(data, spent)


# ---- turns --------------------------------------------------------------------------------------------


@dataclass
class Ticker:
    """Records the maximum `budget` steps between two iterations of the event loop."""

    budget: ExecutionBudget
    steps: int = 0
    _last: int = 0
    _running: bool = field(default=True)

    def __post_init__(self) -> None:
        self._last = self.budget.taken
        asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        self.steps = max(self.steps, self.budget.taken - self._last)
        self._last = self.budget.taken
        if self._running:
            asyncio.get_running_loop().call_soon(self._tick)

    def stop(self) -> int:
        self._tick()
        self._running = False
        return self.steps


class Counted(ExecutionBudget):
    """Counts all steps, including those reset by a turn."""

    __slots__ = ("before",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.before = 0

    @property
    def taken(self) -> int:
        return self.before + SLICE - self.until_turn

    def _granted(self) -> None:
        self.before += SLICE - self.until_turn
        super()._granted()


@ways
@pytest.mark.parametrize(
    "text",
    [
        query(FIELDS),
        query(f"authStatus etag {FIELDS}"),
        query("customer{paymentMethods(first:20){id label}}", 500),
        query("customer{authSummary{status}}", 300),
        query("customer{paymentMethods(first:1,orderBy:NEWEST_FIRST){id}}", 300),
        "{" + " ".join(f'a{n}:customer(id:"cus_a"){{paymentMethods(first:300){{{FIELDS}}}}}' for n in range(20)) + "}",
        "{nodes(ids:["
        + ",".join('"cus_a"' for _ in range(60))
        + "]){... on Customer{paymentMethods(first:100){"
        + FIELDS
        + "}}}}",
        get_introspection_query(),
    ],
)  # fmt: skip
async def test_a_large_response_yields_to_the_event_loop(way: Way, text: str) -> None:
    document = document_of(text)
    if "__schema" in text and way is not by_library:
        pytest.skip("introspection has no plan")
    budget = Counted(10**7, 10**9, Turns())
    context = context_of(world_of(1_000), budget)
    ticker = Ticker(budget)
    result = await way(document, context, {})
    assert result.errors is None
    await encoded(result.data, budget)
    steps = ticker.stop()
    assert budget.taken > 2 * SLICE  # several slices
    assert steps <= 2 * SLICE + 20 * STEPS_BY_LIBRARY


async def test_slices_of_all_requests_run_one_at_a_time_and_fairly() -> None:
    """Between two slices the event loop runs other callbacks."""
    turns, rounds, log = Turns(), 0, []

    def tick() -> None:
        nonlocal rounds
        rounds += 1
        asyncio.get_running_loop().call_soon(tick)

    async def long(name: str) -> None:
        budget = ExecutionBudget(10**9, 10**9, turns)
        for _ in range(3):
            budget.take(SLICE, 0)
            await budget.turn()
            log.append((name, rounds))

    asyncio.get_running_loop().call_soon(tick)
    await asyncio.gather(*(long(name) for name in "abc"))
    assert [name for name, _ in log] == list("abcabcabc")
    at = [number for _, number in log]
    assert all(later - earlier >= 5 for earlier, later in pairwise(at))


async def test_many_tasks_of_one_request_share_its_slices() -> None:
    budget = Counted(10**9, 10**9, Turns())
    ticker = Ticker(budget)

    async def one() -> None:
        await budget.turn()
        budget.take(25, 0)  # a hundred steps

    budget.take(SLICE, 0)
    await asyncio.gather(*(one() for _ in range(1_000)))
    assert budget.taken >= 100_000
    assert ticker.stop() <= 5 * SLICE


async def test_a_cancelled_request_gives_up_its_turn() -> None:
    turns = Turns()
    first, second = ExecutionBudget(10**9, 10**9, turns), ExecutionBudget(10**9, 10**9, turns)
    for one in (first, second):
        one.take(SLICE, 0)
    leaving, staying = asyncio.create_task(first.turn()), asyncio.create_task(second.turn())
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert leaving.cancelled()


# ---- mutations and subscriptions ----------------------------------------------------------------------


@strawberry.type
class Row:
    number: int


@strawberry.type
class Query:
    hello: str = "hello"


@strawberry.type
class Made:
    rows: list[Row]


ran: list[str] = []


@strawberry.type
class Mutation:
    @strawberry.mutation
    def make(self, name: str, count: int) -> Made | None:
        ran.append(name)
        return Made(rows=[Row(number=n) for n in range(count)])


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def each(self, counts: list[int]) -> AsyncIterator[Made]:
        for count in counts:
            yield Made(rows=[Row(number=n) for n in range(count)])


SMALL = strawberry.Schema(Query, Mutation, Subscription)


@dataclass
class Holder:
    budget: ExecutionBudget


@ways
async def test_a_mutation_over_budget_reports_what_ran_and_stops(way: Any) -> None:
    ran.clear()
    counts = {"a": 3, "b": 99, "c": 1}
    text = "mutation{" + "".join(f'{n}:make(name:"{n}",count:{c}){{rows{{number}}}}' for n, c in counts.items()) + "}"
    document = document_of(text, SMALL)
    result = await way(document, Holder(ExecutionBudget(50, 10_000)), {}, SMALL)
    assert ran == ["a", "b"]
    assert result.data == {"a": {"rows": [{"number": 0}, {"number": 1}, {"number": 2}]}, "b": None, "c": None}
    reported = [(error.path, (error.extensions or {})["code"]) for error in result.errors]
    assert reported == [(["b"], "RESPONSE_TOO_LARGE"), (["c"], "RESPONSE_TOO_LARGE")]


async def test_each_event_of_a_subscription_has_a_budget() -> None:
    document = document_of("subscription{each(counts:[30,99,30]){rows{number}}}", SMALL)
    assert document.operations[None].operation is OperationType.SUBSCRIPTION
    started = await run_subscription(SMALL, document, None, {}, Holder(ExecutionBudget(50, 10_000)))
    assert not isinstance(started, ExecutionResult)
    seen = [(len(result.data["each"]["rows"]) if result.data else None, result.errors) async for result in started]
    assert [count for count, _ in seen] == [30, None, 30]
    assert [(error.extensions or {})["code"] for error in seen[1][1] or ()] == ["RESPONSE_TOO_LARGE"]
