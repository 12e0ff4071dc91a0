"""Sockets, signals and uvicorn: how one process serves one or more applications and stops cleanly.

The first SIGINT or SIGTERM stops accepting, finishes what is in flight within the grace period and closes down; the
second ends the process at once.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop

from app.errors import VaultgraphError


class PortTaken(VaultgraphError):
    """Something else listens there; the message is one line that says so."""


def bind(host: str, port: int, setting: str) -> socket.socket:
    """Listen on host and port (0 picks a free one). `setting` is the option named when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise PortTaken(f"cannot listen on {host}:{port} ({error.strerror}); choose another with {setting}") from None
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@dataclass(frozen=True, slots=True)
class Service:
    """One application on one listening socket. `options` go to uvicorn's Config."""

    app: Any
    sock: socket.socket
    options: dict[str, Any]


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: several servers share one process here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(
    services: Sequence[Service],
    *,
    grace_s: float,
    on_ready: Callable[[], None] | None = None,
    on_drain: Callable[[], None] | None = None,
) -> None:
    """Serve until a signal. Later services depend on earlier ones: they start in order and stop in reverse."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(services, grace_s, on_ready, on_drain))


async def _serve(
    services: Sequence[Service],
    grace_s: float,
    on_ready: Callable[[], None] | None,
    on_drain: Callable[[], None] | None,
) -> None:
    stopping = asyncio.Event()
    servers = [_Server(_config(service, grace_s)) for service in services]
    _handle_signals(stopping, servers, on_drain)
    tasks: list[asyncio.Task[None]] = []
    try:
        for service, server in zip(services, servers, strict=True):
            tasks.append(asyncio.create_task(server.serve(sockets=[service.sock])))
            while not (server.started or tasks[-1].done()):  # noqa: ASYNC110 - uvicorn offers no event to wait for
                await asyncio.sleep(0.005)
            if tasks[-1].done():
                break
        else:
            if on_ready is not None:
                on_ready()
            await asyncio.wait([asyncio.create_task(stopping.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for server, task in reversed(list(zip(servers, tasks, strict=False))):
            server.should_exit = True
            await asyncio.wait([task])
    for task in tasks:
        task.result()


def _handle_signals(
    stopping: asyncio.Event, servers: Sequence[uvicorn.Server], on_drain: Callable[[], None] | None
) -> None:
    def stop() -> None:
        if stopping.is_set():
            os._exit(130)  # asked twice: now means now
        stopping.set()
        if on_drain is not None:
            on_drain()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _config(service: Service, grace_s: float) -> uvicorn.Config:
    options: dict[str, Any] = {
        "http": "httptools",
        "ws": "websockets-sansio",
        "loop": "uvloop",
        "lifespan": "on",
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "proxy_headers": False,
        "timeout_graceful_shutdown": max(1, round(grace_s)),
        "h11_max_incomplete_event_size": 16_384,
    }
    return uvicorn.Config(service.app, **{**options, **service.options})
