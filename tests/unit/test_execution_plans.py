"""Plans: when they are compiled, unsupported operations, eviction, and guarantees while running."""

import asyncio
import gc
from collections import Counter
from typing import Any

import pytest
import strawberry

from app.execution.documents import Document, DocumentCache
from app.execution.measure import MOST_FIELDS, Unsupported, measure
from app.execution.plan import MOST_VARIANTS, Plan
from app.execution.plans import Plans
from app.execution.run import run_operation
from app.vault.enums import ProviderName
from app.wallet.caller import ALL_SCOPES, Caller
from resolvers.context import Context
from resolvers.schema import schema
from tests.equality import odd_graph
from tests.equality.compare import decoded
from tests.support.memory import P, World, card

WALLET = """query Wallet($id: ID!, $more: Boolean! = false) { customer(id: $id) {
  name paymentMethods { ...Method authStatus } defaultMethod { label } defaultMethodInfo { state } authStatus
  sources { provider state } isComplete links @include(if: $more) { provider }
} }
fragment Method on PaymentMethod { __typename id label ... on Card { brand bin } }"""


class Seen:
    def __init__(self) -> None:
        self.paths: list[str] = []

    def on_execution(self, path: str) -> None:
        self.paths.append(path)


def documents_of(of: strawberry.Schema = schema, **how: Any) -> DocumentCache:
    return DocumentCache(of._schema, max_bytes=1_000_000, max_tokens=10_000, suggest=False, **how)


def document_of(text: str, of: strawberry.Schema = schema) -> Document:
    made = documents_of(of).get(text)
    assert not made.errors, made.errors
    return made


def context_of(world: World, scopes: frozenset[str] = ALL_SCOPES) -> Context:
    return Context.create(world.services, Caller(name="tests", scopes=scopes), "req-1")


def plan_of(text: str, of: strawberry.Schema = schema, **how: Any) -> Plan:
    document = document_of(text, of)
    operation = next(iter(document.operations.values()))
    return Plan(of, operation, document.fragments, **how)


async def run(plan: Plan, context: Any, **variables: Any) -> Any:
    return await plan.start(variables, context, hide_suggestions=True)


async def test_a_document_is_planned_on_its_second_use_with_the_same_result() -> None:
    seen, world = Seen(), World()
    documents = documents_of(plans=Plans(schema, observer=seen))
    answers = []
    for _ in range(3):
        document = documents.get(WALLET)
        answers.append(await run_operation(schema, document, None, {"id": "cus_a"}, context_of(world)))
    assert seen.paths == ["fallback:first_use", "compiled", "compiled"]
    assert answers[0].errors is None
    assert answers[0].data == decoded(answers[1].data) == decoded(answers[2].data)


async def test_a_published_document_is_planned_at_once() -> None:
    seen = Seen()
    plans = Plans(schema, observer=seen)
    document = documents_of(plans=plans).get(WALLET)
    plans.prepare(document)
    result = await run_operation(schema, document, "Wallet", {"id": "cus_a"}, context_of(World()))
    assert result.errors is None
    assert seen.paths == ["compiled"]


async def test_without_plans_graphql_core_runs() -> None:
    document = documents_of().get(WALLET)
    assert document.plans is None
    result = await run_operation(schema, document, None, {"id": "cus_a"}, context_of(World()))
    assert result.data["customer"]["name"] == "Alex Morales"  # type: ignore[index]


async def test_operations_of_one_document_are_planned_separately() -> None:
    seen = Seen()
    documents = documents_of(plans=Plans(schema, observer=seen))
    text = "query A { viewer { partner } } query B { __schema { queryType { name } } }"
    for name in ("A", "B", "A", "B", "A"):
        result = await run_operation(schema, documents.get(text), name, {}, context_of(World()))
        assert result.errors is None
    assert seen.paths == ["fallback:first_use"] * 2 + ["compiled", "fallback:introspection", "compiled"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{ __schema { queryType { name } } }", "introspection"),
        ('{ viewer { partner } __type(name: "Card") { name } }', "introspection"),
        ("query @experimental_disableErrorPropagation { viewer { partner } }", "directive"),
        ("{ viewer @mine { partner } }", "directive"),
    ],
)
def test_unsupported_operations_have_a_reason(text: str, reason: str) -> None:
    document = documents_of().prepare(text)
    operation = document.operation(None)
    assert operation is not None
    with pytest.raises(Unsupported) as refused:
        measure(schema, operation, document.fragments)
    assert refused.value.reason == reason


