"""uvicorn's HTTP and WebSocket protocols with limits that they lack: on request heads, time and connections.

llhttp limits neither the size nor the number of headers, and uvicorn has no timeouts for heads, bodies or clients that
do not read. Here each has a deadline, enforced by a sweep over all connections, so requests need no timers. Refusals at
this level are GraphQL error bodies too.
"""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from math import inf
from types import SimpleNamespace
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response

from app.server.connections import SPARE, ClientConnection, ConnectionLimits, Connections
from app.server.cycle import UNAWAITED, RepeatedHead, ResponseCycle

try:
    import fcntl
    import termios
except ImportError:  # not available on Windows
    fcntl = None  # type: ignore[assignment]

MOST_HEADER_BYTES: Final = 32_768
MOST_HEADERS: Final = 100
MOST_PIPELINED: Final = 100
_LINGER_S: Final = 3.0
_LAST_REQUEST_S: Final = 0.5
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_SWEEP_EVERY_S: Final = 0.25
_OF_UPGRADES: Final = (b"upgrade", b"http2-settings")
_ERRORS: Final = {
    400: ("BAD_REQUEST", "The request is not HTTP."),
    403: ("FORBIDDEN", "The caller may not do this."),
    405: ("METHOD_NOT_ALLOWED", "This method is not allowed here."),
    408: ("REQUEST_TIMEOUT", "The request did not arrive in time."),
    429: ("THROTTLED", "Too many connections from this address: try again later."),
    431: ("HEADER_LIMIT", "The request headers are too large."),
    500: ("INTERNAL_SERVER_ERROR", "Unexpected error."),
    503: ("OVERLOADED", "The gateway is busy: try again in a moment."),
}
_MORE_HEADERS: Final = {
    405: "allow: GET, HEAD, POST, OPTIONS\r\n",
    429: "retry-after: 1\r\n",
    503: "retry-after: 1\r\n",
}
_USUAL: Final = (
    b"host content-type content-length authorization accept accept-encoding user-agent connection x-request-id"
)
_LOWER_CASE: Final = {spelled: name for name in _USUAL.split() for spelled in (name, name.title())}
"""Usual names by the spellings of most clients; others are converted."""


class _Refused(Exception):
    """Raised inside the parser to stop it."""


def guarded(limits: ConnectionLimits, room: Connections) -> dict[str, type[asyncio.Protocol]]:
    """The protocol classes for one server, as uvicorn's options."""
    return {
        "http": type("_GuardedProtocol", (GuardedProtocol,), {"limits": limits, "room": room}),
        "ws": type("_GuardedWebSocket", (GuardedWebSocket,), {"limits": limits}),
    }


def error_body(code: str, message: str) -> bytes:
    """A GraphQL response with one error."""
    return json.dumps({"errors": [{"message": message, "extensions": {"code": code}}]}).encode()


async def sweep(connections: Iterable[Any], room: Connections) -> None:
    """Enforce the deadlines, forever. `connections` is the server's set."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SWEEP_EVERY_S)
        now = loop.time()
        for one in tuple(connections):
            one.look(now)
        room.trim(now)


def _reset(transport: asyncio.Transport) -> None:
    """Close the connection now and discard unsent data. Both `close` and the kernel's default linger would wait for a
    client that does not read.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and transport.get_write_buffer_size():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


