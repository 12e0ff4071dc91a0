"""Runs one validated operation against the Strawberry schema, without Strawberry's per-request pipeline.

Replaces `Schema.execute`: the HTTP API does parsing, validation, limits, error formatting and logging.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from inspect import isawaitable
from typing import Any

import strawberry
from graphql import ExecutionResult, experimental_execute_incrementally, subscribe

from app.execution.budget import TooLarge
from app.execution.deferred import Result
from app.execution.documents import Document, is_mutation
from app.execution.executor import BoundedExecutor, DeferringExecutor


async def run_operation(
    schema: strawberry.Schema,
    document: Document,
    operation_name: str | None,
    variables: Mapping[str, Any],
    context: Any,
    *,
    suggest: bool = False,
) -> ExecutionResult:
    """Execute a query or mutation; `@defer` is ignored. Errors of resolvers and variables are in the result, never
    raised. Lists in the data may be encoded already: see `encoded_lists`.

    Uses the operation's plan if there is one; the result is the same (`tests/equality`).
    """
    if document.has_defer:
        document = document.without_defer
    assert document.node is not None
    if document.plans is not None:
        started = document.plans.start(document, operation_name, variables, context, hide_suggestions=not suggest)
        if started is not None:
            planned = await started
            assert isinstance(planned, ExecutionResult)
            return planned if planned.data is not None else _whole(planned)
    made: Any = experimental_execute_incrementally(  # `execute` refuses schemas with `@defer`
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


async def run_incrementally(
    schema: strawberry.Schema,
    document: Document,
    operation_name: str | None,
    variables: Mapping[str, Any],
    context: Any,
    *,
    suggest: bool = False,
) -> Result:
    """As `run_operation`, but deferred fragments follow the initial result, if the operation met any.

    Close `subsequent_results`, also before its first item: that cancels what is still running.
    """
    assert document.node is not None
    if document.plans is not None:
        started = document.plans.start(document, operation_name, variables, context, hide_suggestions=not suggest)
        if started is not None:
            planned = await started
            return _whole(planned) if isinstance(planned, ExecutionResult) else planned
    operation = document.operation(operation_name)
    executor: Any = DeferringExecutor.build(
        schema._schema,
        document.node,
        raw_variable_values=dict(variables),
        operation_name=operation_name,
        context_value=context,
        operation_extensions=None,
        hide_suggestions=not suggest,
        enable_early_execution=operation is not None and not is_mutation(operation),
    )
    if isinstance(executor, list):
        return ExecutionResult(None, errors=executor)
    try:
        made = executor.execute_operation()
        result: Any = await made if isawaitable(made) else made
    except BaseException:
        await executor.cancel_incremental_work()
        raise
    return _whole(result) if isinstance(result, ExecutionResult) else result


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
    if document.has_defer:
        document = document.without_defer
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
