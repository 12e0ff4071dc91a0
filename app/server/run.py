"""Sockets, signals and uvicorn: serves applications and shuts down gracefully.

The first SIGINT or SIGTERM stops accepting connections, completes requests in flight within the grace period and shuts
down; the second ends the process at once.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final

import uvicorn
import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.server.connections import ConnectionLimits, Connections
from app.server.protocol import error_body, guarded, sweep
from app.telemetry.redact import RedactingFilter

_log = logging.getLogger("vaultgraph.serving")
_log.addFilter(RedactingFilter())
_M_ARENA_MAX: Final = -8  # malloc.h
_JSON: Final = b"application/json"
_GRAPHQL_RESPONSE: Final = b"application/graphql-response+json"
SAME_PRESS_S: Final = 0.1


class _Server(uvicorn.Server):
    """uvicorn without its signal handling: the command that runs it decides when to stop."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()


async def serve(
    app: ASGIApp,
    sock: socket.socket,
    stop: asyncio.Event,
    *,
    grace_s: float,
    limits: ConnectionLimits | None = None,
    on_started: Callable[[], None] | None = None,
    on_stop: Callable[[], None] | None = None,
    **options: Any,
) -> None:
    """Serve one application until `stop` is set, then complete requests in flight, for at most `grace_s`.

    `on_stop` is called as soon as `stop` is set, before connections are closed. Requests that take longer get 503.
    Exceptions of the application's startup propagate.
    """

    def started() -> None:
        if on_started is not None and not stop.is_set():
            on_started()

    bounds = (limits or ConnectionLimits()).within_open_files()
    room = Connections(bounds)
    server = _Server(_config(_Interruptible(app, stop), grace_s, bounds, room, options), started)

    async def exit_on_stop() -> None:
        await stop.wait()
        if on_stop is not None:
            on_stop()
        server.should_exit = True

    async with _lifespan(app):
        stopping = asyncio.create_task(exit_on_stop())
        sweeping = asyncio.create_task(sweep(server.server_state.connections, room))
        try:
            await server.serve(sockets=[sock])
        finally:
            stopping.cancel()
            sweeping.cancel()


@contextlib.asynccontextmanager
async def _lifespan(app: ASGIApp) -> AsyncIterator[None]:
    """ASGI lifespan without uvicorn, which would log startup exceptions and raise SystemExit."""
    messages: asyncio.Queue[Message] = asyncio.Queue()
    is_up = asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            is_up.set()

    life = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}}, messages.get, send))
    waiting = asyncio.create_task(is_up.wait())
    await messages.put({"type": "lifespan.startup"})
    await asyncio.wait({life, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not is_up.is_set():
        await life
        raise RuntimeError("the application ended before its startup completed")
    try:
        yield
    finally:
        await messages.put({"type": "lifespan.shutdown"})
        await life


class _Interruptible:
    """Answers requests that the application cannot complete: those cancelled by uvicorn at the end of the grace period,
    and those with an unhandled exception.
    """

    def __init__(self, app: ASGIApp, stop: asyncio.Event) -> None:
        self._app = app
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not self._stop.is_set() or scope["type"] != "http":
                raise
            await _end(send, _cut_short(scope))
        except Exception:
            if scope["type"] != "http":
                raise
            _log.exception("a request failed")
            await _end(send, (500, error_body("INTERNAL_SERVER_ERROR", "Unexpected error."), _JSON))


def _cut_short(scope: Scope) -> tuple[int, bytes, bytes]:
    """A GraphQL error in the media type that the client accepts."""
    wants = any(name == b"accept" and _GRAPHQL_RESPONSE in value.lower() for name, value in scope["headers"])
    body = error_body("OVERLOADED", "The gateway is restarting: send the request again.")
    return 503, body, _GRAPHQL_RESPONSE if wants else _JSON


async def _end(send: Send, answer: tuple[int, bytes, bytes]) -> None:
    """Complete the request with this response or, if one has started, with the part sent so far."""
    status, body, media_type = answer
    headers = [
        (b"content-type", media_type + b"; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    try:
        await send({"type": "http.response.start", "status": status, "headers": headers})
    except RuntimeError:  # the response has started or is complete
        body = b""
    with contextlib.suppress(RuntimeError):
        await send({"type": "http.response.body", "body": body, "more_body": False})


def _share_arenas() -> None:
    """Limit glibc's malloc to two arenas instead of eight per core.

    Each SQLite connection has a thread, and each thread would hold an arena that is never returned, so memory would
    grow as connections come and go. Other C libraries have no such setting.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def run_until_signal(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    on_hangup: Callable[[], Coroutine[Any, Any, None]] | None = None,
    *,
    is_worker: bool = False,
) -> None:
    """Run `main(stop)` on uvloop; the first SIGINT or SIGTERM sets `stop`, the second ends the process at once.

    SIGHUP runs `on_hangup`, once at a time; a signal that arrives meanwhile runs it once more. Without it, SIGHUP ends
    the process. A worker is stopped by SIGTERM alone, and repeated ones are ignored: its supervisor ends it.

    Does not return: the process exits with status 0 after `main` returns. Exceptions of `main` propagate.
    """

    _share_arenas()

    async def with_signals() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        if is_worker:
            loop.add_signal_handler(signal.SIGTERM, stop.set)
        else:
            on_signal = _OnSignal(stop, loop)
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, on_signal, number)
        if on_hangup is None:
            await main(stop)
            return
        is_asked = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, is_asked.set)
        handling = asyncio.create_task(_whenever(is_asked, on_hangup))
        try:
            await main(stop)
        finally:
            handling.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(with_signals())
    _exit()


async def _whenever(is_asked: asyncio.Event, do: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        await is_asked.wait()
        is_asked.clear()
        try:
            await do()
        except Exception:  # noqa: BLE001 - the process goes on as it is
            _log.exception("SIGHUP was not handled")


def _exit() -> None:
    """Exit without freeing the heap, which would only delay the exit."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


class _OnSignal:
    """Signal handler: the first signal stops gracefully, the second exits at once.

    A terminal's Ctrl-C reaches the whole process group, and wrappers (`timeout`, `npm run`) forward it again, so a
    repeat within a moment is ignored.
    """

    def __init__(self, stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        self._stop = stop
        self._loop = loop
        self._first_at = 0.0

    def __call__(self, number: int) -> None:
        if not self._stop.is_set():
            self._first_at = self._loop.time()
            self._stop.set()
        elif self._loop.time() - self._first_at > SAME_PRESS_S:
            logging.shutdown()
            os._exit(128 + number)


def _config(
    app: Any, grace_s: float, limits: ConnectionLimits, room: Connections, options: dict[str, Any]
) -> uvicorn.Config:
    chosen: dict[str, Any] = {
        **guarded(limits, room),
        "timeout_keep_alive": limits.keep_alive_s,
        "ws_max_size": 300_000,
        "ws_per_message_deflate": False,  # costs a window per connection, and compressed lengths can reveal secrets
        "lifespan": "off",  # see _lifespan
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": max(1, round(grace_s)),
    }
    return uvicorn.Config(app, **{**chosen, **options})
