"""One HTTP/1.1 connection: one request at a time, each ending in a reply or a `MaybeSent`."""

import asyncio
import select
from collections import deque
from typing import Final, Protocol, cast

from app.http.message import VaultReply
from app.http.transports.base import Cause, MaybeSent
from app.http.transports.lean.reader import ReplyReader, whole_reply
from app.http.transports.refused import ReplyRefused

# Common servers close idle connections after 5 s (uvicorn, Node). A connection closed just as a write is sent makes
# that write's outcome unknown, so the client closes first.
KEEPALIVE_S: Final = 4.0
# After a DNS change or a drained machine, traffic follows within this time.
LIFETIME_S: Final = 300.0


class Waiter(Protocol):
    """Receives the outcome of one request: an `asyncio.Future`, or what needs no turn of the loop. May not raise."""

    def set_result(self, reply: VaultReply, /) -> None: ...
    def set_exception(self, error: MaybeSent, /) -> None: ...
    def done(self) -> bool:
        """Whether an outcome is no longer wanted."""
        ...


class ConnectionOwner(Protocol):
    """Receives the state changes of a connection."""

    free: "list[LeanConnection]"
    """Connections that may carry another request. A connection adds itself if there are no `waiters`."""
    waiters: "deque[asyncio.Future[LeanConnection | None]]"

    def on_free(self, connection: "LeanConnection") -> None:
        """The connection may carry another request; give it to the first of `waiters`."""

    def on_gone(self, connection: "LeanConnection") -> None:
        """The connection will carry no further request. Called once."""


class LeanConnection(asyncio.Protocol):
    """Created once the socket is connected (and TLS is established). Single event loop; no method waits."""

    __slots__ = (
        "_deadline_at", "_expires_at", "_free_since", "_loop", "_max_body_bytes", "_owner", "_poll",
        "_reader", "_timer", "_timer_at", "_transport", "_waiter", "is_gone",
    )  # fmt: skip

    def __init__(self, owner: ConnectionOwner, max_body_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._max_body_bytes = max_body_bytes
        self._reader = ReplyReader(max_body_bytes)
        self._transport: asyncio.Transport
        self._waiter: Waiter | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline_at = 0.0
        self._free_since = self._loop.time()
        self._expires_at = self._free_since + LIFETIME_S
        self._poll: select.poll | None = None
        self.is_gone = False

    def is_usable(self, now: float) -> bool:
        """Whether a request may be sent, as far as is known.

        Polls the socket too: unread EOF and unsolicited bytes both make it readable.
        """
        if self.is_gone or self._transport.is_closing():
            return False
        if now - self._free_since >= KEEPALIVE_S or now >= self._expires_at:
            return False
        return not (self._poll and self._poll.poll(0))

    def ask(self, request: bytes, is_head: bool, deadline_at: float, waiter: Waiter) -> None:
        """Send the whole request. From now on, a missing reply is `MaybeSent`.

        The caller must call `give_up` if it no longer wants the outcome.
        """
        if is_head or not self._reader.is_idle:
            self._reader.expect(is_bodiless=is_head)
        self._waiter = waiter
        self._deadline_at = deadline_at
        if self._timer is None or self._timer_at > deadline_at:
            self._set_timer()
        self._transport.write(request)

    def give_up(self, waiter: Waiter) -> None:
        """Close the connection: the reply is no longer wanted."""
        if self._waiter is waiter:  # otherwise already answered; the connection may carry another request by now
            self._fail(Cause.RESET)

    def drop(self, cause: Cause = Cause.CLOSED) -> None:
        """Close immediately; a request in flight fails with `cause`."""
        if self._waiter is not None:
            self._fail(cause)
        else:
            self._close(gracefully=True)

    # asyncio.Protocol callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self._close(gracefully=False)  # unsolicited bytes
            return
        reader = self._reader
        try:
            if reader.is_idle and (reply := whole_reply(data, self._max_body_bytes)) is not None:
                self._answer(reply, True)
            elif reader.feed(data):
                self._answer(reader.reply(), reader.may_keep)
        except ReplyRefused as refused:
            self._fail(refused.cause)

    def eof_received(self) -> None:
        if self._waiter is None:
            self._close(gracefully=True)
        elif self._reader.ends_with_connection():
            try:
                self._answer(self._reader.reply(), False)
            except ReplyRefused as refused:
                self._fail(refused.cause)
        else:
            self._fail(self._cause_of_end())

    def connection_lost(self, exc: Exception | None) -> None:
        """Also the only signal for a TLS connection closed without close_notify: its reply may be truncated."""
        if self._waiter is not None:
            self._fail(self._cause_of_end())
        else:
            self._close(gracefully=False)

    def _cause_of_end(self) -> Cause:
        return Cause.TRUNCATED if self._reader.has_head else Cause.RESET

    def _answer(self, reply: VaultReply, may_keep: bool) -> None:
        """Free or close the connection, then resolve the waiter, which may send the next request at once."""
        waiter, self._waiter = self._waiter, None
        # A vault that replied before it read the whole request could parse the rest as the next request.
        if not may_keep or self.is_gone or self._transport.get_write_buffer_size():
            self._close(gracefully=True)
        else:
            self._free_since = self._loop.time()
            if self._owner.waiters:
                self._owner.on_free(self)
            else:
                self._owner.free.append(self)
        if waiter is not None:
            try:  # noqa: SIM105 - `suppress` takes four calls
                waiter.set_result(reply)
            except asyncio.InvalidStateError:
                pass  # the caller was cancelled

    def _fail(self, cause: Cause) -> None:
        waiter, self._waiter = self._waiter, None
        self._close(gracefully=False)
        if waiter is not None and not waiter.done():
            waiter.set_exception(MaybeSent(cause))

    def _close(self, *, gracefully: bool) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        self._poll = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if gracefully and not self._transport.get_write_buffer_size():  # otherwise close() waits to flush
            self._transport.close()
        else:
            self._transport.abort()
        self._owner.on_gone(self)

    # One timer serves many requests: deadlines mostly move forward, so it is rescheduled only when it fires.

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline_at
        self._timer = self._loop.call_at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() >= self._deadline_at:
            self._fail(Cause.TIMEOUT)
        else:
            self._set_timer()
