"""The general transport: one aiohttp session per vault for the life of the process."""

import asyncio
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

import aiohttp
from aiohttp import client_exceptions as errors
from multidict import CIMultiDict
from yarl import URL

from app.http.message import VaultReply
from app.http.transports.aiohttp_connection import connector
from app.http.transports.base import Cause, MaybeSent, NotSent, TransportError, refuse_unsafe_once
from app.http.transports.decode import decoded
from app.http.transports.refused import ReplyRefused

# Common servers close idle connections after 5 s (uvicorn, Node). A connection closed just as a write is sent makes
# that write's outcome unknown, so the client closes first.
KEEPALIVE_S: Final = 4.0
_DNS_TTL_S: Final = 10
_LEAST_BUFFER: Final = 2**16
_LEAST_FINAL: Final = 200  # aiohttp returns 101 as a response, but HTTP ends on that connection

CAUSES: Final[Mapping[type[aiohttp.ClientError], Cause]] = {
    errors.ClientError: Cause.RESET,
    errors.ClientResponseError: Cause.UNREADABLE,  # the head of the reply could not be parsed
    errors.ContentTypeError: Cause.UNREADABLE,
    errors.WSServerHandshakeError: Cause.UNREADABLE,
    errors.ClientHttpProxyError: Cause.CONNECT,
    errors.TooManyRedirects: Cause.UNREADABLE,
    errors.ClientConnectionError: Cause.RESET,
    errors.ClientConnectionResetError: Cause.RESET,
    errors.ClientOSError: Cause.RESET,
    errors.ClientConnectorError: Cause.CONNECT,
    errors.ClientConnectorDNSError: Cause.CONNECT,
    errors.ClientProxyConnectionError: Cause.CONNECT,
    errors.UnixClientConnectorError: Cause.CONNECT,
    errors.ServerConnectionError: Cause.RESET,
    errors.ServerDisconnectedError: Cause.RESET,
    errors.ServerTimeoutError: Cause.TIMEOUT,
    errors.ConnectionTimeoutError: Cause.TIMEOUT,
    errors.SocketTimeoutError: Cause.TIMEOUT,
    errors.ServerFingerprintMismatch: Cause.CONNECT,
    errors.ClientPayloadError: Cause.TRUNCATED,
    errors.UploadAbortedError: Cause.RESET,
    errors.InvalidURL: Cause.INVALID,
    errors.InvalidUrlClientError: Cause.INVALID,
    errors.RedirectClientError: Cause.UNREADABLE,
    errors.NonHttpUrlClientError: Cause.INVALID,
    errors.InvalidUrlRedirectClientError: Cause.UNREADABLE,
    errors.NonHttpUrlRedirectClientError: Cause.UNREADABLE,
    errors.ClientSSLError: Cause.CONNECT,
    errors.ClientConnectorSSLError: Cause.CONNECT,
    errors.ClientConnectorCertificateError: Cause.CONNECT,
}
"""Every exception of aiohttp's client, by exact class. A test fails if a new version adds one that is missing here."""


class _Exchange:
    """One request's headers, and whether it was handed to a connection."""

    __slots__ = ("headers", "is_sent")

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self.is_sent = False


_FLIGHT: Final[ContextVar[_Exchange]] = ContextVar("vaultgraph_flight")


class _Request(aiohttp.ClientRequest):
    """Marks the request as sent before the first byte is written: a timeout exception does not tell the phase.

    Sends exactly the headers of `_FLIGHT`. The session would copy them twice and add its defaults.
    """

    _skip_auto_headers = CIMultiDict({"Content-Type": None})  # otherwise added to requests with a body

    def update_headers(self, headers: object) -> None:
        own = _FLIGHT.get().headers
        host = self.url.host_port_subcomponent or ""
        self.headers = CIMultiDict(own if "host" in own else [("Host", host), *own.items()])

    def update_auto_headers(self, skip_auto_headers: object) -> None:
        """No automatic headers."""

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        if conn.protocol is None or not conn.protocol.is_connected():
            raise errors.ClientConnectionResetError  # closed, or unsolicited data received, before sending
        _FLIGHT.get().is_sent = True
        return await super().send(conn)


