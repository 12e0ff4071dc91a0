"""The lean transport: writes HTTP/1.1 requests on pooled connections."""

import asyncio
import re
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from app.http.message import NO_HEADERS, ExtendedHeaders, FixedHeaders, VaultReply
from app.http.transports.base import Cause, NotSent, refuse_unsafe
from app.http.transports.lean.connection import LeanConnection, Waiter
from app.http.transports.lean.pool import Pool

_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_RESERVED_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_NAMES: Final = 256
_PLAIN_URL: Final = re.compile(r"(https?://[^/?#]+)(/[!\"$-~]*)").fullmatch
_PLAIN_VALUE: Final = re.compile(r"[ -~]*").fullmatch
_PLAIN_TARGET_AND_VALUES: Final = re.compile(r"/[!\"$-~]*\n[ -~]*").fullmatch


class _Host:
    """One scheme, host and port: its connection pool, and the text between a request's target and its headers."""

    __slots__ = ("after_target", "pool")

    def __init__(self, header: str, pool: Pool) -> None:
        self.after_target = f" HTTP/1.1\r\nhost: {header}\r\n"
        self.pool = pool


class LeanTransport:
    """See `Transport`. Needs no running loop when created; connections open on demand.

    At most `connections` per host. Proxies are not supported (use aiohttp). `tls` replaces the default context, which
    verifies host names and certificate chains.
    """

    def __init__(self, *, connections: int, max_body_bytes: int, tls: ssl.SSLContext | None = None) -> None:
        self._limit = connections
        self._max_body_bytes = max_body_bytes
        self._tls = tls
        self._hosts: dict[str, _Host] = {}
        self._safe_names: set[str] = set()
        self._is_closed = False

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline_at: float
    ) -> VaultReply:
        host, request = self._serialized(method, url, headers, body)
        connection = host.pool.take(deadline_at) or await host.pool.obtain(deadline_at)
        waiter: asyncio.Future[VaultReply] = asyncio.get_running_loop().create_future()
        connection.ask(request, method == "HEAD", deadline_at, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            connection.give_up(waiter)
            raise

    def begin(
        self, origin: str, target: str, fixed: FixedHeaders, own: Mapping[str, str], deadline_at: float, waiter: Waiter
    ) -> LeanConnection | None:
        """Send a GET at once. None, and nothing is sent, unless a connection to `origin` is free and all header names
        have been checked by a `send` before.
        """
        host, written, known, values = self._hosts.get(origin), fixed.wire, self._safe_names, ""
        if host is None or written is None:
            return None
        for name, value in own.items():
            if name not in known or name in fixed:
                return None
            values += value
            written = f"{written}{name}: {value}\r\n"
        if _PLAIN_TARGET_AND_VALUES(f"{target}\n{values}") is None:
            return None
        try:
            connection = host.pool.take(deadline_at)
        except NotSent:
            return None
        if connection is not None:
            request = f"GET {target}{host.after_target}{written}\r\n".encode()
            connection.ask(request, False, deadline_at, waiter)
        return connection

    @property
    def connections(self) -> tuple[int, int]:
        """See `Transport`."""
        pools = [host.pool for host in self._hosts.values()]
        idle = sum(len(pool.free) for pool in pools)
        return sum(pool.size for pool in pools) - idle, idle

    async def close(self) -> None:
        """Close every connection; idempotent. Calls in flight fail; later calls raise `NotSent`."""
        self._is_closed = True
        hosts, self._hosts = self._hosts, {}
        for host in hosts.values():
            await host.pool.close()

    def _serialized(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[_Host, bytes]:
        """The host and the whole request; raises `NotSent` if any part is unsafe, or the transport is closed."""
        plain = _PLAIN_URL(url)
        host = None if plain is None else self._hosts.get(plain[1])
        if host is None or plain is None or method not in _KNOWN_METHODS:
            written = self._written(method, url, headers)
            if self._is_closed:
                raise NotSent(Cause.CLOSED)
            host, target = self._located(url)
        else:
            target = plain[2]
            fixed = headers.__class__ is FixedHeaders and headers.wire
            written = fixed or self._written(method, url, headers)
        head = f"{method} {target}{host.after_target}{written}"
        if body is not None:
            return host, f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        return host, f"{head}\r\n".encode() if method in _BODILESS else f"{head}content-length: 0\r\n\r\n".encode()

    def _located(self, url: str) -> tuple[_Host, str]:
        """The host and the request target; raises `NotSent` for an invalid URL."""
        try:
            parts = urlsplit(url.partition("#")[0])
            name, port, is_tls = parts.hostname, parts.port, parts.scheme == "https"
        except ValueError:
            raise NotSent(Cause.INVALID, "url") from None
        if not name or port == 0 or parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc:
            raise NotSent(Cause.INVALID, "url")
        key = f"{parts.scheme}://{parts.netloc}"
        if key not in self._hosts:
            default = _DEFAULT_PORTS[parts.scheme]
            shown = f"[{name}]" if ":" in name else name
            pool = Pool(name, port or default, self._context() if is_tls else None, self._limit, self._max_body_bytes)
            self._hosts[key] = _Host(shown if port in (None, default) else f"{shown}:{port}", pool)
        query = f"?{parts.query}" if parts.query else ""
        return self._hosts[key], (parts.path or "/") + query

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _written(self, method: str, url: str, headers: Mapping[str, str]) -> str:
        """The headers as text; raises `NotSent` if they or the request line are unsafe."""
        if headers.__class__ is ExtendedHeaders:
            written = headers.fixed.wire or self._written_once(headers.fixed)
            values, are_known = "", True
            for name, value in headers.own.items():
                values, are_known = values + value, are_known and name in self._safe_names
                written = f"{written}{name}: {value}\r\n"
            if not are_known or _PLAIN_VALUE(values) is None:
                self._refuse_unsafe(method, url, headers.own)
            return written
        if not isinstance(headers, FixedHeaders):
            self._refuse_unsafe(method, url, headers)
            return _lines(headers)
        self._refuse_unsafe(method, url, NO_HEADERS)
        return self._written_once(headers)

    def _written_once(self, fixed: FixedHeaders) -> str:
        if fixed.wire is None:
            self._refuse_unsafe("GET", "/", fixed)
            fixed.wire = _lines(fixed)
        return fixed.wire

    def _refuse_unsafe(self, method: str, url: str, headers: Mapping[str, str]) -> None:
        """Like `refuse_unsafe`; also refuses headers that this transport sets itself.

        Fast path: printable ASCII values under header names that were checked before.
        """
        values = "".join(headers.values())
        if (
            headers.keys() <= self._safe_names
            and values.isascii()
            and values.isprintable()
            and method in _KNOWN_METHODS
            and url.isascii()
            and url.isprintable()
            and " " not in url
        ):
            return
        refuse_unsafe(method, url, headers)
        names = {name.lower() for name in headers}
        if method == "CONNECT" or len(names) < len(headers) or not names.isdisjoint(_RESERVED_HEADERS):
            raise NotSent(Cause.INVALID, "header")
        if len(self._safe_names) < _MAX_NAMES:
            self._safe_names.update(names)  # lower case only, so two spellings of one name never take the fast path


def _lines(headers: Mapping[str, str]) -> str:
    return "\r\n".join([*map(": ".join, headers.items()), ""])
