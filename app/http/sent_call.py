"""A read that was sent without a coroutine: see `VaultHttpClient.begin`."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.http.message import CallLike, VaultReply, VaultRequest
from app.http.transports.base import TransportError

if TYPE_CHECKING:
    from app.http.auth import AuthHeaders
    from app.http.client import VaultHttpClient
    from app.http.transports.lean.connection import LeanConnection


class SentCall:
    """The first attempt at a read. `on_done` is called once, when `reply` or `error` is set; it must not raise.

    Then `VaultHttpClient.finish` must be called, or before it `cancel`. `gate` is released when the attempt ends.
    `final_reply` is what `send` would have returned.
    """

    __slots__ = (
        "auth", "call", "client", "connection", "deadline_at", "error", "final_reply", "gate", "is_cancelled",
        "on_done", "permit", "reply", "request", "started_at",
    )  # fmt: skip

    def __init__(
        self,
        client: "VaultHttpClient",
        request: VaultRequest,
        call: CallLike,
        auth: "AuthHeaders",
        permit: int,
        started_at: float,
        deadline_at: float,
        on_done: "Callable[[SentCall], object]",
    ) -> None:
        self.client = client
        self.request = request
        self.call = call
        self.auth = auth
        self.permit = permit
        self.started_at = started_at
        self.deadline_at = deadline_at
        self.on_done = on_done
        self.connection: LeanConnection
        self.gate: asyncio.Semaphore | None = None
        self.reply: VaultReply | None = None
        self.error: TransportError | None = None
        self.final_reply: VaultReply | None = None
        self.is_cancelled = False

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
