"""A read that was sent without a coroutine: see `VaultHttpClient.begin`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from app.http.auth import AuthHeaders
from app.http.message import CallLike, VaultReply, VaultRequest
from app.http.transports.base import TransportError
from app.http.transports.lean.connection import LeanConnection

if TYPE_CHECKING:
    from app.http.client import VaultHttpClient


class Releasable(Protocol):
    def release(self) -> None: ...


class SentCall(Struct, eq=False):  # created in C, for each call
    """The first attempt at a read. `on_done` is called once, when `reply` or `error` is set; it must not raise.

    Then `VaultHttpClient.finish` must be called, or before it `cancel`. `gate` is released when the attempt ends.
    `final_reply` is what `send` would have returned. `span` is its span, if the request is sampled for traces.
    """

    client: "VaultHttpClient"
    request: VaultRequest
    call: CallLike
    auth: AuthHeaders
    permit: int
    started_at: float
    deadline_at: float
    on_done: "Callable[[SentCall], object]"
    span: Any
    connection: LeanConnection | None = None
    gate: Releasable | None = None
    reply: VaultReply | None = None
    error: TransportError | None = None
    final_reply: VaultReply | None = None
    is_cancelled: bool = False

    def cancel(self) -> None:
        """End the attempt; `on_done` will not be called."""
        self.client.cancel(self)

    # The connection's `Waiter`.

    def set_result(self, reply: VaultReply) -> None:
        self.reply = reply
        self.on_done(self)

    def set_exception(self, error: TransportError) -> None:
        self.error = error
        self.on_done(self)

    def done(self) -> bool:
        return self.is_cancelled
