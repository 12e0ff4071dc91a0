"""Random documents through graphql-core and through plans: equal answers, errors and their order included.

`EQUALITY_DOCUMENTS=5000` runs that many on each graph instead of the default; `EQUALITY_FROM` is the first seed.
A failure names its seed and prints the document.
"""

import os
from collections.abc import Callable
from random import Random
from typing import Any, Final

import pytest
import strawberry

from app.execution.documents import Document, Documents
from app.execution.plan import Plan
from resolvers.schema import schema as wallet_schema
from tests.equality import odd_graph, worlds
from tests.equality.compare import KINDS, by_graphql_core, by_plan, differences
from tests.equality.generate import Generated, Generator
from tests.support.memory import P, World

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),  # siblings cancelled unstarted
    pytest.mark.timeout(3600 if "EQUALITY_DOCUMENTS" in os.environ else 120),
]
DOCUMENTS: Final = int(os.environ.get("EQUALITY_DOCUMENTS", "240"))
FIRST: Final = int(os.environ.get("EQUALITY_FROM", "0"))
PARTS: Final = 8
# How long a call took is the clock's; the federation's own fields have tests below.
NOT_EQUAL_BY_NATURE: Final = frozenset({"latencyMs", "_service", "_entities"})

_ids = World()
_METHODS = [_ids.id(P.LOANPRO, "37", "m0"), _ids.id(P.JPMORGAN, "PACJGQ", "m1"), _ids.id(P.ALOHA, "al", "nope")]
_IDS = [(f'"{one}"', one) for one in ["cus_a"] * 6 + ["cus_b", "cus_none", *_METHODS, *_METHODS]]


def seeds(part: int) -> range:
    return range(FIRST + part, FIRST + DOCUMENTS, PARTS)


def generated(schema: strawberry.Schema, seed: int, documents: Documents, **how: Any) -> tuple[Generated, Document]:
    """The seed's document, or where that is not valid, the next try's."""
    random = Random(seed)
    while True:
        kinds = ["query", "query", "mutation"] if schema is odd_graph.schema else ["query"]
        made = Generator(schema._schema, random, **how).document(random.choice(kinds))
        document = documents.prepare(made.text)
        if document.parse_error is None and not document.errors:
            return made, document


async def assert_equal(
    schema: strawberry.Schema, made: Generated, document: Document, context: Callable[[], Any], seed: int
) -> int:
    """Every kind of plan, each used twice; answers the number of errors that were compared."""
    first = context()
    wanted = await by_graphql_core(schema, document, made.variables, first)
    operation = document.operation(None)
    assert operation is not None
    for kind, is_fast in KINDS.items():
        plan = Plan(schema, operation, document.fragments, is_fast=is_fast)
        for use in ("first", "second"):
            second = context()
            found = await by_plan(plan, made.variables, second)
            told = differences(wanted, found)
            if told is None and getattr(first, "log", None) != getattr(second, "log", None):
                told = f"what was written\n  wanted {first.log}\n  found  {second.log}"
            assert told is None, f"seed {seed}, {kind}, {use} use: {told}\n{made.text}\n{made.variables}"
    return len(wanted.errors or ())


@pytest.mark.parametrize("part", range(PARTS))
async def test_the_wallet_graph(part: int) -> None:
    documents = Documents(wallet_schema._schema, max_bytes=1, max_tokens=100_000, suggest=False)
    compared = 0
    for seed in seeds(part):
        made, document = generated(wallet_schema, seed, documents, values={"ID": _IDS}, left_out=NOT_EQUAL_BY_NATURE)
        compared += await assert_equal(wallet_schema, made, document, lambda seed=seed: worlds.context(seed), seed)  # type: ignore[misc]
    assert compared, "no document of this part had an error: the faults are not reached"


@pytest.mark.parametrize("part", range(PARTS))
async def test_a_graph_of_oddities(part: int) -> None:
    schema = odd_graph.schema
    documents = Documents(schema._schema, max_bytes=1, max_tokens=100_000, suggest=False)
    compared = 0
    for seed in seeds(part):
        made, document = generated(schema, seed, documents)
        world = lambda seed=seed: odd_graph.World(seed, allowed=seed % 4 != 0)  # noqa: E731
        compared += await assert_equal(schema, made, document, world, seed)
    assert compared, "no document of this part had an error: the faults are not reached"
