"""Transport protocol: sends one request, and reports for each failure whether the request may have been sent."""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final, Protocol

from app.http.message import NO_HEADERS, ExtendedHeaders, FixedHeaders, VaultReply


class Cause(Enum):
    """Why there is no reply. The texts contain no hosts, paths or bodies."""

    TIMEOUT = "timed out"
    CONNECT = "could not connect"
    RESET = "connection lost"
    TRUNCATED = "reply cut short"
    TOO_LARGE = "reply too large"
    UNREADABLE = "reply is not HTTP"
    INVALID = "request refused before sending"
    CLOSED = "closing down"


class TransportError(Exception):
    """No reply. `detail` is an exception class name of the library, for operators; it contains no data."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(f"{cause.value} ({detail})" if detail else cause.value)
        self.cause = cause


class NotSent(TransportError):
    """No byte of the request was passed to a connection: safe to repeat."""


class MaybeSent(TransportError):
    """The request may have reached the vault: only a read may be repeated."""


class Transport(Protocol):
    """Sends one request once: no redirects, no cookies, no retries.

    `url` is absolute and percent-encoded. `deadline_at` is in loop time and covers connecting, sending and reading
    the whole body. Raises `NotSent` or `MaybeSent`; a reply with any status is returned.
    """

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline_at: float
    ) -> VaultReply: ...

    @property
    def connections(self) -> tuple[int, int]:
        """Open connections: in use, and idle."""
        ...

    async def close(self) -> None: ...


_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch  # RFC 9110 §5.6.2, "token"
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch  # RFC 9110 §5.5, Latin-1 only
_TARGET: Final = re.compile(r"[\x21-\x7e]*").fullmatch
_METHOD: Final = re.compile(r"[A-Z]+").fullmatch


def refuse_unsafe_once(method: str, url: str, headers: Mapping[str, str]) -> None:
    """Like `refuse_unsafe`, but checks fixed headers only once."""
    fixed, own = (headers.fixed, headers.own) if isinstance(headers, ExtendedHeaders) else (headers, NO_HEADERS)
    if not isinstance(fixed, FixedHeaders):
        refuse_unsafe(method, url, headers)
        return
    refuse_unsafe(method, url, own)
    if not fixed.is_safe:
        refuse_unsafe(method, url, fixed)
        fixed.is_safe = True


def refuse_unsafe(method: str, url: str, headers: Mapping[str, str]) -> None:
    """Raise `NotSent(INVALID)` for characters that allow header injection or request splitting."""
    if _METHOD(method) is None or _TARGET(url) is None:
        raise NotSent(Cause.INVALID, "request line")
    for name, value in headers.items():
        if _NAME(name) is None or _VALUE(value) is None:
            raise NotSent(Cause.INVALID, "header")
