"""Serves the sandbox with uvicorn, with graceful shutdown."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn

from app.errors import VaultgraphError
from app.sandbox.connection import AbortableProtocol
from app.sandbox.server import MakeEmulators, Sandbox, the_four
from app.server.sockets import url_of

_STOP_WITHIN_S: Final = 3


class SandboxCannotStart(VaultgraphError):
    """The data directory cannot be used; the message is one line for a person."""


async def serve_sandbox(
    sock: socket.socket,
    data_dir: Path | None,
    stop: asyncio.Event,
    *,
    ready: Callable[[str], None] = lambda url: None,
    make_emulators: MakeEmulators = the_four,
) -> None:
    """Serve on a listening socket until `stop` is set, then close it.

    `ready` gets the URL (``http://127.0.0.1:8001``) once requests are answered. Raises SandboxCannotStart if the data
    directory is not writable.
    """
    with sock:
        try:
            sandbox = Sandbox(data_dir, make_emulators)
        except OSError as error:
            raise SandboxCannotStart(
                f"the data directory {data_dir} cannot be used ({error.strerror}); choose another with --data-dir"
            ) from None
        server = _SandboxServer(sandbox, lambda: ready(url_of(sock)))
        stopping = asyncio.create_task(_exit_when(stop, server))
        try:
            await server.serve(sockets=[sock])
        finally:
            stopping.cancel()


async def _exit_when(stop: asyncio.Event, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


class _SandboxServer(uvicorn.Server):
    def __init__(self, sandbox: Sandbox, on_started: Callable[[], None]) -> None:
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
                # Longer than clients keep a connection alive, so that the server never closes one under a request.
                timeout_keep_alive=120,
                timeout_graceful_shutdown=_STOP_WITHIN_S,
            )
        )
        self._sandbox = sandbox
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The command that runs it handles them."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.faults.stop()  # before uvicorn waits for requests: a hang would block it
        await super().shutdown(sockets)
