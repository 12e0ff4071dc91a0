"""Serves the sandbox with uvicorn on uvloop and httptools, with graceful shutdown."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from app.errors import VaultgraphError
from app.sandbox.connection import AbortableProtocol
from app.sandbox.server import MakeEmulators, Sandbox, build_sandbox, the_four

_BACKLOG: Final = 2048
_STOP_WITHIN_S: Final = 3


class SandboxCannotStart(VaultgraphError):
    """The address or the data directory cannot be used; the message is one line for a person."""


class SandboxPortTaken(SandboxCannotStart):
    """The port is in use or may not be bound."""


async def serve_sandbox(
    host: str,
    port: int,
    data_dir: Path | None,
    *,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    handle_signals: bool = True,
    make_emulators: MakeEmulators = the_four,
) -> None:
    """Serve until `stop` is set or, with `handle_signals` (main thread only), until SIGINT or SIGTERM.

    `port` 0 selects a free one. `ready` gets the URL (``http://127.0.0.1:8001``) once requests are answered. Raises
    SandboxPortTaken if the port is taken, SandboxCannotStart if the data directory is not writable.
    """
    listener = _listen(host, port)
    try:
        sandbox = _build(data_dir, make_emulators)
        server = _SandboxServer(sandbox, handle_signals)
        url = _url(listener)

        def started() -> None:
            if ready is not None:
                ready(url)

        server.on_started = started
        stopping = asyncio.create_task(_exit_when(stop, server)) if stop is not None else None
        try:
            await server.serve(sockets=[listener])
        finally:
            if stopping is not None:
                stopping.cancel()
    finally:
        listener.close()


class _SandboxServer(uvicorn.Server):
    def __init__(self, sandbox: Sandbox, handle_signals: bool) -> None:
        super().__init__(
            uvicorn.Config(
                sandbox,
                http=AbortableProtocol,
                ws="none",
                lifespan="on",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                # Longer than clients keep a connection alive, so that the server never closes one under a request.
                timeout_keep_alive=120,
                timeout_graceful_shutdown=_STOP_WITHIN_S,
            )
        )
        self._sandbox = sandbox
        self._handle_signals = handle_signals
        self.on_started: Callable[[], None] = lambda: None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's, does not raise the signal again afterwards: Ctrl-C is the normal way to stop."""
        if not self._handle_signals:
            yield
            return
        loop = asyncio.get_running_loop()
        for number in HANDLED_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in HANDLED_SIGNALS:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.faults.stop()  # before uvicorn waits for requests: a hang would block it
        await super().shutdown(sockets)


def _build(data_dir: Path | None, make_emulators: MakeEmulators) -> Sandbox:
    try:
        return build_sandbox(data_dir, make_emulators)
    except OSError as error:
        raise SandboxCannotStart(
            f"the data directory {data_dir} cannot be used ({error.strerror}); choose another with --data-dir"
        ) from None


async def _exit_when(stop: asyncio.Event, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise SandboxPortTaken(f"the sandbox cannot listen on {host}:{port} ({error.strerror})") from None
    listener.setblocking(False)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
