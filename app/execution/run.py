"""Runs one validated operation against the Strawberry schema, without Strawberry's per-request pipeline.

Replaces `Schema.execute`: the HTTP API does parsing, validation, limits, error formatting and logging.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from inspect import isawaitable
from typing import Any

import strawberry
from graphql import ExecutionResult, execute, subscribe

from app.execution.budget import TooLarge
from app.execution.documents import Document
from app.execution.executor import BoundedExecutor


async def run_operation(
    schema: strawberry.Schema,
    document: Document,
    operation_name: str | None,
    variables: Mapping[str, Any],
    context: Any,
    *,
    suggest: bool = False,
) -> ExecutionResult:
    """Execute a query or mutation. Errors of resolvers and variables are in the result, never raised.

    Uses the operation's plan if there is one; the result is the same (`tests/equality`).
    """
    assert document.node is not None
    if document.plans is not None:
        planned = await document.plans.execute(
            document, operation_name, variables, context, hide_suggestions=not suggest
        )
        if planned is not None:
            return planned if planned.data is not None else _whole(planned)
    made = execute(
        schema._schema,
        document.node,
        variable_values=dict(variables),
        operation_name=operation_name,
        context_value=context,
        executor_class=BoundedExecutor,
        operation_extensions=None,
        hide_suggestions=not suggest,
    )
    return _whole(await made if isawaitable(made) else made)


async def run_subscription(
    schema: strawberry.Schema,
    document: Document,
    operation_name: str | None,
    variables: Mapping[str, Any],
    context: Any,
    *,
    suggest: bool = False,
) -> AsyncIterator[ExecutionResult] | ExecutionResult:
    """Start a subscription: a stream of results, or one result with the errors that prevented it."""
    assert document.node is not None
    started = subscribe(
        schema._schema,
        document.node,
        variable_values=dict(variables),
        operation_name=operation_name,
        context_value=context,
        executor_class=BoundedExecutor,
        operation_extensions=None,
        hide_suggestions=not suggest,
    )
    found = await started if isawaitable(started) else started
    return found if isinstance(found, ExecutionResult) else _each_whole(found)


async def _each_whole(results: AsyncIterator[ExecutionResult]) -> AsyncIterator[ExecutionResult]:
    async with aclosing(results):  # type: ignore[type-var]
        async for result in results:
            yield _whole(result)


def _whole(result: ExecutionResult) -> ExecutionResult:
    """If the response is too large, report that error alone."""
    if result.data is None:
        for error in result.errors or ():
            if isinstance(error, TooLarge):
                return ExecutionResult(None, [error])
    return result
