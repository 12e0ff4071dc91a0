"""uvicorn's HTTP protocol with a handle in the ASGI scope that lets a fault kill the connection.

ASGI cannot close a connection without a reply: an app that returns without one makes uvicorn send a 500.
"""

import asyncio
from typing import Any, Final, Protocol, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

EXTENSION: Final = "vaultgraph.connection"


class SandboxConnection(Protocol):
    """The client connection of a request, as faults use it."""

    @property
    def is_lost(self) -> bool:
        """True if the client can no longer receive data."""

    def abort(self) -> None:
        """Close immediately; buffered data is not sent."""

    def close(self) -> None:
        """Send buffered data, then close, whatever the reply's headers promise."""


class _LiveConnection:
    def __init__(self, transport: asyncio.Transport, cycle: RequestResponseCycle) -> None:
        self._transport = transport
        self._cycle = cycle

    @property
    def is_lost(self) -> bool:
        return self._cycle.disconnected or self._transport.is_closing()

    def abort(self) -> None:
        self._cycle.disconnected = True  # otherwise uvicorn answers 500 for an application that sent nothing
        self._transport.abort()

    def close(self) -> None:
        self._cycle.disconnected = True
        self._transport.close()


class AbortableProtocol(HttpToolsProtocol):
    """Adds `Connection` to each request's ``scope["extensions"]``."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        # The request's task exists but has not run yet, so it sees the extension.
        scope = cast(dict[str, Any], self.scope)
        scope["extensions"] = {EXTENSION: _LiveConnection(self.transport, self.cycle)}


def connection_of(scope: Scope) -> SandboxConnection | None:
    """A request's connection, or None if `AbortableProtocol` does not serve the app."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    return cast(SandboxConnection | None, extensions.get(EXTENSION))