def test_an_exponential_document_is_refused_quickly() -> None:
    fragments = "".join(
        f"fragment F{n} on PaymentMethod {{ a{n}: possibleDuplicates {{ ...F{n + 1} }} "
        f"b{n}: possibleDuplicates {{ ...F{n + 1} }} }} "
        for n in range(30)
    )
    text = f'{{ paymentMethod(id: "x") {{ ...F0 }} }} {fragments} fragment F30 on PaymentMethod {{ id }}'
    document = documents_of().prepare(text)
    operation = document.operation(None)
    assert operation is not None
    with pytest.raises(Unsupported, match=r"too_large: \d+ fields") as refused:
        measure(schema, operation, document.fragments)
    assert int(str(refused.value).split()[1]) > MOST_FIELDS


async def test_a_subscription_and_a_condition_without_a_value_fall_back() -> None:
    seen = Seen()
    documents = documents_of(plans=Plans(schema, observer=seen))
    text = "query ($c: Boolean = true) { viewer { partner @include(if: $c) } }"
    for given in ({}, {"c": True}, {"c": None}):
        await run_operation(schema, documents.get(text), None, given, context_of(World()))
    assert seen.paths == ["fallback:first_use", "compiled", "fallback:condition"]


async def test_variants_are_bounded() -> None:
    names = [f"c{n}" for n in range(6)]
    fields = " ".join(f"a{n}: partner @include(if: ${n})" for n in names)
    declared = ", ".join(f"${n}: Boolean!" for n in names)
    plan = plan_of(f"query ({declared}) {{ viewer {{ {fields} }} }}")
    for number in range(64):
        given = {name: bool(number >> bit & 1) for bit, name in enumerate(names)}
        result = await run(plan, context_of(World()), **given)
        assert list(result.data["viewer"]) == [f"a{name}" for name in names if given[name]]
    assert len(plan._variants) == MOST_VARIANTS


async def test_plans_are_an_lru_cache_bounded_by_bytes() -> None:
    plans = Plans(schema, max_bytes=60_000)
    documents = documents_of(plans=plans)
    texts = [f"query Q{n} {{ viewer {{ partner a{n}: scopes }} }}" for n in range(30)]
    for text in texts:
        plans.prepare(documents.get(text))
        await run_operation(schema, documents.get(text), None, {}, context_of(World()))
    assert 0 < plans.bytes <= 60_000
    assert 0 < len(plans) < 30
    seen = Seen()
    plans._observe = seen.on_execution
    for text in (texts[-1], texts[0]):
        await run_operation(schema, documents.get(text), None, {}, context_of(World()))
    assert seen.paths == ["compiled", "fallback:first_use"]


@pytest.mark.parametrize("is_fast", [True, False])
async def test_all_loads_start_before_any_field_is_completed(is_fast: bool) -> None:
    world, started = World(), []
    all_started = asyncio.Event()
    for name, vault in world.vaults.items():

        async def answer(name: ProviderName = name) -> None:
            started.append(name)
            if len(started) == len(ProviderName):
                all_started.set()
            async with asyncio.timeout(60):
                await all_started.wait()  # sequential loads would hang here

        vault._answer = answer  # type: ignore[method-assign]
    result = await run(plan_of(WALLET.replace("authStatus", ""), is_fast=is_fast), context_of(world), id="cus_a")
    assert result.errors is None
    assert sorted(started) == sorted(ProviderName)
    assert set(world.calls().values()) == {1}


@pytest.mark.parametrize("scopes", [ALL_SCOPES, frozenset({"customers:read", "payment_methods:read"}), frozenset()])
async def test_a_plan_is_shared_by_callers_with_different_scopes(scopes: frozenset[str]) -> None:
    plan = plan_of(WALLET)
    await run(plan, context_of(World()), id="cus_a", more=True)
    found = await run(plan, context_of(World(), scopes), id="cus_a", more=True)
    wanted = await run_operation(
        schema, document_of(WALLET), None, {"id": "cus_a", "more": True}, context_of(World(), scopes)
    )
    assert found.formatted == wanted.formatted
    codes = Counter(error.extensions["code"] for error in found.errors or ())
    missing = {ALL_SCOPES: 0, frozenset({"customers:read", "payment_methods:read"}): 6}  # five bins, and links
    assert codes["FORBIDDEN"] == missing.get(scopes, 1)


