"""A gateway in a counted thread, and a client on a socket in the thread that is not counted."""

import asyncio
import json
import socket
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from app.cli.demo_data import link_demo_customers
from app.main import Gateway
from app.server.run import serve
from app.server.sockets import bind, url_of
from app.settings.model import Settings
from app.testing.server_thread import ServerThread
from bench.calls.counting import Count, Counter, CountingLoop

_IDLE_S: Final = 0.03
_IDLE_WITHIN_S: Final = 3.0


class Client:
    """Sends GraphQL requests over one kept connection, and counts each until the gateway is idle again."""

    def __init__(self, counter: Counter, port: int, token: str) -> None:
        self._counter = counter
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            "POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token}\r\n"
        )

    def send(self, query: str, variables: Mapping[str, Any]) -> tuple[Any, Count]:
        """The data of a reply without errors, and what it cost."""
        body = json.dumps({"query": query, "variables": variables}, separators=(",", ":")).encode()
        self._counter.hold_timers()
        self._until_idle()
        self._counter.begin()
        self._socket.sendall(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = json.loads(self._reply())
        self._until_idle()
        count = self._counter.end()
        assert not answer.get("errors"), answer["errors"]
        return answer["data"], count

    def _reply(self) -> bytes:
        received = b""
        while True:
            received += self._socket.recv(1_000_000)
            head, end, body = received.partition(b"\r\n\r\n")
            if end:
                lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
                if len(body) >= int(lines[b"content-length"]):
                    return body

    def _until_idle(self) -> None:
        """Work after the reply (events, observed methods) belongs to the request too."""
        give_up_at = time.monotonic() + _IDLE_WITHIN_S
        before = -1
        while (now := self._counter.count.calls) != before and time.monotonic() < give_up_at:
            before = now
            time.sleep(_IDLE_S)


class CountedGateway(ServerThread):
    def __init__(self, settings: Settings, counter: Counter) -> None:
        super().__init__("gateway")
        self._settings = settings
        self._counter = counter

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop = CountingLoop()
        loop.counter = self._counter
        return loop

    def client(self, token: str) -> Client:
        return Client(self._counter, urlsplit(self.url).port or 0, token)

    async def serve_until(self, stop: asyncio.Event) -> None:
        gateway = Gateway(self._settings)
        gateway.after_start.append(_link_customers)
        sock = bind("127.0.0.1", 0, "--port")
        self.url = url_of(sock)
        await serve(
            gateway.app,
            sock,
            stop,
            grace_s=1,
            limits=gateway.connection_limits,
            on_started=self.started,
            on_stop=gateway.begin_drain,
        )


async def _link_customers(gateway: Gateway) -> None:
    await link_demo_customers(gateway.store)
