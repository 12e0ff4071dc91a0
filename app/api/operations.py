"""Runs one GraphQL operation, the same for every transport: find the document, admit, execute, mask errors."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import strawberry
from graphql import ExecutionResult, GraphQLError, OperationDefinitionNode, OperationType
from graphql.error import located_error
from msgspec import Struct

from app.api import error_format
from app.api.encoding import encoded, encoded_at_once
from app.api.introspection import IntrospectionCache
from app.api.limits.admission import Admission
from app.api.limits.card_numbers import check_name, check_variables
from app.api.parts import PartsEncoder
from app.api.problems import RequestRefused
from app.api.protocols import RequestContext, RequestPolicy
from app.api.request import GraphQLRequest
from app.api.request_record import RequestRecord
from app.execution.budget import ExecutionBudget, TooLarge, Turns
from app.execution.documents import Document
from app.execution.run import run_incrementally, run_operation, run_subscription


class PreparedOperation(Struct):  # created in C, without a Python call: one per request
    """An admitted operation. No upstream call has been made yet."""

    request: GraphQLRequest
    caller: Any
    document: Document
    operation: OperationDefinitionNode
    admission: Admission
    is_mutation: bool
    is_subscription: bool
    context: RequestContext | None = None
    """Set when it runs."""


class Outcome(Struct):  # created in C, without a Python call: one per request
    """A response body. `was_executed` is False if the variables do not match their types; then there is no `data`.
    `has_failed` is True if the gateway failed internally, `has_next` if parts of an operation with `@defer` follow.
    """

    body: dict[str, Any]
    was_executed: bool = True
    has_failed: bool = False
    has_next: bool = False


class Most(Protocol):
    """The limits that `OperationRunner` enforces."""

    @property
    def document_characters(self) -> int: ...

    @property
    def response_fields(self) -> int: ...

    @property
    def response_bytes(self) -> int: ...


class OperationRunner:
    """Prepares and runs operations."""

    def __init__(self, schema: strawberry.Schema, policy: RequestPolicy, most: Most) -> None:
        self._schema = schema
        self._policy = policy
        self._most = most
        self._turns = Turns()
        self._introspection = IntrospectionCache()

    async def prepare(self, request: GraphQLRequest, caller: Any, *, streams: bool = False) -> PreparedOperation:
        """Raises RequestRefused. `streams`: True if the transport can carry a subscription."""
        if request.query is not None and len(request.query) > self._most.document_characters:
            raise RequestRefused("TOKEN_LIMIT", limit=self._most.document_characters)
        document = await self._policy.document(request, caller)
        name = request.operation_name
        operation = document.sole if name is None else document.operations.get(name)
        if operation is None or document.errors or document.parse_error is not None:
            operation = runnable(document, name)
        if request.variables:
            check_variables(document, request.variables)
        kind = operation.operation
        is_mutation, is_subscription = kind is OperationType.MUTATION, kind is OperationType.SUBSCRIPTION
        if request.is_get and is_mutation:
            raise RequestRefused("METHOD_NOT_ALLOWED", "Mutations must be sent by POST.", headers={"allow": "POST"})
        if is_subscription and not streams:
            raise RequestRefused(
                "NOT_ACCEPTABLE", "Subscriptions need WebSocket, text/event-stream or multipart/mixed."
            )
        admission = await self._policy.admit(document, operation, request, caller)
        return PreparedOperation(request, caller, document, operation, admission, is_mutation, is_subscription)

    async def run(self, prepared: PreparedOperation, record: RequestRecord) -> Outcome:
        """Execute a query or mutation in one response, and note in `record` what failed."""
        request, request_id = prepared.request, record.request_id
        context = self._context(prepared, record)
        try:
            key = self._introspection.key(prepared.document, prepared.operation, request.variables)
            known = self._introspection.get(key) if key is not None else None
            if known is not None:
                return _executed(known, [], context, prepared, request_id)
            result = await run_operation(
                self._schema, prepared.document, request.operation_name, request.variables, context
            )
            shown = None if result.errors else encoded_at_once(result.data, context.budget, self._most.response_bytes)
            if shown is not None:
                outcome = _executed(shown, (), context, prepared, request_id)
            else:
                outcome = await _outcome(result, context, prepared, request_id)
            if "errors" in outcome.body or outcome.has_failed:
                record.note(outcome)
            if key is not None and outcome.was_executed and not result.errors and "errors" not in outcome.body:
                self._introspection.put(key, outcome.body["data"])
            return outcome
        finally:
            context.close()  # cancels upstream reads that no other request shares

    async def parts(self, prepared: PreparedOperation, record: RequestRecord) -> AsyncIterator[Outcome]:
        """As `run`, with deferred fragments in later parts, in the newer format of `app.api.parts`. A response without
        any is the only one, as from `run`.
        """
        request, request_id = prepared.request, record.request_id
        context = self._context(prepared, record)
        coming: asyncio.Future[Any] | None = None
        try:
            result = await run_incrementally(
                self._schema, prepared.document, request.operation_name, request.variables, context
            )
            if isinstance(result, ExecutionResult):
                outcome = await _outcome(result, context, prepared, request_id)
                record.note(outcome)
                yield outcome
                return
            rest = result.subsequent_results
            coming = asyncio.ensure_future(anext(rest))  # starts what waits for the initial result

            def extensions() -> Any:
                return _executed(None, (), context, prepared, request_id).body["extensions"]

            encoder = PartsEncoder(context.budget, request_id, extensions)
            body = await encoder.first(result.initial_result)
            if not body["hasNext"]:
                del body["hasNext"]  # too large: a response without parts
            while True:
                has_failed = context.has_failed or encoder.has_failed
                outcome = Outcome(body, has_failed=has_failed, has_next=body.get("hasNext", False))
                record.note(outcome)
                yield outcome
                if not outcome.has_next:
                    return
                body = await encoder.next(await coming)
                if body["hasNext"]:
                    coming = asyncio.ensure_future(anext(rest))
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})
                await rest.aclose()
            context.close()

    async def events(self, prepared: PreparedOperation, record: RequestRecord) -> AsyncIterator[Outcome]:
        """The responses of a subscription, in order. A response that was not executed is the only one."""
        request, request_id = prepared.request, record.request_id
        context = self._context(prepared, record)
        if last := record.headers.get("last-event-id"):
            context.resume_after = last
        try:
            started = await run_subscription(
                self._schema, prepared.document, request.operation_name, request.variables, context
            )
            if isinstance(started, ExecutionResult):
                yield await _outcome(started, context, prepared, request_id)
                return
            async with aclosing(started) as results:  # type: ignore[type-var]
                async for result in results:
                    yield await _outcome(result, context, prepared, request_id)
        except GraphQLError as error:  # the source raised it and has ended
            body = {
                "errors": error_format.format_execution_errors([error], request_id),
                "extensions": {"requestId": request_id},
            }
            yield Outcome(body, was_executed=False)
        finally:
            context.close()

    def _context(self, prepared: PreparedOperation, record: RequestRecord) -> RequestContext:
        prepared.context = context = self._policy.context(prepared.caller, record)
        context.budget = ExecutionBudget(self._most.response_fields, self._most.response_bytes, self._turns)
        return context


def runnable(document: Document, operation_name: str | None) -> OperationDefinitionNode:
    """The operation to run; raises RequestRefused if the document is invalid or the operation ambiguous or missing."""
    if document.parse_error is not None:
        code = error_format.syntax_code(document.parse_error)
        raise RequestRefused(code, errors=error_format.format_document_errors([document.parse_error], code))
    if document.errors:
        code = (document.errors[0].extensions or {}).get("code", "GRAPHQL_VALIDATION_FAILED")
        raise RequestRefused(
            code, errors=error_format.format_document_errors(document.errors, "GRAPHQL_VALIDATION_FAILED")
        )
    operation = document.operation(operation_name)
    if operation is None:
        if not document.operations:
            raise RequestRefused("BAD_REQUEST", "The document contains no operation.")
        if operation_name is not None:
            check_name(operation_name)
            raise RequestRefused("OPERATION_RESOLUTION_FAILURE", "The document contains no operation of this name.")
        raise RequestRefused("OPERATION_RESOLUTION_FAILURE")
    return operation


async def _outcome(
    result: ExecutionResult, context: RequestContext, prepared: PreparedOperation, request_id: str
) -> Outcome:
    data, errors = result.data, list(result.errors or ())
    if errors and data is None and all(error.path is None for error in errors) and context.budget.error is None:
        return Outcome(
            {"errors": error_format.format_variable_errors(errors), "extensions": {"requestId": request_id}}, False
        )
    shown: Any = None
    if data is not None:
        try:
            shown = await encoded(data, context.budget)
        except TooLarge as error:
            shown, errors = _left_out(data, error, is_mutation=prepared.is_mutation)
    return _executed(shown, errors, context, prepared, request_id)


def _executed(
    shown: Any, errors: Sequence[GraphQLError], context: RequestContext, prepared: PreparedOperation, request_id: str
) -> Outcome:
    """`shown` is the data as it is sent."""
    body: dict[str, Any] = {}
    if errors:
        body["errors"] = error_format.format_execution_errors(errors, request_id)
    body["data"] = shown
    admission = prepared.admission
    cost: dict[str, Any] = {"requested": admission.requested, "actual": context.upstream_calls}
    if admission.throttle is not None:
        cost["throttle"] = admission.throttle
    extensions: dict[str, Any] = {"eventId": context.event_id} if context.event_id else {}
    extensions["requestId"], extensions["cost"] = request_id, cost
    extensions.update(context.response_extensions())
    body["extensions"] = extensions
    return Outcome(body, has_failed=context.has_failed or bool(errors and error_format.has_failed(body["errors"])))


def _left_out(data: dict[str, Any], error: TooLarge, *, is_mutation: bool) -> tuple[Any, list[GraphQLError]]:
    """The rest of a response that exceeded the size limit while it was encoded. For a mutation, each field that ran is
    null.
    """
    if not is_mutation:
        return None, [error]
    return dict.fromkeys(data), [located_error(error, None, [key]) for key in data]
