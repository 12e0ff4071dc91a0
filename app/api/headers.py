"""Parses request headers; access to the client connection."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from starlette.types import Scope

from app.api.negotiation import Accepted, accepted
from app.api.problems import RequestRefused

_ONCE_ONLY: Final = frozenset(
    {"authorization", "content-type", "content-length", "content-encoding", "host", "origin", "x-api-key"}
)


class AuthenticatedConnection(Protocol):
    """What the server allows an application to do with a connection. Not every server offers it.

    `caller` is the one that it counts for, if any. The application keeps in `head` what it read from the last head.
    """

    caller: str
    head: Any

    def authenticated(self, caller: str) -> bool:
        """Count the connection for this authenticated caller instead of for its address.

        False if the caller has too many connections.
        """

    def drop(self) -> None:
        """Close without completing the response, so that the client sees that it is truncated."""


def connection_of(scope: Scope) -> AuthenticatedConnection | None:
    try:
        found: AuthenticatedConnection | None = scope["state"]["connection"]
    except (KeyError, TypeError):  # another server
        return None
    return found


def count_connection(scope: Scope, caller: str) -> None:
    """Count the connection for this authenticated caller; raises RequestRefused if it has too many."""
    try:
        connection: AuthenticatedConnection = scope["state"]["connection"]
    except (KeyError, TypeError):  # another server
        return
    if connection.caller != caller and not connection.authenticated(caller):
        headers = {"retry-after": "1", "connection": "close"}
        raise RequestRefused("THROTTLED", "Too many connections: close some.", headers=headers)


def read_headers(raw: Sequence[tuple[bytes, bytes]]) -> tuple[dict[str, str], str | None]:
    """Headers by lower-case name, and the first one that is repeated although it must not be. Others are joined."""
    found = {str(name, "latin-1"): str(value, "latin-1") for name, value in raw}
    if len(found) == len(raw):
        return found, None
    found = {}
    repeated: str | None = None
    for name_bytes, value_bytes in raw:
        name, value = name_bytes.decode("latin-1"), value_bytes.decode("latin-1")
        if name not in found:
            found[name] = value
        elif name in _ONCE_ONLY:
            repeated = repeated or name
        else:
            found[name] = f"{found[name]}, {value}"
    return found, repeated


class RequestHead(Struct):  # created in C, without a Python call
    """What a request's headers say. `repeated`: see `read_headers`. `verified` is what authentication keeps of them."""

    raw: Sequence[tuple[bytes, bytes]]
    headers: dict[str, str]
    repeated: str | None
    accepted: Accepted
    verified: Any = None


def _credentials(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    return headers.get("authorization"), headers.get("x-api-key")


def head_of(scope: Scope) -> RequestHead:
    """The head of a request. A server passes the same list again for the same bytes on one connection."""
    raw = scope["headers"]
    try:
        known: RequestHead | None = scope["state"]["connection"].head
    except (KeyError, TypeError):  # another server
        known = None
    if known is not None and known.raw is raw:
        return known
    headers, repeated = read_headers(raw)
    head = RequestHead(raw, headers, repeated, accepted(headers.get("accept")))
    if known is not None and _credentials(headers) == _credentials(known.headers):
        head.verified = known.verified
    if (connection := connection_of(scope)) is not None:
        connection.head = head
    return head
