"""uvicorn's HTTP protocol with the limits that it lacks: on headers, and on how long a request may take to begin.

llhttp bounds neither the size nor the number of headers, and uvicorn waits for ever for a request that trickles in.
Refusals at this level are JSON, as everywhere else.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEADER_BYTES: Final = 32_768
MOST_HEADERS: Final = 100
_HEAD_WITHIN_S: Final = 10.0
_MOST_LEFT_OVER: Final = 16_000_000  # of a body that nobody reads any more
_TOLD: Final = {
    400: ("BAD_REQUEST", "The request is not HTTP."),
    408: ("REQUEST_TIMEOUT", "The request did not arrive in time."),
    431: ("HEADER_LIMIT", "The request headers are too large."),
}


class _HeadersTooLarge(Exception):
    """Raised into the parser, which stops."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `head_within_s` counts from its opening, or from a request's first bytes."""

    head_within_s = _HEAD_WITHIN_S

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = True
        self._head_bytes = 0
        self._left_over = 0
        self._status = 400
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self.head_within_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head or not self._head_bytes or self.transport.is_closing():
            return
        if self._head_bytes > MOST_HEADER_BYTES:
            self._refuse(431)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_within_s, self._head_is_late)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        headers = self.headers
        if self._head_bytes > MOST_HEADER_BYTES or len(headers) > MOST_HEADERS:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in headers)
            if size > MOST_HEADER_BYTES or len(headers) > MOST_HEADERS:
                self._status = 431
                raise _HeadersTooLarge
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None and self.cycle.response_complete:
            self._left_over += len(body)
            if self._left_over > _MOST_LEFT_OVER:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._left_over = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._status)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._in_head and not self.transport.is_closing():
            if self._head_bytes:
                self._refuse(408)
            else:
                self.transport.close()

    def _refuse(self, status: int) -> None:
        self._stop_timer()
        code, message = _TOLD[status]
        body = json.dumps({"errors": [{"message": message, "extensions": {"code": code}}]}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
