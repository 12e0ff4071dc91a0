"""uvicorn's HTTP protocol, with a handle in the ASGI scope by which a fault can kill the connection.

ASGI has no word for "hang up without answering": returning without a response makes uvicorn send a 500.
"""

import asyncio
from typing import Any, Final, Protocol, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

EXTENSION: Final = "vaultgraph.connection"


class Connection(Protocol):
    """What a fault needs of the connection that its request came on."""

    @property
    def is_lost(self) -> bool:
        """Nothing sent now would reach the client."""

    def abort(self) -> None:
        """Kill it at once; what is still buffered is not sent."""

    def close(self) -> None:
        """Send what is buffered, then close, whatever the reply had promised."""


class _LiveConnection:
    def __init__(self, transport: asyncio.Transport, cycle: RequestResponseCycle) -> None:
        self._transport = transport
        self._cycle = cycle

    @property
    def is_lost(self) -> bool:
        return self._cycle.disconnected or self._transport.is_closing()

    def abort(self) -> None:
        self._cycle.disconnected = True  # else uvicorn would answer 500 for an application that sent nothing
        self._transport.abort()

    def close(self) -> None:
        self._cycle.disconnected = True
        self._transport.close()


class AbortableProtocol(HttpToolsProtocol):
    """Adds `Connection` to ``scope["extensions"]`` of each request."""

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        # The request's task exists by now but has not run: it sees the scope with the extension in it.
        scope = cast(dict[str, Any], self.scope)
        scope["extensions"] = {EXTENSION: _LiveConnection(self.transport, self.cycle)}


def connection_of(scope: Scope) -> Connection | None:
    """The connection of a request, or None when the app is not served by `AbortableProtocol`."""
    extensions: dict[str, Any] = scope.get("extensions") or {}
    return cast(Connection | None, extensions.get(EXTENSION))
