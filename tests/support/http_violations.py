"""A server that violates HTTP/1.1 in a way scripted per request: bytes, their chunking, and what follows.

It runs in the client's process, to see which client sockets have received what: a test can continue as soon as the
kernel has the bytes, whether or not the client's event loop has read them.
"""

import asyncio
import gzip
import os
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Final, cast

_LARGE: Final = 1_000_000


class Step(Enum):
    PAUSE = auto()  # the client's event loop reads what was written
    END = auto()  # the connection is closed
    RESET = auto()


@dataclass
class Script:
    """`steps` answer one request. `idle` is written when the connection is idle, `later` before the next reply.

    `has_more`: the steps contain more than the reply. The client must then close the connection.
    """

    steps: list[bytes | Step]
    has_more: bool = False
    idle: bytes = b""
    later: bytes = b""


class ViolatingServer:
    """`script` returns each request's script by its target.

    Targets that begin with `/early` are answered after the request's head; a large body is never read.
    """

    def __init__(self, script: Callable[[str], Script]) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: _Connection
        self.connections = 0

    async def start(self) -> str:
        listener = socket.socket(proto=socket.IPPROTO_TCP)  # otherwise asyncio would not set TCP_NODELAY
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # unread data stays with the client
        listener.bind(("127.0.0.1", 0))
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), sock=listener)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    async def close(self) -> None:
        self._server.close()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def finish(self, random: Random) -> None:
        """Send the rest of the last script, and wait until it has arrived: it is read, or the kernel shows it."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        for _ in range(random.randrange(3)):
            await asyncio.sleep(0)
        last, script = self._last, self._last.script
        last.write(script.idle)
        if not (script.idle or script.has_more or Step.END in script.steps or Step.RESET in script.steps):
            return
        port = last.client_port
        for _ in range(10_000):
            found = _socket_of(port)
            if found is None or found.poll(0):
                return
            await asyncio.sleep(0)
        raise AssertionError("the client keeps a connection on which it received unsolicited data")

    def answer(self, connection: "_Connection", target: str) -> None:
        self._last = connection
        task = asyncio.get_running_loop().create_task(connection.follow(self._script(target)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Connection(asyncio.Protocol):
    def __init__(self, server: ViolatingServer) -> None:
        self._server = server
        self._received = b""
        self._unread = 0
        self._is_deaf = False
        self.script = Script([])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._fd = transport.get_extra_info("socket").fileno()
        self.client_port = transport.get_extra_info("peername")[1]
        self._server.connections += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        while not self._is_deaf:
            skipped = min(self._unread, len(self._received))
            self._received, self._unread = self._received[skipped:], self._unread - skipped
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._received[:end].decode()
            target = head.split(" ", 2)[1]
            length = next((int(one[15:]) for one in head.lower().split("\r\n") if one.startswith("content-length:")), 0)
            is_early = target.startswith("/early")
            if len(self._received) < end + 4 + length and not is_early:
                return
            self._received, self._unread = self._received[end + 4 :], length
            self._server.answer(self, target)
            if is_early and length > _LARGE:
                self._is_deaf = True
                self._transport.pause_reading()

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            with suppress(OSError):  # the client has closed it
                os.write(self._fd, data)

    async def follow(self, script: Script) -> None:
        later, self.script = self.script.later, script
        self.write(later)
        for step in script.steps:
            if isinstance(step, bytes):
                self.write(step)
            elif step is Step.PAUSE:
                for _ in range(3):
                    await asyncio.sleep(0)
            elif step is Step.END:
                self._transport.close()
            else:
                self._transport.abort()


def _socket_of(port: int) -> "select.poll | None":
    """A poll of this process's socket that is bound to the port, if there is one."""
    for name in os.listdir("/dev/fd"):
        try:
            one = socket.socket(fileno=int(name))
        except OSError:  # no socket, or closed meanwhile
            continue
        try:
            if one.getsockname()[1:2] == (port,):
                found = select.poll()
                found.register(one.fileno(), select.POLLIN)
                return found
        finally:
            one.detach()
    return None


def head(status: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} X", "content-type: text/plain", *lines, "", ""]).encode()


def answer(random: Random, body: bytes) -> bytes:
    """A valid reply with this body, in one of HTTP's framings."""
    kind = random.randrange(5)
    if kind == 0:
        chunks, rest = b"", body
        while rest:
            size = random.randint(1, len(rest))
            chunks += b"%x%s\r\n%s\r\n" % (size, random.choice([b"", b";a=b"]), rest[:size])
            rest = rest[size:]
        return head(200, "transfer-encoding: chunked") + chunks + b"0\r\n" + random.choice([b"", b"t: 1\r\n"]) + b"\r\n"
    if kind == 1:
        body = gzip.compress(body)
        return head(200, "content-encoding: gzip", f"content-length: {len(body)}") + body
    return head(200, f"content-length: {len(body)}") + body


def pieces(random: Random, data: bytes, most: int = 4) -> list[bytes | Step]:
    """The same bytes, split at random places."""
    cuts = sorted(random.randint(0, len(data)) for _ in range(random.randrange(most)))
    steps: list[bytes | Step] = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        steps += [data[start:end], Step.PAUSE]
    return steps[:-1]


def unasked(random: Random, foreign: bytes) -> bytes:
    """Unsolicited server data: another reply, or what looks like the start of one."""
    whole = answer(random, foreign)
    timed_out = head(408, "connection: close", f"content-length: {len(foreign)}") + foreign
    return random.choice(
        [
            whole,
            whole,
            whole * 2,
            whole[: random.randint(1, len(whole) - 1)],
            timed_out,
            timed_out[: random.randint(1, len(timed_out) - 1)],
            head(100),
            head(103, "link: </x>"),
            head(204),
            foreign,
            b"0\r\n\r\n",
            b"\r\n" + whole,
            b"\0",
        ]
    )
