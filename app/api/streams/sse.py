"""GraphQL over server-sent events, distinct connections mode: one operation per response.

``event: next`` carries an execution result. ``event: complete`` ends the stream for good: clients do not reconnect. A
stream that ends for another reason is cut off, which clients treat as a network error and subscribe again. Periodic
comments keep proxies from closing the connection. https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md

`send_events` sends in this framing or another (`multipart`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from starlette.types import Receive, Send

from app.api.headers import AuthenticatedConnection
from app.api.problems import RequestRefused
from app.api.response import encode

_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
    (b"vary", b"accept, accept-encoding, origin"),
)
_HEARTBEAT_S: Final = 10.0


class Framing(Protocol):
    """The wire format. `opening` is sent at once, `sign_of_life` as heartbeat, `ending` after the last result."""

    @property
    def content_type(self) -> bytes: ...

    @property
    def opening(self) -> bytes: ...

    @property
    def sign_of_life(self) -> bytes: ...

    @property
    def ending(self) -> bytes: ...

    def next(self, body: dict[str, Any]) -> bytes: ...

    def cut_short(self, why: RequestRefused) -> bytes | None:
        """The end of an interrupted stream, after which clients subscribe again. None if only closing the connection
        signals that.
        """
        ...


class ServerSentEvents:
    content_type: Final = b"text/event-stream; charset=utf-8"
    opening: Final = b":\n\n"
    sign_of_life: Final = b":\n\n"
    ending: Final = b"event: complete\ndata:\n\n"

    def next(self, body: dict[str, Any]) -> bytes:
        return b"%sevent: next\ndata: %s\n\n" % (_id_of(body), encode(body))

    def cut_short(self, why: RequestRefused) -> None:
        return None


EVENTS: Final = ServerSentEvents()


async def send_events(
    bodies: AsyncIterator[dict[str, Any]],
    receive: Receive,
    send: Send,
    extra: Sequence[tuple[bytes, bytes]],
    draining: asyncio.Event | None,
    *,
    send_within_s: float,
    is_still_welcome: Callable[[], Awaitable[bool]],
    look_every_s: float = _HEARTBEAT_S,
    framing: Framing = EVENTS,
    connection: AuthenticatedConnection | None = None,
) -> None:
    """Send until the source ends, the client disconnects or loses access, the process drains, or a send times out.

    Without `draining`, the process waits for the source. `connection` is closed when the framing cannot signal an early
    end otherwise.
    """
    looked_at = _now()
    headers = [(b"content-type", framing.content_type), *_HEADERS, *extra]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.ensure_future(_gone(receive))
    drained = asyncio.ensure_future(draining.wait()) if draining is not None else asyncio.Future()
    coming: asyncio.Future[dict[str, Any]] | None = None
    ending: bytes | None = framing.ending
    try:
        await _chunk(send, framing.opening, send_within_s)  # headers at once, before the first result
        while True:
            if coming is None:
                coming = asyncio.ensure_future(anext(bodies))
            waiting: set[asyncio.Future[Any]] = {coming, gone, drained}
            done, _ = await asyncio.wait(waiting, timeout=look_every_s, return_when=asyncio.FIRST_COMPLETED)
            if gone in done:
                return
            if _now() - looked_at >= look_every_s:
                looked_at = _now()
                if not await is_still_welcome():
                    ending = framing.cut_short(RequestRefused("UNAUTHENTICATED"))
                    break
            if coming in done:
                try:
                    body = coming.result()
                except StopAsyncIteration:
                    break
                coming = None
                await _chunk(send, framing.next(body), send_within_s)
            elif drained in done:
                ending = framing.cut_short(RequestRefused("OVERLOADED", "The gateway is restarting: subscribe again."))
                break
            else:
                await _chunk(send, framing.sign_of_life, send_within_s)
        if ending is not None:
            await _chunk(send, ending, send_within_s)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif connection is not None:
            connection.drop()
            await asyncio.wait({gone}, timeout=send_within_s)
    except TimeoutError:
        return  # the reader is too slow; the server closes the connection of the incomplete response
    finally:
        for one in (gone, drained, coming):
            if one is not None:
                one.cancel()
        if coming is not None:
            await asyncio.wait({coming})
        await bodies.aclose()  # type: ignore[attr-defined]


async def _chunk(send: Send, chunk: bytes, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


def _id_of(body: dict[str, Any]) -> bytes:
    """The event id that a browser's EventSource sends as Last-Event-ID on reconnect."""
    event_id = body.get("extensions", {}).get("eventId")
    return b"id: %s\n" % event_id.encode() if event_id else b""


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
