"""Transport selection."""

import ssl
from typing import Final, Literal

from app.http.settings import ProviderSettings
from app.http.transports.aiohttp_transport import AiohttpTransport
from app.http.transports.base import Transport
from app.http.transports.lean import LeanTransport

Kind = Literal["aiohttp", "lean"]
KINDS: Final[tuple[Kind, ...]] = ("aiohttp", "lean")


def kind_of(settings: ProviderSettings) -> Kind:
    """The transport of a vault with these settings: aiohttp if there is a proxy, which lean does not support."""
    return "aiohttp" if settings.proxy else settings.transport


def open_transport(
    kind: Kind, *, connections: int, max_body_bytes: int, proxy: str | None = None, tls: ssl.SSLContext | None = None
) -> Transport:
    """Create the transport `kind`. Only aiohttp takes a `proxy`."""
    if kind == "lean":
        if proxy is not None:
            raise ValueError("the lean transport supports no proxy")
        return LeanTransport(connections=connections, max_body_bytes=max_body_bytes, tls=tls)
    return AiohttpTransport(connections=connections, max_body_bytes=max_body_bytes, proxy=proxy, tls=tls)
