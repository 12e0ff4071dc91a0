"""POST and GET /graphql: from bytes to bytes, in the order that costs an attacker most and us least.

Negotiate, authenticate, read, parse the envelope, find the document, admit it (limits, scopes, cost, rate), execute,
mask, encode. Each step that refuses raises `Refused`; nothing after it runs.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import strawberry
from graphql import OperationDefinitionNode
from starlette.types import Receive, Scope, Send
from ulid import ULID

from app.execution.documents import Document, is_mutation, is_subscription
from app.execution.run import run_operation
from app.gate import mask
from app.gate.answers import Answer, json_answer, refusal
from app.gate.negotiation import AnswerType, answer_type, is_json_body
from app.gate.problems import Refused
from app.gate.request import Batch, GraphQLRequest, from_body, from_query_string

_log = logging.getLogger("vaultgraph.gate")


class RequestContext(Protocol):
    """What the resolvers' context shows to the gate after an operation ran."""

    def response_extensions(self) -> Mapping[str, Any]: ...

    def close(self) -> None: ...


class Gatekeeper(Protocol):
    """Who may ask what, and how much. `docs/security.md` lists the rules."""

    async def authenticate(self, headers: Mapping[str, str]) -> Any:
        """The caller; raises Refused(UNAUTHENTICATED)."""
        ...

    async def document(self, request: GraphQLRequest, caller: Any) -> Document:
        """The document that the request names, by text or id; raises Refused."""
        ...

    async def admit(
        self, document: Document, operation: OperationDefinitionNode, request: GraphQLRequest, caller: Any
    ) -> None:
        """Limits, scopes of root mutation fields, cost, rate; raises Refused. Nothing upstream has been called yet."""
        ...

    def context(self, caller: Any, request_id: str, headers: Mapping[str, str]) -> RequestContext: ...


@dataclass(frozen=True, slots=True)
class EndpointLimits:
    """Bytes and depth of one request's body."""

    body_bytes: int = 256_000
    json_depth: int = 64


class GraphQLEndpoint:
    """A pure ASGI application for one path. `page` answers a browser, where GraphiQL is on."""

    def __init__(
        self, schema: strawberry.Schema, gatekeeper: Gatekeeper, limits: EndpointLimits, page: Answer | None = None
    ) -> None:
        self._schema = schema
        self._gate = gatekeeper
        self._limits = limits
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = request_id_from(headers)
        kind = AnswerType.JSON_BY_DEFAULT
        try:
            if self._page is not None and scope["method"] == "GET" and _is_browser(headers, scope["query_string"]):
                answer = self._page
            else:
                kind = _acceptable(headers)
                answer = await self._answer(scope, receive, headers, kind, request_id)
        except Refused as refused:
            answer = refusal(refused, kind, request_id)
        except Exception:  # noqa: BLE001 - the last line: a bug is logged, masked and answered
            _log.exception("request %s failed", request_id)
            answer = refusal(Refused("INTERNAL_SERVER_ERROR", requestId=request_id), kind, request_id)
        await answer.send(send, [(b"x-request-id", request_id.encode())], body=scope["method"] != "HEAD")

    async def _answer(
        self, scope: Scope, receive: Receive, headers: Mapping[str, str], kind: AnswerType, request_id: str
    ) -> Answer:
        if scope["method"] not in ("GET", "POST"):
            raise Refused("METHOD_NOT_ALLOWED", headers={"allow": "GET, POST"})
        caller = await self._gate.authenticate(headers)
        if scope["method"] == "POST":
            if not is_json_body(headers.get("content-type")) or "content-encoding" in headers:
                raise Refused("UNSUPPORTED_MEDIA_TYPE")
            request = from_body(await self._body(headers, receive), max_depth=self._limits.json_depth)
        else:
            request = from_query_string(scope["query_string"], max_depth=self._limits.json_depth)
        if isinstance(request, Batch):
            raise Refused("BATCH_LIMIT")
        return await self._execute(request, caller, headers, kind, request_id)

    async def _execute(
        self, request: GraphQLRequest, caller: Any, headers: Mapping[str, str], kind: AnswerType, request_id: str
    ) -> Answer:
        document = await self._gate.document(request, caller)
        operation = runnable(document, request.operation_name)
        if is_subscription(operation):
            raise Refused("METHOD_NOT_ALLOWED", "Subscriptions go over WebSocket or server-sent events.")
        if request.is_get and is_mutation(operation):
            raise Refused("METHOD_NOT_ALLOWED", "Mutations go by POST.", headers={"allow": "POST"})
        await self._gate.admit(document, operation, request, caller)
        context = self._gate.context(caller, request_id, headers)
        try:
            result = await run_operation(self._schema, document, request.operation_name, request.variables, context)
        finally:
            context.close()  # whatever is still on its way for nobody else ends here
        body: dict[str, Any] = {}
        if result.errors:
            body["errors"] = mask.shown(result.errors, request_id)
        status = 200
        if result.data is None and result.errors and all(error.path is None for error in result.errors):
            status = 200 if kind.refuses_with_200 else 400  # the variables did not fit: nothing was executed
        else:
            body["data"] = result.data
        body["extensions"] = {"requestId": request_id, **context.response_extensions()}
        return json_answer(body, kind, status)

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        limit = self._limits.body_bytes
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise Refused("BODY_LIMIT")
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refused("BAD_REQUEST", "The client went away.")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise Refused("BODY_LIMIT")
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def runnable(document: Document, operation_name: str | None) -> OperationDefinitionNode:
    """The operation to run; raises Refused where the document is broken or does not name one."""
    if document.parse_error is not None:
        raise Refused("GRAPHQL_PARSE_FAILED", errors=mask.faults([document.parse_error], "GRAPHQL_PARSE_FAILED"))
    if document.errors:
        raise Refused("GRAPHQL_VALIDATION_FAILED", errors=mask.faults(document.errors, "GRAPHQL_VALIDATION_FAILED"))
    operation = document.operation(operation_name)
    if operation is None:
        raise Refused("OPERATION_RESOLUTION_FAILURE" if document.operations else "BAD_REQUEST")
    return operation


def request_id_from(headers: Mapping[str, str]) -> str:
    """The caller's X-Request-Id where it is short and plain, else a new ULID."""
    given = headers.get("x-request-id", "")
    if 8 <= len(given) <= 128 and given.isascii() and given.replace("-", "").replace("_", "").isalnum():
        return given
    return str(ULID())


def _acceptable(headers: Mapping[str, str]) -> AnswerType:
    kind = answer_type(headers.get("accept"))
    if kind is None or kind in (AnswerType.EVENT_STREAM, AnswerType.MULTIPART):
        raise Refused("NOT_ACCEPTABLE")
    return kind


def _is_browser(headers: Mapping[str, str], query_string: bytes) -> bool:
    return "text/html" in headers.get("accept", "") and b"query=" not in query_string