class _Unsent:
    """Measures how long the end of a response has waited for the client."""

    __slots__ = ("_of", "_since")

    def __init__(self) -> None:
        self._of: object = None
        self._since = inf

    def is_late(
        self, transport: asyncio.Transport, now: float, within_s: float, *, answer: object, is_complete: bool
    ) -> bool:
        """`is_complete`: nothing will be added to `answer`. Otherwise pauses in writing are limited instead."""
        if not transport.get_write_buffer_size() or not is_complete:
            self._since = inf
        elif self._since == inf or self._of is not answer:
            self._of, self._since = answer, now
        return now - self._since >= within_s


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `due_at` is the client's deadline, enforced by the sweep."""

    limits = ConnectionLimits()
    room = Connections(limits)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.due_at = inf
        self._in_head = True
        self._chunk_bytes = 0
        self._head_bytes = 0  # of the current head; from its second chunk on if it follows another request
        self._last_headers: Any = None
        self._is_same_head = False
        self._known: RepeatedHead | None = None
        self._is_idle = False
        self._bytes_without_body = 0
        self._is_body_open = False
        self._is_read_again = False
        self._ignores_input = False
        self._is_lingering = False
        self._is_last = False
        self._current: object = None
        self._keeps_alive = True
        self._status = 400
        self._paused_at = inf
        self._unsent = _Unsent()
        self._connection: ClientConnection | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.due_at = self.loop.time() + self.limits.head_timeout_s
        status = self.room.admit(self, self.client[0] if self.client else "-", self.connections, self.loop.time())
        if not status:
            self._connection = ClientConnection(self._claim, self.transport.close)
            self.app_state = {**self.app_state, "connection": self._connection}
        elif len(self.connections) > self.limits.connections + SPARE:
            transport.abort()
        else:
            self._refuse(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self._release()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Drain. A request may be on its way over an idle connection: it is answered, as the last one."""
        self._is_last = True
        if self._is_answering():
            self.cycle.keep_alive = False
            self._keeps_alive = False
        elif not self._is_lingering:
            self.due_at = min(self.due_at, self.loop.time() + _LAST_REQUEST_S)

    def handle_websocket_upgrade(self) -> None:
        self._release()  # websocket.py counts WebSockets
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        """Like uvicorn's, except for upgrades and faults."""
        if self._ignores_input:
            return
        known, is_idle = self._known, self._is_idle
        if is_idle:
            self._is_idle = False
            if known is not None and known.begins(data):
                self._repeat(known, data)
                return
            if not self._is_last:
                self.due_at = inf
        self._chunk_bytes = size = len(data)
        if self._in_head:
            self._head_bytes += size
        else:
            self._bytes_without_body += size
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._status)
        except httptools.HttpParserUpgrade as upgrade:
            if self._is_read_again:
                self._read_again(data[upgrade.args[0] :])
            else:
                self.handle_websocket_upgrade()
        else:
            if self._in_head:
                if self.headers is not self._last_headers or self.cycle is None or self.cycle.response_complete:
                    self._await_head()
                elif is_idle and self._is_same_head and not self._is_last:
                    self._known = RepeatedHead.of(data, self.scope, self.cycle) or known
            elif not self._is_body_open:
                self._await_body()
            elif self._bytes_without_body > MOST_HEADER_BYTES:
                self._refuse(431)  # trailers, or extensions of a chunk

    def on_header(self, name: bytes, value: bytes) -> None:
        try:
            name = _LOWER_CASE[name]
        except KeyError:
            name = name.lower()
            self.expect_100_continue |= name == b"expect" and value.lower() == b"100-continue"
        self.headers += ((name, value),)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self.due_at = inf
        headers = self.headers
        if self._head_bytes > MOST_HEADER_BYTES or self._chunk_bytes > MOST_HEADER_BYTES or len(headers) > MOST_HEADERS:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in headers)
            if size > MOST_HEADER_BYTES or len(headers) > MOST_HEADERS:
                self._stop_parsing(431)
        if len(self.pipeline) >= MOST_PIPELINED:
            self._stop_parsing(429)
        if self.parser.should_upgrade():
            self._check_upgrade()
            if self._is_read_again:
                return
        super().on_headers_complete()
        self._current = cycle = self.cycle
        if cycle is not None and self._is_last:  # an upgrade may come first
            cycle.keep_alive = False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        cycle.__class__ = ResponseCycle  # uvicorn has no setting for it
        cycle.tasks = self.tasks
        cycle.task = task = self.loop.create_task(cycle.run_asgi(app))
        if not task.done():  # an eager one may be
            self.tasks.add(task)

    def on_body(self, body: bytes) -> None:
        self._bytes_without_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._is_read_again:
            return
        if self._is_body_open:
            self._is_body_open = False
            self.due_at = inf
            if not self.cycle.response_started:
                self.cycle.keep_alive = self._keeps_alive
        self._in_head = True
        self._head_bytes = 0
        self._current = None
        self._is_same_head = self.headers == self._last_headers
        self._last_headers = self.headers
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, but the sweep closes idle connections: each request would set and cancel a timer."""
        if self.pipeline:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            if self.flow.read_paused:
                self.flow.resume_reading()
            if self.due_at == inf:
                self._is_idle = True
                self.due_at = self.loop.time() + self.limits.keep_alive_s

    def _repeat(self, known: RepeatedHead, data: bytes) -> None:
        """Begin a request whose head has the bytes of the one before, so that it would be parsed to the same. The
        parser is between two requests and stays there.
        """
        self.due_at = inf
        self.cycle = cycle = ResponseCycle(
            {**known.scope, "state": self.app_state.copy()},  # type: ignore[typeddict-item]
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            UNAWAITED,
            False,
            not self._is_last,
            self.on_response_complete,
        )
        cycle.body, cycle.more_body = data[known.head_bytes :], False  # type: ignore[assignment]
        self._start_asgi_task(cycle, self.app)

    def pause_writing(self) -> None:
        self._paused_at = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._paused_at = inf
        super().resume_writing()

    def waits_since(self) -> float:
        """See `app.server.connections.LimitedConnection`."""
        limits = self.limits
        if self.transport.is_closing():
            return inf
        if self._is_lingering:
            return self.due_at - _LINGER_S
        if self._is_body_open:
            return self.due_at - limits.body_timeout_s
        if self._is_answering():
            return inf
        return self.due_at - (limits.keep_alive_s if self._is_idle else limits.head_timeout_s)

    def has_unread(self) -> bool:
        """See `app.server.connections.LimitedConnection`."""
        sock = self.transport.get_extra_info("socket")
        if fcntl is None or sock is None or self._ignores_input:
            return False
        try:
            return fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)) != bytes(4)
        except OSError:
            return False

    def evict(self) -> None:
        self.transport.abort()

    def look(self, now: float) -> None:
        """Enforce the deadlines. Called by the sweep."""
        transport, within_s = self.transport, self.limits.send_timeout_s
        is_complete = self._is_lingering or transport.is_closing() or not self._is_answering()
        is_late = self._unsent.is_late(transport, now, within_s, answer=self.cycle, is_complete=is_complete)
        if is_late or now - self._paused_at >= within_s:
            _reset(transport)
        elif now < self.due_at or transport.is_closing() or self.has_unread():
            return  # while the server is behind with reading, the client is not late
        elif self._is_lingering:
            if not transport.get_write_buffer_size():
                transport.abort()
        elif self._is_body_open:
            if self.flow.read_paused:
                self.due_at = now + self.limits.body_timeout_s  # the server is not reading
            elif not self.cycle.response_started:
                self._refuse(408)
        elif not self._is_answering():
            if self._has_begun():
                self._refuse(408)
            else:
                transport.close()

    def _claim(self, caller: str) -> bool:
        return self.room.claim(self, caller, self.loop.time())

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _has_begun(self) -> bool:
        """True if part of a head has arrived. Line ends that some clients send after a body do not count."""
        return self.headers is not self._last_headers

    def _await_head(self) -> None:
        if self._head_bytes > MOST_HEADER_BYTES:
            self._refuse(431)
        elif self.due_at == inf:
            self.due_at = self.loop.time() + self.limits.head_timeout_s

    def _await_body(self) -> None:
        """Wait for the rest of a body. A response sent before it has arrived closes the connection, so that the rest is
        not parsed as a request and the client need not be waited for.
        """
        self._is_body_open = True
        self._bytes_without_body = 0
        self.due_at = self.loop.time() + self.limits.body_timeout_s
        cycle = self.cycle
        self._keeps_alive, cycle.keep_alive = cycle.keep_alive, False
        transport = self.transport
        cycle.transport = SimpleNamespace(  # type: ignore[assignment]
            write=transport.write,
            writelines=transport.writelines,
            is_closing=transport.is_closing,
            close=self._linger,
        )

    def _check_upgrade(self) -> None:
        """Only a WebSocket handshake upgrades. RFC 9110, 7.8 allows ignoring other upgrades, such as the `Upgrade: h2c`
        that Java's HttpClient and curl send with ordinary requests.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._stop_parsing(405)
        elif method != b"GET" or not self._should_upgrade():
            self._is_read_again = True
        elif self._is_answering() or any(_announces_body(name, value) for name, value in self.headers):
            self._stop_parsing(400)

    def _read_again(self, rest: bytes) -> None:
        """Parse the request again without upgrade headers: the parser does not read the body of an upgrade."""
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() not in _OF_UPGRADES)
            if name not in _OF_UPGRADES:
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._is_read_again = False
        self._in_head, self._head_bytes = True, 0
        self.data_received(b"".join([*head, b"\r\n", rest]))

    def _stop_parsing(self, status: int) -> None:
        self._status = status
        raise _Refused

    def _refuse(self, status: int) -> None:
        """Answer the request being read, after earlier ones, and close."""
        self._ignores_input = True
        is_earlier = self.cycle is not self._current
        if self._is_answering() and (is_earlier or self.pipeline):
            if is_earlier:
                self.cycle.on_response = partial(self._refuse, status)
            else:
                self.transport.close()  # it is in the pipeline itself; its refusal would come too early
            return
        if self.transport.is_closing():
            return
        code, message = _ERRORS[status]
        body = error_body(code, message)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            f"{_MORE_HEADERS.get(status, '')}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._linger()
        if self._is_answering():  # the application sees a client disconnect and sends nothing more
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _linger(self) -> None:
        """Half-close after the written data and keep reading for a moment. Closing with unread bytes makes the kernel
        reset the connection, and the client might lose the response.
        """
        if self._is_lingering or self.transport.is_closing():
            return
        self._ignores_input = self._is_lingering = True
        self.due_at = self.loop.time() + _LINGER_S
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _release(self) -> None:
        self.room.release(self)
        if self._connection is not None:
            self._connection.forget()
            self._connection = None


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """A connection after its handshake. websocket.py limits its use; this limits how long the final data may take."""

    limits = ConnectionLimits()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unsent = _Unsent()
        self._plain_rejection = self.conn.reject
        self.conn.reject = self._rejection  # type: ignore[method-assign]

    def _rejection(self, status: int, text: str) -> Response:
        """The response to a handshake that is invalid or not accepted: a GraphQL error."""
        response = self._plain_rejection(status, text)
        code, message = _ERRORS.get(int(status), ("BAD_REQUEST", "The WebSocket handshake is not valid."))
        body = error_body(code, message)
        for name, value in (("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(body)))):
            del response.headers[name]
            response.headers[name] = value
        response.body = body
        return response

    def look(self, now: float) -> None:
        transport, within_s = self.transport, self.limits.send_timeout_s
        if self._unsent.is_late(transport, now, within_s, answer=None, is_complete=transport.is_closing()):
            _reset(transport)


def _announces_body(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 ") != b"")
