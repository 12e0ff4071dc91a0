"""Transport selection."""

import ssl
from typing import Final, Literal

from app.http.transports.aiohttp_transport import AiohttpTransport
from app.http.transports.base import Transport
from app.http.transports.lean import LeanTransport

Kind = Literal["aiohttp", "lean"]
KINDS: Final[tuple[Kind, ...]] = ("aiohttp", "lean")


def open_transport(
    kind: Kind, *, connections: int, max_body_bytes: int, proxy: str | None = None, tls: ssl.SSLContext | None = None
) -> Transport:
    """Create the transport `kind`; with a proxy always aiohttp, the only one that supports proxies."""
    if kind == "lean" and proxy is None:
        return LeanTransport(connections=connections, max_body_bytes=max_body_bytes, tls=tls)
    return AiohttpTransport(connections=connections, max_body_bytes=max_body_bytes, proxy=proxy, tls=tls)
