"""Random documents through graphql-core and through plans: equal answers, errors and their order included.

`EQUALITY_DOCUMENTS=5000` runs that many on each graph instead of the default; `EQUALITY_FROM` is the first seed.
A failure names its seed and prints the document.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, Final

import orjson
import pytest
import strawberry
from graphql import GraphQLObjectType

from app.execution import strawberry_internals as internals
from app.execution.documents import Document, DocumentCache
from app.execution.encoded_objects import FIXED
from app.execution.measure import Unsupported, measure
from app.execution.plan import Plan
from resolvers.schema import schema as wallet_schema
from tests.equality import odd_graph, worlds
from tests.equality.compare import KINDS, by_graphql_core, by_plan, differences
from tests.equality.generate import Generated, Generator
from tests.support.memory import P, World

pytestmark = [
    # Siblings that were cancelled before they began, in graphql-core as in plans.
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(3600 if "EQUALITY_DOCUMENTS" in os.environ else 300),
]
DOCUMENTS: Final = int(os.environ.get("EQUALITY_DOCUMENTS", "160"))
FIRST: Final = int(os.environ.get("EQUALITY_FROM", "0"))
PARTS: Final = 8
# How long a call took is the clock's; the federation's own fields have tests below.
NOT_EQUAL_BY_NATURE: Final = frozenset({"latencyMs", "_service", "_entities"})

_ids = World()
_METHODS = [_ids.id(P.LOANPRO, "37", "m0"), _ids.id(P.JPMORGAN, "PACJGQ", "m1"), _ids.id(P.ALOHA, "al", "nope")]
_IDS = [(f'"{one}"', one) for one in ["cus_a"] * 6 + ["cus_b", "cus_none", *_METHODS, *_METHODS]]


def seeds(part: int) -> range:
    return range(FIRST + part, FIRST + DOCUMENTS, PARTS)


def generated(schema: strawberry.Schema, seed: int, documents: DocumentCache, **how: Any) -> tuple[Generated, Document]:
    """The seed's document, or where that is not valid or too large for a plan, the next try's."""
    random = Random(seed)
    while True:
        kinds = ["query", "query", "mutation"] if schema is odd_graph.schema else ["query"]
        made = Generator(schema._schema, random, **how).document(random.choice(kinds))
        document = documents.prepare(made.text)
        if document.parse_error is None and not document.errors and not _is_too_large(schema, document):
            return made, document


def _is_too_large(schema: strawberry.Schema, document: Document) -> bool:
    operation = document.operation(None)
    assert operation is not None
    try:
        measure(schema, operation, document.fragments)
    except Unsupported as unsupported:
        return unsupported.reason == "too_large"
    return False


async def assert_equal(
    schema: strawberry.Schema,
    made: Generated,
    document: Document,
    world: Callable[[], Callable[[], Any]],
    seed: int,
    uses: Sequence[int] = (0, 1),
) -> int:
    """Every kind of plan, each used twice in one world: the second time snapshots are fresh.

    `world` makes a world, which makes contexts. Answers the number of errors that were compared. `uses`: which of
    graphql-core's two answers each use must equal.
    """
    operation = document.operation(None)
    assert operation is not None
    context_of = world()
    firsts = [context_of(), context_of()]
    wanted = [await by_graphql_core(schema, document, made.variables, one) for one in firsts]
    for kind, is_fast in KINDS.items():
        plan = Plan(schema, operation, document.fragments, is_fast=is_fast)
        context_of = world()
        for use in uses:
            context = context_of()
            found = await by_plan(plan, made.variables, context)
            difference = differences(wanted[use], found)
            log = getattr(firsts[use], "log", None)
            if difference is None and log != getattr(context, "log", None):
                difference = f"what was written\n  wanted {log}\n  found  {context.log}"
            assert difference is None, (
                f"seed {seed}, {kind}, use {use + 1}: {difference}\n{made.text}\n{made.variables}"
            )
    return sum(len(one.errors or ()) for one in wanted)


@pytest.mark.parametrize("part", range(PARTS))
async def test_the_wallet_graph(part: int) -> None:
    documents = DocumentCache(wallet_schema._schema, max_bytes=1, max_tokens=100_000, suggest=False)
    compared = 0
    for seed in seeds(part):
        made, document = generated(wallet_schema, seed, documents, values={"ID": _IDS}, left_out=NOT_EQUAL_BY_NATURE)
        world = partial(worlds.contexts, seed)
        compared += await assert_equal(wallet_schema, made, document, world, seed, uses=(0, 1, 1))
    assert compared, "no document of this part had an error: the faults are not reached"


def _resolved_for_each_request() -> frozenset[str]:
    """The fields that keep a customer from staying encoded, and other root fields than `customer`."""
    found = set(NOT_EQUAL_BY_NATURE)
    for type_ in wallet_schema._schema.type_map.values():
        for name, field in type_.fields.items() if isinstance(type_, GraphQLObjectType) else ():
            own = internals.strawberry_field(field)
            if own is not None and own.base_resolver is not None and FIXED not in own.metadata:
                found.add(f"{type_.name}.{name}")
    return frozenset(found - {"Query.customer"})


@pytest.mark.parametrize("part", range(PARTS))
async def test_customers_that_stay_encoded(part: int) -> None:
    documents = DocumentCache(wallet_schema._schema, max_bytes=1, max_tokens=100_000, suggest=False)
    left_out, encoded = _resolved_for_each_request(), 0
    for seed in seeds(part):
        made, document = generated(wallet_schema, seed, documents, values={"ID": _IDS}, left_out=left_out)
        operation = document.operation(None)
        assert operation is not None
        context_of = worlds.contexts(seed)
        plan = Plan(wallet_schema, operation, document.fragments)
        wanted = [await by_graphql_core(wallet_schema, document, made.variables, context_of()) for _ in range(2)]
        for use in range(6):
            found = await by_plan(plan, made.variables, context_of())
            difference = differences(wanted[1], found)
            assert difference is None, f"seed {seed}, use {use + 1}: {difference}\n{made.text}\n{made.variables}"
        encoded += any(isinstance(one, orjson.Fragment) for one in (found.data or {}).values())
    assert encoded, "no customer of this part stayed encoded"


@pytest.mark.parametrize("part", range(PARTS))
async def test_a_graph_of_oddities(part: int) -> None:
    schema = odd_graph.schema
    documents = DocumentCache(schema._schema, max_bytes=1, max_tokens=100_000, suggest=False)
    compared = 0
    for seed in seeds(part):
        made, document = generated(schema, seed, documents)
        world = partial(partial, odd_graph.World, seed, allowed=seed % 4 != 0)
        compared += await assert_equal(schema, made, document, world, seed)
    assert compared, "no document of this part had an error: the faults are not reached"


ENTITIES: Final = """query ($all: [_Any!]!) {
  _service { sdl }
  _entities(representations: $all) { __typename ... on Customer { name } ... on Card { label brand } }
}"""


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"__typename": "Customer", "id": "cus_a"}, {"__typename": "Card", "id": _METHODS[0]}],
        [{"__typename": "Customer", "id": "cus_zz"}, {"__typename": "Nothing", "id": "x"}],
        [{"__typename": "Customer"}, "text", None],
    ],
)
async def test_the_federation_s_own_fields(keys: list[Any]) -> None:
    documents = DocumentCache(wallet_schema._schema, max_bytes=1, max_tokens=100_000, suggest=False)
    made, document = Generated(ENTITIES, {"all": keys}), documents.prepare(ENTITIES)
    assert not document.errors
    for seed in range(3):
        await assert_equal(wallet_schema, made, document, partial(worlds.contexts, seed), seed)


async def test_the_comparison_sees_what_it_should() -> None:
    """A difference in a value, in the order of keys, in an error's path or message: each is reported."""
    from graphql import ExecutionResult, GraphQLError

    base = ExecutionResult({"a": 1, "b": None}, [GraphQLError("m", path=["b"])])
    assert differences(base, ExecutionResult({"a": 1, "b": None}, [GraphQLError("m", path=["b"])])) is None
    for data, error in [
        ({"a": 2, "b": None}, GraphQLError("m", path=["b"])),
        ({"b": None, "a": 1}, GraphQLError("m", path=["b"])),
        ({"a": 1, "b": None}, GraphQLError("other", path=["b"])),
        ({"a": 1, "b": None}, GraphQLError("m", path=["a"])),
        ({"a": 1, "b": None}, GraphQLError("m", path=["b"], extensions={"code": "X"})),
    ]:
        assert differences(base, ExecutionResult(data, [error])) is not None, (data, error)
    assert differences(base, ExecutionResult({"a": 1, "b": None}, None)) is not None
    moot = GraphQLError("below", path=["b", "c"])
    assert differences(base, ExecutionResult({"a": 1, "b": None}, [*(base.errors or ()), moot])) is None