async def test_only_attributes_are_read_twice() -> None:
    called: list[str] = []

    @strawberry.type
    class Item:
        name: str

        @strawberry.field
        def counted(self) -> str:
            called.append(self.name)
            return "counted"

    @strawberry.type
    class Query:
        @strawberry.field
        def items(self) -> list[Item | None]:
            called.append("items")
            return [Item(name="a"), Item(name=None), Item(name="c")]  # type: ignore[arg-type]

    made = strawberry.Schema(query=Query)
    plan = plan_of("{ items { name counted } }", made)
    result = await run(plan, None)
    assert result.data == {"items": [{"name": "a", "counted": "counted"}, None, {"name": "c", "counted": "counted"}]}
    assert called == ["items", "a", "c"]
    assert [error.path for error in result.errors] == [["items", 1, "name"]]


async def test_mutations_run_serially() -> None:
    world = odd_graph.World(seed=5)
    plan = plan_of('mutation { a: write(word: "a") { id } n: writeNow(word: "n") b: write(word: "b") { id } }',
                   odd_graph.schema)  # fmt: skip
    await run(plan, world)
    assert world.log == ["begin a", "end a", "now n", "begin b", "end b"]


async def test_cancelling_a_request_cancels_its_fields() -> None:
    world = World()
    for vault in world.vaults.values():
        vault.hang = True
    context = context_of(world)
    asked = asyncio.ensure_future(run(plan_of(WALLET), context, id="cus_a"))
    for _ in range(20):
        await asyncio.sleep(0)
    before = len(asyncio.all_tasks())
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    context.close()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) < before


async def test_plans_hold_no_state_of_a_request() -> None:
    plan, world = plan_of(WALLET), World()
    for _ in range(2):
        await run(plan, context_of(world), id="cus_a")
    gc.collect()
    before = sum(isinstance(one, Context) for one in gc.get_objects())
    for _ in range(5):
        await run(plan, context_of(world), id="cus_a")
    await asyncio.sleep(0)
    gc.collect()
    assert sum(isinstance(one, Context) for one in gc.get_objects()) <= before


async def test_client_names_do_not_become_source_code() -> None:
    plan = plan_of("{ viewer { __import__: partner class: scopes c1: __typename odd: partner kind: partner } }")
    result = await run(plan, context_of(World()))
    assert list(result.data["viewer"]) == ["__import__", "class", "c1", "odd", "kind"]
    assert result.data["viewer"]["kind"] == "tests"


async def test_a_type_cast_on_one_instance_is_respected() -> None:
    @strawberry.interface
    class Base:
        name: str

    @strawberry.type
    class One(Base):
        pass

    @strawberry.type
    class Two(Base):
        pass

    @strawberry.type
    class Query:
        @strawberry.field
        def all(self) -> list[Base]:
            return [One(name="a"), strawberry.cast(Two, One(name="b")), Two(name="c")]

    made = strawberry.Schema(query=Query, types=[One, Two])
    for is_fast in (True, False):
        result = await run(plan_of("{ all { __typename name } }", made, is_fast=is_fast), None)
        assert [one["__typename"] for one in result.data["all"]] == ["One", "Two", "Two"]


async def test_a_broken_record_nulls_only_its_own_position() -> None:
    world = World()
    world.vaults[P.LOANPRO].put("37", card("1", brand=None), card("2"))
    text = '{ customer(id: "cus_a") { paymentMethods { ... on Card { brand } } name } }'
    for is_fast in (True, False):
        result = await run(plan_of(text, is_fast=is_fast), context_of(world))
        assert result.data == {"customer": {"paymentMethods": None, "name": "Alex Morales"}}
        (error,) = result.errors
        assert error.path[:2] == ["customer", "paymentMethods"]
        assert error.path[-1] == "brand"
        assert error.locations[0].line == 1