class AiohttpTransport:
    """See `Transport`. Needs no running loop when created; the session opens on the first call.

    Ignores proxy environment variables and ``.netrc``; pass `proxy` to use a proxy.
    """

    def __init__(
        self,
        *,
        connections: int,
        max_body_bytes: int,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limit = connections
        self._max_body_bytes = max_body_bytes
        self._proxy = proxy
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline_at: float
    ) -> VaultReply:
        refuse_unsafe_once(method, url, headers)
        session = self._session or self._open()
        if deadline_at <= asyncio.get_running_loop().time():
            raise NotSent(Cause.TIMEOUT)
        flight = _Exchange(headers)
        marker = _FLIGHT.set(flight)
        try:
            async with asyncio.timeout_at(deadline_at):
                return await self._exchange(session, method, url, body)
        except TransportError:
            raise
        except (aiohttp.ClientError, OSError) as error:  # OSError: TimeoutError, and resets while the body is read
            failure = MaybeSent if flight.is_sent else NotSent
            raise failure(cause_of(error), type(error).__name__) from None
        except ValueError:  # yarl rejects the URL, or the reply's head has an invalid number
            raise (MaybeSent(Cause.UNREADABLE) if flight.is_sent else NotSent(Cause.INVALID)) from None
        finally:
            _FLIGHT.reset(marker)

    async def _exchange(self, session: aiohttp.ClientSession, method: str, url: str, body: bytes | None) -> VaultReply:
        reply = await session.request(method, URL(url, encoded=True), data=body, allow_redirects=False)
        try:
            content = await self._read(reply)
        except BaseException:
            reply.close()  # unread data must never be parsed as the next reply
            raise
        reply.release()
        if reply.status < _LEAST_FINAL:
            raise MaybeSent(Cause.UNREADABLE)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        if content and "content-encoding" in headers:
            try:
                content = decoded(content, headers["content-encoding"], self._max_body_bytes)
            except ReplyRefused as refused:
                raise MaybeSent(refused.cause) from None
        return VaultReply(reply.status, headers, content)

    async def _read(self, reply: aiohttp.ClientResponse) -> bytes:
        """Read the whole body, still encoded; raises `MaybeSent` above `max_body_bytes`."""
        stream, limit = reply.content, self._max_body_bytes
        if (reply.content_length or 0) > limit:
            raise MaybeSent(Cause.TOO_LARGE)
        first = await stream.readany()
        if stream.at_eof() and len(first) <= limit:
            return first
        parts, size = [first], len(first)
        while size <= limit:
            part = await stream.readany()
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
        raise MaybeSent(Cause.TOO_LARGE)

    @property
    def connections(self) -> tuple[int, int]:
        """See `Transport`."""
        pool = None if self._session is None else self._session.connector
        if pool is None:
            return 0, 0
        return len(pool._acquired), sum(map(len, pool._conns.values()))  # aiohttp has no public counts

    def _open(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise NotSent(Cause.CLOSED)
        session = aiohttp.ClientSession(
            connector=connector(limit=self._limit, keepalive_s=KEEPALIVE_S, dns_ttl_s=_DNS_TTL_S, tls=self._tls),
            auto_decompress=False,  # `decoded` supports more codings and detects truncated streams
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # `send` enforces the deadline
            request_class=_Request,
            raise_for_status=False,
            trust_env=False,
            proxy=self._proxy,
            read_bufsize=max(_LEAST_BUFFER, min(self._max_body_bytes, 2**18)),
        )
        # aiohttp retries GET, PUT and DELETE by itself when a keep-alive connection is dead (client.py,
        # `retry_persistent_connection`). A PUT may have been applied by then; retry.py decides about retries.
        session._retry_connection = False
        self._session = session
        return session

    async def close(self) -> None:
        """Close the session; idempotent. Calls in flight fail; later calls raise `NotSent`."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def cause_of(error: BaseException) -> Cause:
    """Map a library exception to a `Cause`."""
    if isinstance(error, aiohttp.ClientError):
        known = (CAUSES[kind] for kind in type(error).__mro__ if kind in CAUSES)
        return next(known, Cause.RESET)
    return Cause.TIMEOUT if isinstance(error, TimeoutError) else Cause.RESET
