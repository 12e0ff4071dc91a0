"""Request headers as the gate reads them, and the connection that a request came by."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from starlette.types import Scope

_ONCE_ONLY: Final = frozenset(
    {"authorization", "content-type", "content-length", "content-encoding", "host", "origin", "x-api-key"}
)


class ClientConnection(Protocol):
    """What the server lets an application do with a connection; not every server does."""

    def authenticated(self, caller: str) -> bool:
        """The request proved that this caller sends it: the connection counts for the caller now, not for its address.
        False where the caller has too many."""
        ...

    def drop(self) -> None:
        """Close without finishing the answer, so that the client sees it was cut short."""
        ...


def connection_of(scope: Scope) -> ClientConnection | None:
    found: Any = scope.get("state")
    return found.get("connection") if found else None


def read_headers(raw: Sequence[tuple[bytes, bytes]]) -> tuple[dict[str, str], str | None]:
    """Headers by lower-case name, and the first that stands twice though it must not. Others are joined."""
    found: dict[str, str] = {}
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
