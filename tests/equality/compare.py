"""Runs one document through two executors on equal data: the responses must be equal."""

import json
from collections.abc import Mapping
from inspect import isawaitable
from typing import Any

import orjson
import strawberry
from graphql import ExecutionResult, experimental_execute_incrementally

from app.execution.documents import Document
from app.execution.plan import Plan

KINDS = {"careful": False, "fast": True}


async def by_graphql_core(
    schema: strawberry.Schema, document: Document, variables: Mapping[str, Any], context: Any
) -> ExecutionResult:
    started: Any = experimental_execute_incrementally(
        schema._schema,
        document.node,
        variable_values=dict(variables),
        context_value=context,
        executor_class=schema.execution_context_class,
        operation_extensions=None,
        hide_suggestions=True,
    )
    return await started if isawaitable(started) else started


async def by_plan(plan: Plan, variables: Mapping[str, Any], context: Any) -> ExecutionResult:
    return await plan.start(variables, context, hide_suggestions=True)


def shown(result: ExecutionResult) -> tuple[str, list[str]]:
    """Data with its keys in order, and each error with its path, locations and extensions in their order."""
    data = json.dumps(result.data, default=_unusual)
    return data, [json.dumps(error.formatted, default=repr) for error in result.errors or ()]


def decoded(data: Any) -> Any:
    """Data of which parts may be encoded already: see `app.execution.encoded_lists`."""
    return json.loads(json.dumps(data, default=_unusual))


def _unusual(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value)) if isinstance(value, orjson.Fragment) else repr(value)


def differences(wanted: ExecutionResult, found: ExecutionResult) -> str | None:
    """None where the answers are equal: data with key order, errors with message, locations, path, order."""
    data, errors = shown(wanted)
    other_data, other_errors = shown(found)
    if data != other_data:
        return f"data\n  wanted {data}\n  found  {other_data}\n  errors {errors}\n  found  {other_errors}"
    if errors == other_errors:
        return None
    if sorted(errors) == sorted(other_errors):
        return f"order of errors\n  wanted {errors}\n  found  {other_errors}\n  data {data}"
    if all(_is_moot(error, wanted) for error in _only_in_one(wanted, found)):
        return None
    return f"errors\n  wanted {errors}\n  found  {other_errors}\n  data {data}"


def _only_in_one(wanted: ExecutionResult, found: ExecutionResult) -> list[Any]:
    one = {json.dumps(error.formatted, default=repr): error for error in wanted.errors or ()}
    two = {json.dumps(error.formatted, default=repr): error for error in found.errors or ()}
    return [error for text, error in {**one, **two}.items() if (text in one) != (text in two)]


def _is_moot(error: Any, result: ExecutionResult) -> bool:
    """Whether something strictly above the error's place is null, so that a cancelled sibling may or may not have told
    of it (the specification allows either), while the null itself is explained by an error that both have."""
    place: Any = result.data
    for depth, key in enumerate(error.path or ()):
        if place is None:
            above = list(error.path)[:depth]
            return any(list(other.path or ())[:depth] == above for other in result.errors or () if other is not error)
        place = place[key]
    return False
