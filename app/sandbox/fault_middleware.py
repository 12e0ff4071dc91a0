"""ASGI middleware around one emulator: records calls and applies faults."""

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.sandbox.calls import CallLog
from app.sandbox.connection import SandboxConnection, connection_of
from app.sandbox.faults import Fault, FaultKind, FaultRegistry, RewriteFault

GARBAGE: Final = b'\x00\xff{"not": json, <neither>xml'
_Headers = list[tuple[bytes, bytes]]
_BODILESS: Final = frozenset({204, 304})


@dataclass(slots=True)
class _Captured:
    """An emulator's reply before it is sent."""

    status: int = 500
    headers: _Headers = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


class GuardedEmulator:
    """Records every call on arrival and applies matching faults.

    `token_paths` are the emulator's OAuth token routes.
    """

    def __init__(
        self, name: str, token_paths: tuple[str, ...], app: ASGIApp, calls: CallLog, faults: FaultRegistry
    ) -> None:
        self._name = name
        self._token_paths = frozenset(path.lower().rstrip("/") for path in token_paths)
        self._app = app
        self._calls = calls
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        is_token_route = path.lower().rstrip("/") in self._token_paths
        record = self._calls.arrived(self._name, method, path, is_token_route=is_token_route)
        connection = connection_of(scope)

        async def recorded(message: Message) -> None:
            if message["type"] == "http.response.start" and not (connection and connection.is_lost):
                record.status = message["status"]
            await send(message)

        wait_s, fault = self._faults.take(self._name, method, path, is_token_route=is_token_route)
        with suppress(ClientDisconnect):  # client disconnect during the request
            if fault is None and not wait_s:
                await self._app(scope, receive, recorded)
                return
            if connection is None:
                raise RuntimeError("faults need the sandbox's own server: see app.sandbox.run")
            await self._with_faults(wait_s, fault, connection, scope, receive, recorded)

    async def _with_faults(
        self,
        wait_s: float,
        fault: Fault | None,
        connection: SandboxConnection,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        released = self._faults.released
        # Read the body before any delay: a vault that has the request processes it even after a client disconnect.
        receive = await _buffer_body(receive)
        if wait_s and not await _wait(wait_s, released):
            connection.abort()
            return
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.kind is FaultKind.DROP_BEFORE:
            connection.abort()
        elif fault.kind is FaultKind.DROP_AFTER:
            await self._app(scope, receive, _Captured().send)
            connection.abort()
        elif fault.kind is FaultKind.TRUNCATE:
            await self._truncate(connection, scope, receive, send)
        elif isinstance(fault, RewriteFault):
            reply = _Captured()
            await self._app(scope, receive, reply.send)
            await _answer(send, *fault.apply(reply.status, reply.headers, bytes(reply.body)))
        else:
            if fault.commit:
                await self._app(scope, receive, _Captured().send)
            if fault.kind is FaultKind.HANG:
                await _hold(receive, released)
                connection.abort()
            else:
                await _answer(send, *_fixed_reply(fault))

    async def _truncate(self, connection: SandboxConnection, scope: Scope, receive: Receive, send: Send) -> None:
        reply = _Captured()
        await self._app(scope, receive, reply.send)
        if not reply.body:
            await _answer(send, reply.status, reply.headers, b"")
        else:
            headers = _with_length(reply.headers, len(reply.body))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            half = bytes(reply.body[: len(reply.body) // 2])
            await send({"type": "http.response.body", "body": half, "more_body": True})
        connection.close()


def _fixed_reply(fault: Fault) -> tuple[int, _Headers, bytes]:
    """Status, headers and body of a reply not made by an emulator."""
    headers = [(b"content-type", b"application/json")]
    if fault.kind is FaultKind.GARBAGE:
        return 200, headers, GARBAGE
    if fault.kind is FaultKind.THROTTLE:
        seconds = math.ceil(fault.retry_after_s)  # the header takes whole seconds only
        return 429, [*headers, (b"retry-after", str(seconds).encode())], b'{"error":"sandbox fault: throttle"}'
    return fault.status, headers, b'{"error":"sandbox fault: status"}'


async def _answer(send: Send, status: int, headers: _Headers, body: bytes) -> None:
    if status in _BODILESS:
        body = b""
    if status != 204:
        headers = _with_length(headers, len(body))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _with_length(headers: _Headers, length: int) -> _Headers:
    others = [(name, value) for name, value in headers if name.lower() not in (b"content-length", b"transfer-encoding")]
    return [*others, (b"content-length", str(length).encode())]


async def _buffer_body(receive: Receive) -> Receive:
    """Read the whole request body; the returned receive replays it in one message, then passes on real messages.

    Raises ClientDisconnect if the client disconnects before the end of the body.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


async def _wait(seconds: float, released: asyncio.Event) -> bool:
    """Wait; False if the wait ended early because held requests must end."""
    try:
        await asyncio.wait_for(released.wait(), seconds)
    except TimeoutError:
        return True
    return False


async def _hold(receive: Receive, released: asyncio.Event) -> None:
    """Hold the request until the client disconnects or held requests must end."""

    async def client_leaves() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    waits = {asyncio.ensure_future(client_leaves()), asyncio.ensure_future(released.wait())}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
