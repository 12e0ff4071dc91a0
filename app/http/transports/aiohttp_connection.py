"""aiohttp client connections that close when unsolicited bytes arrive (RFC 9112 §9.2).

Plain aiohttp keeps such bytes and parses them as the response to the next request. This is the only file that uses
private attributes of aiohttp (3.14; tests/unit/test_http_connections.py fails if a release renames one): the
connector's `_factory`, and its protocol's `_parser` and `_buffer`.
"""

import asyncio
import select
import ssl
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from app.http.transports.base import Cause, MaybeSent

_LEAST_FINAL: Final = 200
_SWITCHING: Final = 101


class AnswersOnly(ResponseHandler):
    """One connection. A response is expected from `set_response_params`, called before each request, to its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._is_asked = False
        self._answer: aiohttp.StreamReader | None = None  # the final answer's body, once its head has been read
        self._has_more = False
        self._poll: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def is_connected(self) -> bool:
        """Whether a request may be sent. aiohttp calls this when it takes a connection from the pool.

        Polls the socket too: data or EOF may have arrived that the event loop has not read yet.
        """
        if not super().is_connected():
            return False
        return self._is_asked or self._poll is None or not self._poll.poll(0)

    def set_response_params(self, **params: Any) -> None:
        self._is_asked, self._answer, self._has_more = True, None, False
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Called when a message's head has been parsed; `data` is the message and its payload."""
        message, payload = data
        if self._answer is not None:
            self._has_more = True
        elif message.code >= _LEAST_FINAL or message.code == _SWITCHING:
            self._answer = payload
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        if not self._is_asked:
            if data:  # aiohttp calls this with no data when it resumes reading
                self.abort()
            return
        super().data_received(data)
        answer = self._answer
        if answer is not None and (answer.is_eof() or self._has_more):
            self._is_asked = False
            if self._has_surplus():
                self._refuse(answer)

    def _has_surplus(self) -> bool:
        """Whether any data, even a partial message, followed the end of the response in the same read."""
        parser, self._parser = self._parser, None
        if self._has_more or parser is None:
            return True
        try:
            return parser.feed_eof() is not None
        except Exception:  # noqa: BLE001 - the parser fails if a message is incomplete
            return True

    def _refuse(self, answer: aiohttp.StreamReader) -> None:
        """Fail the request: it is ambiguous which of the two messages is its response."""
        self.abort()
        self._buffer.clear()
        failure = MaybeSent(Cause.UNREADABLE)
        self.set_exception(failure)
        answer.set_exception(failure)


def connector(*, limit: int, keepalive_s: float, dns_ttl_s: int, tls: ssl.SSLContext | None) -> aiohttp.TCPConnector:
    """A connector whose connections are `AnswersOnly`. Requires a running loop."""
    made = aiohttp.TCPConnector(limit=limit, keepalive_timeout=keepalive_s, ttl_dns_cache=dns_ttl_s, ssl=tls or True)
    loop = asyncio.get_running_loop()
    made._factory = lambda: AnswersOnly(loop)  # type: ignore[assignment]
    return made
