"""GET, POST and WebSocket on /graphql.

Steps, cheapest first: shed load, negotiate, authenticate, read the body, parse the envelope, find the document, admit
it (limits, scopes, cost, rate), execute, mask errors, encode. A step that refuses raises `RequestRefused` and ends the
request.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import strawberry
from starlette.types import Receive, Scope, Send

from app.api.compression import send_compressed
from app.api.cors import OriginPolicy
from app.api.disconnect import DisconnectWatch, DisconnectWatcher
from app.api.error_format import masked
from app.api.etag import PATH, id_in_path, with_etag
from app.api.headers import RequestHead, connection_of, count_connection, head_of
from app.api.negotiation import Accepted, AnswerType, Parts, StreamType, is_json_body
from app.api.operations import OperationRunner, Outcome, PreparedOperation
from app.api.parts import converter
from app.api.problems import RequestRefused
from app.api.protocols import Door, RequestPolicy
from app.api.request import Batch, GraphQLRequest, from_body, from_query_string
from app.api.request_record import OnRequest, RequestRecord
from app.api.response import HttpResponse, encode, json_answer, refusal, refusal_body
from app.api.streams.multipart import MULTIPART, MULTIPART_PARTS
from app.api.streams.sse import EVENTS, Framing, send_events
from app.api.streams.websocket import SocketLimits, SocketServer
from app.telemetry.redact import RedactingFilter
from app.telemetry.request_id import REQUEST_ID, new_request_id
from app.telemetry.trace_context import read_trace_context
from app.telemetry.tracing import SPANS
from app.vault.pan import looks_like_card_number

_METHODS: Final = "GET, POST, OPTIONS"
_ROUTE_OF_ID: Final = f"{PATH}/{{document_id}}"
_log = logging.getLogger("vaultgraph.api")
_log.addFilter(RedactingFilter())


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLimits:
    """Limits of the HTTP layer. `batch_items` 0 and 1 disable batching, `compress_from_bytes` 0 compression."""

    body_bytes: int = 256_000
    json_depth: int = 64
    body_timeout_s: float = 10.0
    document_characters: int = 60_000
    response_fields: int = 100_000
    response_bytes: int = 16_000_000
    max_in_flight: int = 4_000
    batch_items: int = 0
    compress_from_bytes: int = 1_024
    send_timeout_s: float = 10.0
    recheck_s: float = 10.0


class GraphQLEndpoint:
    """ASGI application for one path. `page` is served to browsers if GraphiQL is enabled."""

    def __init__(
        self,
        schema: strawberry.Schema,
        policy: RequestPolicy,
        limits: EndpointLimits | None = None,
        page: HttpResponse | None = None,
        *,
        origins: OriginPolicy | None = None,
        sockets: SocketLimits | None = None,
        on_request: OnRequest | None = None,
    ) -> None:
        self._policy = policy
        self._limits = limits = limits or EndpointLimits()
        self._page = page
        self._origins = origins or OriginPolicy()
        self.operations = OperationRunner(schema, policy, limits)
        self._draining = asyncio.Event()
        self._sockets = SocketServer(
            self.operations,
            policy,
            self._origins,
            sockets or SocketLimits(),
            json_depth=limits.json_depth,
            on_request=on_request,
        )
        self.doors: dict[str, Door] = {}
        self._on_request = on_request
        self._watcher = DisconnectWatcher()
        self.in_flight = 0
        """HTTP requests, without streams, which are limited per caller and do not count for load shedding."""

    @property
    def sockets(self) -> int:
        """Open WebSockets."""
        return len(self._sockets)

    def begin_drain(self) -> None:
        """Complete open streams and refuse new ones; other requests continue."""
        self._draining.set()
        self._sockets.begin_drain()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Not a coroutine itself: each one around another is run again whenever a request goes on."""
        return (self._sockets if scope["type"] == "websocket" else self._served)(scope, receive, send)

    async def _served(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.in_flight += 1
        record = RequestRecord()
        try:
            head = head_of(scope)
            headers = head.headers
            request_id = request_id_from(headers) if "x-request-id" in headers else new_request_id()
            REQUEST_ID.set(request_id)
            record.request_id, record.headers, record.method = request_id, headers, scope["method"]
            if "traceparent" in headers:
                record.trace = read_trace_context(headers)
            if SPANS.tracer is not None:
                SPANS.tracer.begin(record)
            kind = AnswerType.JSON_BY_DEFAULT
            watch = self._watcher.watch(receive)
            try:
                if head.repeated:
                    raise RequestRefused("BAD_REQUEST", f"The header {head.repeated} must not be sent twice.")
                if self.in_flight > self._limits.max_in_flight:
                    raise RequestRefused("OVERLOADED", headers={"retry-after": "1"})
                if self._origins.limits_hosts:
                    self._origins.check_host(headers)
                kind = head.accepted.answer or kind
                found = await self._found(scope, watch, head, record)
                if not isinstance(found, HttpResponse):
                    watch.end()
                    record.transport = "multipart" if found.framing is not EVENTS else "sse"
                    await self._stream(found, record, scope, receive, send)
                    return
                answer = found
            except RequestRefused as refused:
                record.code = refused.code
                answer = refusal(refused, kind, request_id)
            except _ClientLeft:
                return
            except asyncio.CancelledError:
                if not watch.ended_it():
                    raise
                if not watch.is_late:
                    return
                record.code = "REQUEST_TIMEOUT"
                answer = refusal(RequestRefused(record.code, headers={"connection": "close"}), kind, request_id)
            except Exception as error:  # noqa: BLE001 - the last line: a bug is logged, masked and answered
                record.has_failed = True
                failure = masked(error, request_id)
                record.code = failure.code
                answer = refusal(failure, kind, request_id)
            finally:
                watch.end()
            if record.status is None:
                record.status = answer.status
            is_large = answer.is_open and 0 < self._limits.compress_from_bytes <= len(answer.body)
            if is_large and "gzip" in headers.get("accept-encoding", ""):
                await send_compressed(
                    answer, _extra(request_id), self._limits.compress_from_bytes, scope, receive, send
                )
                return
            if answer.is_usual and not answer.headers:
                respond = getattr(send, "respond", None)  # of this server, where nothing wraps its `send`
                if respond is not None and respond(answer.status, answer.usual_lines(request_id), answer.body):
                    return
            await answer.send(send, _extra(request_id), body=scope["method"] != "HEAD")
        finally:
            self.in_flight -= 1
            if self._on_request is not None:
                self._on_request(record)

    async def _found(
        self, scope: Scope, watch: DisconnectWatch, head: RequestHead, record: RequestRecord
    ) -> "HttpResponse | _Stream":
        method, headers, allowed = scope["method"], head.headers, head.accepted
        if method == "OPTIONS":
            return HttpResponse(204, b"", headers={"allow": _METHODS})  # preflights are answered by `Cors`
        path, named = scope["path"], None
        if path != PATH:
            if path in self.doors:
                record.route = path
                return await self.doors[path](scope, watch, headers, record)
            named, record.route = id_in_path(path), _ROUTE_OF_ID
        if self._page is not None and method == "GET" and named is None and "text/html" in headers.get("accept", ""):
            return self._page
        if method not in ("GET", "POST"):
            raise RequestRefused("METHOD_NOT_ALLOWED", headers={"allow": _METHODS})
        if allowed.answer is None and allowed.stream is None and allowed.parts is None:
            raise RequestRefused("NOT_ACCEPTABLE")
        if method == "GET":  # POST requires JSON, for which a browser asks first
            self._origins.check_forgery(headers)
        record.caller = caller = self._policy.recognise(head) or await self._policy.authenticate(headers)
        count_connection(scope, caller.key)
        depth = self._limits.json_depth
        request: GraphQLRequest | Batch
        if method == "GET":
            request = from_query_string(scope["query_string"], max_depth=depth, document_id=named)
        else:
            request = from_body(await self.body(headers, watch), max_depth=depth, document_id=named)
        if isinstance(request, Batch):
            return await self._batch(request, caller, allowed, watch, record)
        record.request = request
        prepared = await self.operations.prepare(request, caller, streams=allowed.stream is not None)
        record.prepared = (prepared,)
        if prepared.is_subscription:
            if self._draining.is_set():
                record.code = "OVERLOADED"
                refused = RequestRefused(record.code, headers={"retry-after": "1", "connection": "close"})
                # Apollo Client subscribes again after a 503, but not if it is a GraphQL response.
                return refusal(refused, AnswerType.JSON_BY_DEFAULT, record.request_id)
            framing = MULTIPART if allowed.stream is StreamType.MULTIPART else EVENTS
            return _Stream(_bodies(self.operations.events(prepared, record), record), caller, framing)
        watch.is_cancelled_on_leaving = not prepared.is_mutation  # a mutation always completes
        if prepared.document.has_defer and allowed.parts is not None:
            outcomes = self.operations.parts(prepared, record)
            outcome = await anext(outcomes)
            if outcome.has_next:
                return _parts(outcome, outcomes, record, caller, allowed.parts)
            await outcomes.aclose()  # type: ignore[attr-defined]
        else:
            outcome = await self.operations.run(prepared, record)
        if allowed.answer is None:
            return _single(outcome, record, caller, allowed)
        status = 200 if outcome.was_executed or allowed.answer.refuses_with_200 else 400
        body, content_type = encode(outcome.body), allowed.answer.content_type
        answer = HttpResponse(status, body, content_type, is_open=not prepared.is_mutation, is_usual=True)
        return with_etag(answer, outcome.body, headers) if named is not None and method == "GET" else answer

    async def _stream(
        self,
        stream: "_Stream",
        record: RequestRecord,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        async def is_still_welcome() -> bool:
            return await self._policy.revalidate(stream.caller) is not None

        send_all = partial(
            send_events,
            stream.bodies,
            receive,
            send,
            _extra(record.request_id),
            None if stream.ends else self._draining,
            send_within_s=self._limits.send_timeout_s,
            is_still_welcome=is_still_welcome,
            look_every_s=self._limits.recheck_s,
            connection=connection_of(scope),
            framing=stream.framing,
        )
        if stream.ends:
            await send_all()
            return
        record.status = 200
        with self._sockets.one_more(stream.caller.key):
            self.in_flight -= 1
            try:
                await send_all()
            finally:
                self.in_flight += 1

    async def _batch(
        self,
        batch: Batch,
        caller: Any,
        allowed: Accepted,
        watch: DisconnectWatch,
        record: RequestRecord,
    ) -> HttpResponse:
        """Admit (and charge) all items before the first one runs, then run them in sequence."""
        if allowed.answer is None:
            raise RequestRefused("NOT_ACCEPTABLE", "A batch is answered as JSON.")
        if not 0 < len(batch.items) <= max(1, self._limits.batch_items) or self._limits.batch_items <= 1:
            raise RequestRefused("BATCH_LIMIT" if batch.items else "BAD_REQUEST", limit=self._limits.batch_items)
        ready: list[PreparedOperation | RequestRefused] = [await self._prepared(item, caller) for item in batch.items]
        record.prepared = [one for one in ready if isinstance(one, PreparedOperation)]
        bodies: list[dict[str, Any]] = []
        for one in ready:
            if isinstance(one, RequestRefused):
                record.code = record.code or one.code
                bodies.append(refusal_body(one, record.request_id))
            else:
                watch.is_cancelled_on_leaving = not one.is_mutation
                bodies.append((await self.operations.run(one, record)).body)
        status = 400 if all(isinstance(one, RequestRefused) for one in ready) else 200
        return json_answer(bodies, allowed.answer, status)

    async def _prepared(self, item: GraphQLRequest | RequestRefused, caller: Any) -> PreparedOperation | RequestRefused:
        if isinstance(item, RequestRefused):
            return item
        try:
            return await self.operations.prepare(item, caller)
        except RequestRefused as refused:
            return refused

    async def body(self, headers: Mapping[str, str], watch: DisconnectWatch) -> bytes:
        """The body of a POST request, which must be JSON; raises RequestRefused."""
        content_type = headers.get("content-type")
        if content_type != "application/json" and not is_json_body(content_type):
            raise RequestRefused("UNSUPPORTED_MEDIA_TYPE")
        if "content-encoding" in headers and headers["content-encoding"] != "identity":
            raise RequestRefused("UNSUPPORTED_MEDIA_TYPE", "The request body must not be compressed.")
        limit, declared = self._limits.body_bytes, headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 15 or int(declared) > limit):
            raise RequestRefused("BODY_LIMIT", limit=limit)
        body: bytes | bytearray = b""
        has_more = True
        watch.within_s = self._limits.body_timeout_s
        while has_more:
            message = await watch.receive()
            if message["type"] != "http.request":
                raise _ClientLeft
            part = message.get("body", b"")
            if body:
                body = bytearray(body) if body.__class__ is bytes else body
                body += part
            else:
                body = part  # usually the whole
            if len(body) > limit:
                raise RequestRefused("BODY_LIMIT", limit=limit)
            has_more = "more_body" in message and message["more_body"]
        watch.within_s = None
        return body if body.__class__ is bytes else bytes(body)


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream of response bodies and the caller that receives it. `ends`: it is one response, which a restarting
    gateway completes; otherwise a subscription.
    """

    bodies: AsyncIterator[dict[str, Any]]
    caller: Any
    framing: Framing
    ends: bool = False


class _ClientLeft(Exception):
    """The client disconnected."""


def _extra(request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of every response to a request."""
    return [(b"x-request-id", request_id.encode())]


def request_id_from(headers: Mapping[str, str]) -> str:
    """The client's X-Request-Id if it is short, plain and no card number, else a new id."""
    if "x-request-id" not in headers:
        return new_request_id()
    given = headers["x-request-id"]
    if _is_plain(given) and not looks_like_card_number(given):
        return given
    return new_request_id()


def _is_plain(text: str) -> bool:
    return 8 <= len(text) <= 128 and text.isascii() and text.replace("-", "").replace("_", "").isalnum()


async def _bodies(outcomes: AsyncIterator[Outcome], record: RequestRecord) -> AsyncIterator[dict[str, Any]]:
    try:
        async for outcome in outcomes:
            record.note(outcome)
            yield outcome.body
    finally:
        await outcomes.aclose()  # type: ignore[attr-defined]


def _single(outcome: Outcome, record: RequestRecord, caller: Any, allowed: Accepted) -> _Stream:
    """A single response, for a client that accepts streams alone."""
    if allowed.stream is not None:
        framing = MULTIPART if allowed.stream is StreamType.MULTIPART else EVENTS
        return _Stream(_once(outcome.body, record), caller, framing, ends=True)
    assert allowed.parts is not None
    body = {**outcome.body, "hasNext": False}
    return _Stream(_once(body, record), caller, MULTIPART_PARTS[allowed.parts.format], ends=True)


async def _once(body: dict[str, Any], record: RequestRecord) -> AsyncIterator[dict[str, Any]]:
    record.status = 200
    yield body


def _parts(
    first: Outcome, outcomes: AsyncIterator[Outcome], record: RequestRecord, caller: Any, accepted: Parts
) -> _Stream:
    convert = converter(accepted.format)

    async def bodies() -> AsyncIterator[dict[str, Any]]:
        try:
            yield convert(first.body)
            async for outcome in outcomes:
                if not outcome.has_next:
                    record.status = 200  # until then, a client that leaves has no response
                yield convert(outcome.body)
        finally:
            await outcomes.aclose()  # type: ignore[attr-defined]

    is_multipart = accepted.framing is StreamType.MULTIPART
    framing: Framing = MULTIPART_PARTS[accepted.format] if is_multipart else EVENTS
    return _Stream(bodies(), caller, framing, ends=True)
