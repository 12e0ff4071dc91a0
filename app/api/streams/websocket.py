"""graphql-transport-ws: many operations over one socket, each under the same rules as an HTTP request.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md. Close codes are the protocol's: 4400 invalid message,
4401 no connection_init yet, 4403 credentials refused, 4406 another subprotocol, 4408 no connection_init in time, 4409
an id in use, 4429 a second connection_init.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send

from app.api.cors import OriginPolicy
from app.api.error_format import masked
from app.api.etag import id_in_path
from app.api.headers import read_headers
from app.api.negotiation import PartsFormat
from app.api.operations import OperationRunner, Outcome, PreparedOperation
from app.api.parts import converter
from app.api.problems import RequestRefused
from app.api.protocols import RequestPolicy
from app.api.request import GraphQLRequest, decoded, from_members, named_once
from app.api.request_record import OnRequest, RequestRecord
from app.api.response import encode
from app.server.addresses import TrustedProxies, bucket_of
from app.store.errors import StoreUnavailable
from app.telemetry.redact import RedactingFilter
from app.telemetry.request_id import REQUEST_ID, new_request_id
from app.telemetry.trace_context import read_trace_context
from app.telemetry.tracing import SPANS

SUBPROTOCOL: Final = "graphql-transport-ws"
_log = logging.getLogger("vaultgraph.websocket")
_log.addFilter(RedactingFilter())
_LONGEST_ID: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketLimits:
    """Limits of WebSocket connections. `recheck_s`: how often credentials are rechecked.

    `connections_per_address` limits connections before authentication, `connections_per_caller` those after it.
    """

    connections: int = 2_000
    connections_per_address: int = 50
    connections_per_caller: int = 200
    init_timeout_s: float = 3.0
    operations_per_connection: int = 50
    operations_per_caller: int = 200
    send_timeout_s: float = 10.0
    recheck_s: float = 10.0
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)


class SocketServer:
    """The ASGI application for websocket scopes of one path."""

    def __init__(
        self,
        operations: OperationRunner,
        policy: RequestPolicy,
        origins: OriginPolicy,
        limits: SocketLimits,
        *,
        json_depth: int,
        on_request: OnRequest | None = None,
    ) -> None:
        self.operations = operations
        self.policy = policy
        self.limits = limits
        self.json_depth = json_depth
        self.on_request = on_request
        self.running: Counter[str] = Counter()  # operations by caller, over all of its connections and streams
        self._origins = origins
        self._connections: set[_Connection] = set()
        self._addresses: Counter[str] = Counter()  # connections not authenticated yet
        self._callers: Counter[str] = Counter()  # authenticated connections
        self._is_draining = False
        self._finishing: set[asyncio.Task[None]] = set()

    @contextmanager
    def one_more(self, key: str) -> Iterator[None]:
        """Count an operation of this caller while it runs; raises RequestRefused if there are too many."""
        self.enter(key)
        try:
            yield
        finally:
            self.leave(key)

    def enter(self, key: str) -> None:
        if self.running[key] >= self.limits.operations_per_caller:
            raise RequestRefused("THROTTLED", "Too many operations at once: complete some.")
        self.running[key] += 1

    def leave(self, key: str) -> None:
        self.running[key] -= 1
        if not self.running[key]:
            del self.running[key]

    def __len__(self) -> int:
        """Open WebSockets."""
        return len(self._connections)

    def begin_drain(self) -> None:
        """Close every connection as "going away" and accept no new ones."""
        self._is_draining = True
        for connection in self._connections:
            connection.end(1001, "Going away")

    def let_finish(self, task: asyncio.Task[None]) -> None:
        """Let a mutation whose connection is gone run to completion, so that its journal row does not stay open."""
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        headers, repeated = read_headers(scope["headers"])
        peer = (scope.get("client") or ("-",))[0]
        address = bucket_of(self.limits.trusted_proxies.client_of(peer, headers))
        refused = RequestRefused("BAD_REQUEST", f"The header {repeated} must not be sent twice.") if repeated else None
        if (refused := refused or self._refusal(headers, address)) is not None:
            await deny(scope, send, refused)
            return
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4406, "reason": "Subprotocol not acceptable"})
            return
        connection = _Connection(self, headers, receive, send, address, id_in_path(scope["path"]))
        self._connections.add(connection)
        self._addresses[address] += 1
        try:
            await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
            await connection.run()
        finally:
            self._connections.discard(connection)
            _count_down(*((self._callers, connection.key) if connection.key else (self._addresses, address)))

    def introduce(self, connection: "_Connection", key: str) -> bool:
        """Count the connection for this caller instead of its address. False if the caller has too many."""
        if self._callers[key] >= self.limits.connections_per_caller:
            return False
        connection.key = key
        self._callers[key] += 1
        _count_down(self._addresses, connection.address)
        return True

    def _refusal(self, headers: Mapping[str, str], address: str) -> RequestRefused | None:
        if not self._origins.may_connect(headers):
            return RequestRefused("FORBIDDEN")
        if self._is_draining or len(self._connections) >= self.limits.connections:
            return RequestRefused("OVERLOADED", headers={"retry-after": "1"})
        if self._addresses[address] >= self.limits.connections_per_address:
            return RequestRefused("THROTTLED", headers={"retry-after": "1"})
        return None


def _count_down(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


class _Closed(Exception):
    """Ends the connection with this close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Connection:
    """One client: a reader that dispatches, and a task for each operation."""

    def __init__(
        self,
        server: SocketServer,
        headers: Mapping[str, str],
        receive: Receive,
        send: Send,
        address: str,
        document_id: str | None,
    ) -> None:
        self.address = address
        self.key = ""  # the caller's key, once authenticated
        self._document_id = document_id
        self._server = server
        self._headers = headers
        self._receive = receive
        self._asgi_send = send
        self._caller: Any = None
        self._has_received_init = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._muted: set[asyncio.Task[None]] = set()
        self._mutating: set[asyncio.Task[None]] = set()
        self._end: asyncio.Future[_Closed] = asyncio.get_running_loop().create_future()

    def end(self, code: int, reason: str) -> None:
        """Close the connection from outside; the first reason counts."""
        if not self._end.done():
            self._end.set_result(_Closed(code, reason))

    async def run(self) -> None:
        reader = asyncio.create_task(self._read())
        try:
            waiting: set[asyncio.Future[Any]] = {reader, self._end}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            closed = self._end.result() if self._end.done() else reader.result()
        except StoreUnavailable:
            closed = _Closed(1013, "Try again later")
        except Exception:  # noqa: BLE001 - a bug ends this connection, in the protocol's words
            _log.exception("a WebSocket connection failed")
            closed = _Closed(4500, "Internal server error")
        finally:
            reader.cancel()
            self._end_operations()
        if closed is not None:
            await self._close(closed)

    async def _read(self) -> _Closed | None:
        """Returns the reason to close the connection; None on client disconnect."""
        try:
            async with asyncio.timeout(self._server.limits.init_timeout_s):
                while self._caller is None:
                    if not await self._next():
                        return None
        except TimeoutError:
            return _Closed(4408, "Connection initialisation timeout")
        except _Closed as closed:
            return closed
        recheck = asyncio.create_task(self._recheck())
        try:
            while await self._next():
                pass
        except _Closed as closed:
            return closed
        finally:
            recheck.cancel()
        return None

    async def _next(self) -> bool:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return False
        await self._dispatch(self._decoded(message))
        return True

    def _decoded(self, message: Message) -> dict[str, Any]:
        text = message.get("text")
        if text is None:
            raise _Closed(4400, "Invalid message")
        try:
            value = decoded(text.encode(), max_depth=self._server.json_depth)
        except (RequestRefused, UnicodeEncodeError):
            raise _Closed(4400, "Invalid message") from None
        if not isinstance(value, dict) or not isinstance(value.get("payload", {}), dict | None):
            raise _Closed(4400, "Invalid message")
        return value

    async def _dispatch(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "subscribe":
            await self._subscribe(message)
        elif kind == "complete":
            self._complete(message.get("id"))
        elif kind == "ping":
            await self._send({"type": "pong"})
        elif kind == "connection_init":
            await self._initialise(message.get("payload"))
        elif kind != "pong":
            raise _Closed(4400, "Invalid message")

    async def _initialise(self, payload: object) -> None:
        if self._has_received_init:
            raise _Closed(4429, "Too many initialisation requests")
        self._has_received_init = True
        try:
            caller = await self._server.policy.authenticate_payload(payload)
        except RequestRefused:
            raise _Closed(4403, "Forbidden") from None
        if not self._server.introduce(self, caller.key):
            raise _Closed(1013, "Too many connections")  # clients retry later on this code
        await self._send({"type": "connection_ack"})
        self._caller = caller

    async def _subscribe(self, message: dict[str, Any]) -> None:
        if self._caller is None:
            raise _Closed(4401, "Unauthorized")
        name, payload = message.get("id"), message.get("payload")
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID or not isinstance(payload, dict):
            raise _Closed(4400, "Invalid message")
        if name in self._tasks:
            raise _Closed(4409, "Subscriber already exists")
        server, key = self._server, self._caller.key
        try:
            if len(self._tasks) >= server.limits.operations_per_connection:
                raise RequestRefused("THROTTLED", "Too many operations on this connection: complete some.")
            server.enter(key)
        except RequestRefused as refused:
            await self._send({"id": name, "type": "error", "payload": refused.as_errors()})
            return
        task = self._tasks[name] = asyncio.create_task(self._operate(name, payload))

        def done(ended: asyncio.Task[None]) -> None:
            server.leave(key)
            self._muted.discard(ended)
            self._mutating.discard(ended)
            if self._tasks.get(name) is ended:
                del self._tasks[name]

        task.add_done_callback(done)

    def _complete(self, name: object) -> None:
        """The client cancelled the operation. An unknown id is no error: the operation may have just ended."""
        task = self._tasks.pop(name, None) if isinstance(name, str) else None
        if task is None:
            return
        self._muted.add(task)
        if task not in self._mutating:
            task.cancel()
        else:
            self._server.let_finish(task)

    async def _operate(self, name: str, payload: dict[str, Any]) -> None:
        record = RequestRecord(new_request_id(), self._headers, transport="websocket", caller=self._caller)
        record.method, record.trace = "GET", read_trace_context(self._headers)
        REQUEST_ID.set(record.request_id)
        if SPANS.tracer is not None:
            SPANS.tracer.begin(record)
        try:
            await self._operate_or_refuse(name, payload, record)
            record.status = 200
        except RequestRefused as refused:
            record.status, record.code = refused.status, refused.code
            await self._answer({"id": name, "type": "error", "payload": refused.as_errors()})
        except Exception as error:  # noqa: BLE001 - logged, masked and answered
            failure = masked(error, record.request_id)
            record.status, record.code, record.has_failed = failure.status, failure.code, True
            await self._answer({"id": name, "type": "error", "payload": failure.as_errors()})
        finally:
            if self._server.on_request is not None:
                self._server.on_request(record)

    async def _operate_or_refuse(self, name: str, payload: dict[str, Any], record: RequestRecord) -> None:
        if not await self._is_still_welcome():
            return
        operations = self._server.operations
        record.request = self._request(payload)
        prepared = await operations.prepare(record.request, self._caller, streams=True)
        record.prepared = (prepared,)
        if prepared.is_subscription:
            async with aclosing(operations.events(prepared, record)) as outcomes:  # type: ignore[type-var]
                async for outcome in outcomes:
                    record.note(outcome)
                    if not outcome.was_executed:
                        await self._answer({"id": name, "type": "error", "payload": outcome.body["errors"]})
                        return
                    await self._answer({"id": name, "type": "next", "payload": outcome.body})
        else:
            task = asyncio.current_task()
            if prepared.is_mutation and task is not None:
                self._mutating.add(task)
            if prepared.document.has_defer:
                outcome = await self._answer_in_parts(name, prepared, record)
            else:
                outcome = await operations.run(prepared, record)
                if outcome.was_executed:
                    await self._answer({"id": name, "type": "next", "payload": outcome.body})
            if not outcome.was_executed:
                await self._answer({"id": name, "type": "error", "payload": outcome.body["errors"]})
                return
        await self._answer({"id": name, "type": "complete"})

    async def _answer_in_parts(self, name: str, prepared: PreparedOperation, record: RequestRecord) -> Outcome:
        """Returns the last outcome."""
        wanted = record.request.extensions.get("incrementalSpec") if record.request is not None else None
        convert = converter(PartsFormat.IDS if wanted == "v0.2" else PartsFormat.PATHS)
        async with aclosing(self._server.operations.parts(prepared, record)) as outcomes:  # type: ignore[type-var]
            async for outcome in outcomes:
                if outcome.was_executed:
                    await self._answer({"id": name, "type": "next", "payload": convert(outcome.body)})
        return outcome

    def _request(self, payload: dict[str, Any]) -> GraphQLRequest:
        if self._document_id is not None:
            payload = named_once(payload, self._document_id)
        return from_members(payload)

    async def _answer(self, message: dict[str, Any]) -> None:
        if asyncio.current_task() not in self._muted:
            await self._send(message)

    async def _send(self, message: dict[str, Any]) -> None:
        """Send to the client, or disconnect it if it does not read in time: nothing queues beyond the socket."""
        try:
            async with asyncio.timeout(self._server.limits.send_timeout_s):
                await self._asgi_send({"type": "websocket.send", "text": encode(message).decode()})
        except TimeoutError:
            self.end(1013, "Too slow")
        except (OSError, RuntimeError):  # the socket is closed already
            self.end(1006, "")

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(self._server.limits.recheck_s)
            if not await self._is_still_welcome():
                return

    async def _is_still_welcome(self) -> bool:
        """Recheck the caller: tokens expire, keys are disabled and rights change while a connection is open."""
        caller = await self._server.policy.revalidate(self._caller)
        if caller is None:
            self.end(4403, "Forbidden")
            return False
        self._caller = caller
        return True

    def _end_operations(self) -> None:
        for task in list(self._tasks.values()):
            self._muted.add(task)
            if task in self._mutating:
                self._server.let_finish(task)
            else:
                task.cancel()

    async def _close(self, closed: _Closed) -> None:
        if closed.code == 1006:
            return
        try:
            async with asyncio.timeout(1):
                await self._asgi_send({"type": "websocket.close", "code": closed.code, "reason": closed.reason})
        except (TimeoutError, OSError, RuntimeError):
            return


async def deny(scope: Scope, send: Send, refused: RequestRefused) -> None:
    """Refuse the handshake: with a response if the server supports it, else with its plain 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    body = encode({"errors": refused.as_errors()})
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    await send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
