"""Random documents with `@defer`, through graphql-core and through plans: what is delivered in the end is equal.

When a part arrives depends on turns of the event loop, so parts are compared after they are merged, and in what they
complete. The variables are those of `test_equality`.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import pytest
import strawberry
from graphql import ExecutionResult, ExperimentalIncrementalExecutionResults, GraphQLError
from graphql.execution.incremental import IncrementalExecutor

from app.execution.documents import Document, DocumentCache
from app.execution.plan import Plan
from app.execution.run import run_incrementally, run_operation
from resolvers.schema import schema as wallet_schema
from tests.equality import odd_graph, worlds
from tests.equality.compare import KINDS, by_graphql_core, differences
from tests.equality.test_equality import _IDS, NOT_EQUAL_BY_NATURE, PARTS, generated, pytestmark, seeds

__all__ = ["pytestmark"]
_ABOUT_THE_TEXT: Final = frozenset({"Query.selected"})  # shows `@defer` itself
_PARTS: Final = range(0, PARTS, 2)  # half as many documents
Delivered = tuple[ExecutionResult, int]


async def merged(result: Any) -> Delivered:
    """The result with its parts merged into it, in a canonical order of keys; and the number of deferred fragments.

    A fragment that failed is an error at its path.
    """
    if isinstance(result, ExecutionResult):
        return _canonical(result.data, list(result.errors or ())), 0
    assert isinstance(result, ExperimentalIncrementalExecutionResults)
    first = result.initial_result
    data, errors, pending, count = first.data, list(first.errors or ()), {}, 0
    for one in first.pending:
        pending[one.id] = one
    assert first.has_next
    has_next = True
    async for part in result.subsequent_results:
        assert has_next
        has_next = part.has_next
        pending.update({one.id: one for one in part.pending or ()})
        for one in part.incremental or ():
            place: Any = data
            for key in [*pending[one.id].path, *(one.sub_path or ())]:
                place = place[key]
            assert not place.keys() & one.data.keys() or all(isinstance(place[k], dict | list) for k in one.data)
            _merge(place, one.data)
            errors += one.errors or ()
        for one in part.completed or ():
            fragment = pending.pop(one.id)
            count += 1
            if one.errors:
                errors.append(GraphQLError(f"{fragment.label}: {one.errors[0].message}", path=fragment.path))
    assert not has_next
    assert not pending
    return _canonical(data, errors), count


def _merge(place: dict[str, Any], data: Mapping[str, Any]) -> None:
    for key, value in data.items():
        if isinstance(value, dict) and isinstance(place.get(key), dict):
            _merge(place[key], value)
        else:
            place[key] = value


def _canonical(data: Any, errors: list[GraphQLError]) -> ExecutionResult:
    ordered = sorted(errors, key=lambda error: json.dumps(error.formatted, default=repr))
    return ExecutionResult(json.loads(json.dumps(data, sort_keys=True, default=repr)), ordered)


async def by_plan(
    schema: strawberry.Schema, document: Document, variables: Mapping[str, Any], context: Any, *, is_fast: bool
) -> Any:
    operation = document.operation(None)
    assert operation is not None
    plan = Plan(schema, operation, document.fragments, is_fast=is_fast)
    return await plan.start(variables, context, hide_suggestions=True)


@pytest.mark.parametrize("part", _PARTS)
async def test_the_wallet_graph(part: int) -> None:
    """Customers are read again for their deferred fields, also without a plan."""
    documents = DocumentCache(wallet_schema._schema, max_bytes=1, max_tokens=100_000, suggest=False)
    compared = 0
    for seed in seeds(part):
        how: Any = {"values": {"ID": _IDS}, "left_out": NOT_EQUAL_BY_NATURE, "deferred": 0.6}
        made, document = generated(wallet_schema, seed, documents, **how)
        context = worlds.contexts(seed)()
        wanted, count = await merged(await run_incrementally(wallet_schema, document, None, made.variables, context))
        compared += count
        for kind, is_fast in KINDS.items():
            context = worlds.contexts(seed)()
            found, _ = await merged(await by_plan(wallet_schema, document, made.variables, context, is_fast=is_fast))
            difference = differences(wanted, found)
            assert difference is None, f"seed {seed}, {kind}: {difference}\n{made.text}\n{made.variables}"
    assert compared


@pytest.mark.parametrize("part", _PARTS)
async def test_a_graph_of_oddities(part: int) -> None:
    """Against graphql-core's own executor."""
    schema = odd_graph.schema
    documents = DocumentCache(schema._schema, max_bytes=1, max_tokens=100_000, suggest=False)
    compared = 0
    for seed in seeds(part):
        made, document = generated(schema, seed, documents, deferred=0.6, left_out=_ABOUT_THE_TEXT)
        world = partial(odd_graph.World, seed, allowed=seed % 4 != 0)
        assert issubclass(schema.execution_context_class, IncrementalExecutor)
        wanted, count = await merged(await by_graphql_core(schema, document, made.variables, world()))
        compared += count
        executions = {
            "own executor": run_incrementally(schema, document, None, made.variables, world()),
            **{
                kind: by_plan(schema, document, made.variables, world(), is_fast=is_fast)
                for kind, is_fast in KINDS.items()
            },
        }
        for kind, execution in executions.items():
            difference = differences(wanted, (await merged(await execution))[0])
            assert difference is None, f"seed {seed}, {kind}: {difference}\n{made.text}\n{made.variables}"
        if not wanted.errors:
            whole = await run_operation(schema, document, None, made.variables, world())
            assert _canonical(whole.data, []).data == wanted.data, f"seed {seed}, in one part\n{made.text}"
    assert compared
