"""The seam between what we promise about a call and how bytes move: one small protocol, one honest kind of failure."""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final, Protocol

from app.http.message import NO_HEADERS, ExtendedHeaders, FixedHeaders, VaultReply


class Cause(Enum):
    """Why there is no reply. It never says more than this: hosts, paths and bodies stay out."""

    TIMEOUT = "timed out"
    CONNECT = "could not connect"
    RESET = "connection lost"
    TRUNCATED = "reply cut short"
    TOO_LARGE = "reply too large"
    UNREADABLE = "reply is not HTTP"
    INVALID = "request refused before sending"
    CLOSED = "closing down"


class TransportError(Exception):
    """No reply. `detail` is a class name of the library below, for operators; it quotes nothing."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(f"{cause.value} ({detail})" if detail else cause.value)
        self.cause = cause


class NotSent(TransportError):
    """Not one byte of the request was handed to a connection: repeating it is safe, whatever it does."""


class MaybeSent(TransportError):
    """Some of the request may have reached the vault: only a read may be repeated."""


class Transport(Protocol):
    """Sends one request once. It follows no redirect, keeps no cookie and never repeats anything by itself.

    `url` is absolute and percent-encoded already. `deadline_at` is on the loop's clock and covers connecting,
    sending and reading the whole body. Raises `NotSent` or `MaybeSent`; any status is a reply.
    """

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline_at: float
    ) -> VaultReply: ...

    async def close(self) -> None: ...


_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch  # RFC 9110 §5.6.2, "token"
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch  # RFC 9110 §5.5, less what has no Latin-1 octet
_TARGET: Final = re.compile(r"[\x21-\x7e]*").fullmatch
_METHOD: Final = re.compile(r"[A-Z]+").fullmatch


def refuse_unsafe_once(method: str, url: str, headers: Mapping[str, str]) -> None:
    """`refuse_unsafe`; headers that never change are looked at once."""
    fixed = headers.fixed if isinstance(headers, ExtendedHeaders) else headers
    if not isinstance(fixed, FixedHeaders):
        refuse_unsafe(method, url, headers)
        return
    refuse_unsafe(method, url, headers.own if isinstance(headers, ExtendedHeaders) else NO_HEADERS)
    if not fixed.is_safe:
        refuse_unsafe(method, url, fixed)
        fixed.is_safe = True


def refuse_unsafe(method: str, url: str, headers: Mapping[str, str]) -> None:
    """Raise `NotSent(INVALID)` for anything that could end a line early: header injection, request splitting."""
    if _METHOD(method) is None or _TARGET(url) is None:
        raise NotSent(Cause.INVALID, "request line")
    for name, value in headers.items():
        if _NAME(name) is None or _VALUE(value) is None:
            raise NotSent(Cause.INVALID, "header")
