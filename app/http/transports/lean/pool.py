"""Connection pool of one host: bounded, with keep-alive and a maximum connection age."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final

import aiohappyeyeballs
import uvloop

from app.http.transports.base import Cause, NotSent
from app.http.transports.lean.connection import KEEPALIVE_S, LeanConnection

_DNS_TTL_S: Final = 10.0
_SECOND_ADDRESS_AFTER_S: Final = 0.25  # RFC 8305 §8
_TLS_SHUTDOWN_S: Final = 1.0
_SWEEP_S: Final = KEEPALIVE_S / 4


class Pool:
    """At most `limit` connections to one host and port; further callers wait in FIFO order."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, limit: int, max_body_bytes: int) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._limit = limit
        self._max_body_bytes = max_body_bytes
        self.free: list[LeanConnection] = []  # LIFO: the most recently used connection is last
        self._all: set[LeanConnection] = set()
        self._slots = 0  # in use: open connections and those being opened
        self.waiters: deque[asyncio.Future[LeanConnection | None]] = deque()
        self._addresses: Sequence[aiohappyeyeballs.AddrInfoType] = ()
        self._addresses_until = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def size(self) -> int:
        """Open connections, and those being opened."""
        return self._slots

    def take(self, deadline_at: float) -> LeanConnection | None:
        """A free, usable connection, or None. Raises `NotSent` after the deadline."""
        loop, free = self._loop or self._bind(), self.free
        now = loop.time()
        if deadline_at <= now:
            raise NotSent(Cause.TIMEOUT)
        while free:
            connection = free.pop()
            if connection.is_usable(now):
                return connection
            connection.drop()
        return None

    def _bind(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()  # looked up once: the pool stays on one loop
        return self._loop

    async def obtain(self, deadline_at: float) -> LeanConnection:
        """Open a connection or wait for one. Raises `NotSent` only."""
        try:
            async with asyncio.timeout_at(deadline_at):
                return await self._obtain(deadline_at)
        except TimeoutError:
            raise NotSent(Cause.TIMEOUT) from None
        except OSError as error:  # refused, unreachable, unknown host, TLS errors
            raise NotSent(Cause.CONNECT, type(error).__name__) from None
        except ValueError:  # host name that DNS cannot encode
            raise NotSent(Cause.INVALID, "host") from None

    async def close(self) -> None:
        """Close all connections; requests in flight and waiting fail."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        while self.waiters:
            self._wake_next(None)
        left = list(self._all)
        for connection in left:
            connection.drop()
        if left:
            await asyncio.sleep(0)  # let the loop close the sockets

    # `ConnectionOwner` callbacks.

    def on_free(self, connection: LeanConnection) -> None:
        if self._is_closed:
            connection.drop()
        elif not self._wake_next(connection):
            self.free.append(connection)

    def on_gone(self, connection: LeanConnection) -> None:
        self._all.discard(connection)
        if connection in self.free:
            self.free.remove(connection)
        self._free_slot()

    def _free_slot(self) -> None:
        self._slots -= 1
        self._wake_next(None)

    def _wake_next(self, connection: LeanConnection | None) -> bool:
        """Wake the first waiter with a connection, or with None: a slot is free, or the pool is closed."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    async def _obtain(self, deadline_at: float) -> LeanConnection:
        is_first_in_line = False
        while not self._is_closed:
            if (connection := self.take(deadline_at)) is not None:
                return connection
            if self._slots < self._limit:
                return await self._open()
            connection = await self._wait(is_first_in_line)
            if connection is not None:
                if connection.is_usable(asyncio.get_running_loop().time()):
                    return connection
                connection.drop()
            is_first_in_line = True  # it has waited once: a faster caller must not send it to the end of the queue
        raise NotSent(Cause.CLOSED)

    async def _wait(self, is_first_in_line: bool) -> LeanConnection | None:
        waiter: asyncio.Future[LeanConnection | None] = asyncio.get_running_loop().create_future()
        if is_first_in_line:
            self.waiters.appendleft(waiter)
        else:
            self.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._pass_on(waiter)
            raise

    def _pass_on(self, waiter: "asyncio.Future[LeanConnection | None]") -> None:
        """Hand a cancelled waiter's connection or slot to the next waiter."""
        if not waiter.done() or waiter.cancelled():
            return
        connection = waiter.result()
        if connection is None:
            self._wake_next(None)
        elif connection.is_usable(asyncio.get_running_loop().time()):
            self.on_free(connection)
        else:
            connection.drop()

    async def _open(self) -> LeanConnection:
        self._slots += 1
        try:
            connection = await self._connect()
        except BaseException:
            self._free_slot()
            raise
        if connection.is_gone:  # the vault closed it before use; `on_gone` has already freed the slot
            raise NotSent(Cause.CONNECT)
        self._all.add(connection)
        if self._is_closed:
            connection.drop()
            raise NotSent(Cause.CLOSED)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        return connection

    async def _connect(self) -> LeanConnection:
        loop = asyncio.get_running_loop()
        sock = await aiohappyeyeballs.start_connection(
            await self._resolve(loop), happy_eyeballs_delay=_SECOND_ADDRESS_AFTER_S, interleave=1, loop=loop
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                lambda: LeanConnection(self, self._max_body_bytes),
                sock=sock,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_S if self._tls else None,
            )
        except BaseException:
            sock.close()
            raise
        if connection.is_gone and isinstance(loop, uvloop.Loop):
            # uvloop takes over the socket object only now, but closed its descriptor before. Another connection may
            # already have the same descriptor; collecting this object must not close it.
            sock.detach()
        return connection

    async def _resolve(self, loop: asyncio.AbstractEventLoop) -> "Sequence[aiohappyeyeballs.AddrInfoType]":
        if loop.time() >= self._addresses_until:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._addresses, self._addresses_until = found, loop.time() + _DNS_TTL_S
        return self._addresses

    def _sweep(self) -> None:
        """Close connections that have been idle too long, also when no calls are made."""
        now = asyncio.get_running_loop().time()
        for connection in [one for one in self.free if not one.is_usable(now)]:
            connection.drop()
        again = bool(self._all) and not self._is_closed
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep) if again else None
