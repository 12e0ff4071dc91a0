"""Running one prepared operation against the Strawberry schema, without Strawberry's per-request pipeline.

Parsing, validation, limits, masking and logging are the gate's; what is left of `Schema.execute` is this call.
"""

from collections.abc import AsyncIterator, Mapping
from inspect import isawaitable
from typing import Any

import strawberry
from graphql import ExecutionResult, execute, subscribe

from app.execution.documents import Document


async def run_operation(
    schema: strawberry.Schema,
    document: Document,
    operation_name: str | None,
    variables: Mapping[str, Any],
    context: Any,
    *,
    suggest: bool = False,
) -> ExecutionResult:
    """Execute a query or mutation. Errors of resolvers and of variables are in the result, never raised.

    By its plan where the document has one: the answer is the same (`tests/equality`).
    """
    assert document.node is not None
    if document.plans is not None:
        planned = await document.plans.execute(
            document, operation_name, variables, context, hide_suggestions=not suggest
        )
        if planned is not None:
            return planned
    result = execute(
        schema._schema,
        document.node,
        variable_values=dict(variables),
        operation_name=operation_name,
        context_value=context,
        executor_class=schema.execution_context_class,
        operation_extensions=None,
        hide_suggestions=not suggest,
    )
    return await result if isawaitable(result) else result


async def run_subscription(
    schema: strawberry.Schema,
    document: Document,
    operation_name: str | None,
    variables: Mapping[str, Any],
    context: Any,
    *,
    suggest: bool = False,
) -> AsyncIterator[ExecutionResult] | ExecutionResult:
    """Start a subscription: a stream of results, or one result that says why there is none."""
    assert document.node is not None
    started = subscribe(
        schema._schema,
        document.node,
        variable_values=dict(variables),
        operation_name=operation_name,
        context_value=context,
        executor_class=schema.execution_context_class,
        operation_extensions=None,
        hide_suggestions=not suggest,
    )
    return await started if isawaitable(started) else started
