"""One connection: one request at a time, one reply or one honest failure for each."""

import asyncio
import select
from typing import Final, Protocol, cast

from app.http.lean.reader import ReplyReader
from app.http.message import VaultReply
from app.http.refused import Refused
from app.http.transport import Cause, MaybeSent

# Common servers drop idle connections after 5 s (uvicorn, Node). A connection dropped just as a write goes out makes
# that write's outcome unknown, so ours are given up first.
KEEPALIVE_S: Final = 4.0
# A vault that moves to other addresses, or takes a machine out of service, gets our traffic there in this time.
LIFETIME_S: Final = 300.0


class Owner(Protocol):
    """Who is told what becomes of a connection."""

    def on_free(self, connection: "Connection") -> None:
        """It may carry another request."""

    def on_gone(self, connection: "Connection") -> None:
        """It will never carry another request. Told once."""


class Connection(asyncio.Protocol):
    """Born when the socket is connected (and TLS is up). Everything happens on one loop; nothing here waits."""

    __slots__ = (
        "_alarm", "_alarm_at", "_deadline_at", "_expires_at", "_free_since", "_loop", "_owner", "_poll",
        "_reader", "_started_at", "_transport", "_waiter", "is_gone",
    )  # fmt: skip

    def __init__(self, owner: Owner, max_body_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._reader = ReplyReader(max_body_bytes)
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[VaultReply] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = self._deadline_at = self._started_at = 0.0
        self._free_since = self._loop.time()
        self._expires_at = self._free_since + LIFETIME_S
        self._poll: select.poll | None = None
        self.is_gone = False

    def is_usable(self, now: float) -> bool:
        """Whether a request may go out on it, as far as anyone can know.

        Asks the kernel too: an end that has arrived but that the loop has not read yet, and bytes nobody asked for,
        both make it readable.
        """
        if self.is_gone or self._transport.is_closing():
            return False
        if now - self._free_since >= KEEPALIVE_S or now >= self._expires_at:
            return False
        return not (self._poll and self._poll.poll(0))

    def ask(
        self, request: bytes, *, is_head: bool, deadline_at: float, started_at: float
    ) -> "asyncio.Future[VaultReply]":
        """Hand over the whole request. From here on, no answer means `MaybeSent`.

        Whoever awaits the future calls `give_up` when cancelled.
        """
        self._reader.expect(is_bodiless=is_head)
        self._started_at = started_at
        self._waiter = waiter = self._loop.create_future()
        self._wake_by(deadline_at)
        self._transport.write(request)
        return waiter

    def give_up(self, waiter: "asyncio.Future[VaultReply]") -> None:
        """Nobody waits for this reply any more: the connection goes with it."""
        if self._waiter is waiter:  # else it is answered already, and may carry someone else's request by now
            self._fail(Cause.RESET)

    def drop(self, cause: Cause = Cause.CLOSED) -> None:
        """Close at once; a request in flight fails with `cause`."""
        if self._waiter is not None:
            self._fail(cause)
        else:
            self._leave(politely=True)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self._leave(politely=False)  # nobody asked: what is it an answer to?
            return
        try:
            if self._reader.feed(data):
                self._answer(self._reader.may_keep)
        except Refused as refused:
            self._fail(refused.cause)

    def eof_received(self) -> None:
        if self._waiter is None:
            self._leave(politely=True)
        elif self._reader.ends_with_connection():
            try:
                self._answer(False)
            except Refused as refused:
                self._fail(refused.cause)
        else:
            self._fail(self._cut())

    def connection_lost(self, exc: Exception | None) -> None:
        """Also the only news of a TLS connection that ended without saying so: then no reply is believed whole."""
        if self._waiter is not None:
            self._fail(self._cut())
        else:
            self._leave(politely=False)

    def _cut(self) -> Cause:
        return Cause.TRUNCATED if self._reader.has_head else Cause.RESET

    def _answer(self, may_keep: bool) -> None:
        """Raises `Refused` for a body that does not decode."""
        now, waiter = self._loop.time(), self._waiter
        reply = self._reader.reply(round((now - self._started_at) * 1000))
        self._waiter = None
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)
        # A vault that answered before it had the whole request may take its rest for the next one.
        if may_keep and not self.is_gone and not self._transport.get_write_buffer_size():
            self._free_since = now
            self._owner.on_free(self)
        else:
            self._leave(politely=True)

    def _fail(self, cause: Cause) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(MaybeSent(cause))
        self._leave(politely=False)

    def _leave(self, *, politely: bool) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        self._poll = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if politely and not self._transport.get_write_buffer_size():  # else it would wait to write the rest
            self._transport.close()
        else:
            self._transport.abort()
        self._owner.on_gone(self)

    # One timer serves many requests: deadlines mostly move forward, so it is looked at when it rings, not moved.

    def _wake_by(self, deadline_at: float) -> None:
        self._deadline_at = deadline_at
        if self._alarm is None or self._alarm_at > deadline_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = deadline_at
            self._alarm = self._loop.call_at(deadline_at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._waiter is None:
            return
        if self._loop.time() >= self._deadline_at:
            self._fail(Cause.TIMEOUT)
        else:
            self._wake_by(self._deadline_at)
