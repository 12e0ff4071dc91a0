"""Text types for settings. Each checks its format and never quotes the value."""

import re
from ipaddress import ip_network
from typing import Final
from urllib.parse import urlsplit

_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_NO_ORIGIN: Final = frozenset({"data", "file", "javascript", "blob", "about"})
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class CheckedText(str):
    """Text that is checked on creation; raises ValueError."""

    __slots__ = ()


class EnvironmentText(str):
    """The value of an environment variable: the only text in which commas separate several secrets."""

    __slots__ = ()


class Network(CheckedText):
    """An address, or a network in CIDR notation: ``10.0.0.0/8``, ``2001:db8::/32``, ``192.0.2.1``."""

    __slots__ = ()

    def __new__(cls, text: str) -> "Network":
        try:
            return super().__new__(cls, ip_network(text.strip()))
        except ValueError:
            raise ValueError("Expected an IP address or a network, as 10.0.0.0/8 or 2001:db8::/32") from None


class Origin(CheckedText):
    """An origin as a browser sends it: ``https://app.example``, ``http://localhost:5173``, ``capacitor://localhost``."""

    __slots__ = ()

    def __new__(cls, text: str) -> "Origin":
        given = text.strip().lower().removesuffix("/")
        try:
            parts = urlsplit(given)
            port = parts.port
        except ValueError:
            raise _no_origin() from None
        host = parts.hostname or ""
        if parts.scheme in _NO_ORIGIN or not _SCHEME.fullmatch(parts.scheme) or not _is_host(host):
            raise _no_origin()
        shown = f"[{host}]" if ":" in host else host
        if port is not None and port != _DEFAULT_PORTS.get(parts.scheme):
            shown = f"{shown}:{port}"
        if given not in (f"{parts.scheme}://{shown}", f"{parts.scheme}://{shown}:{_DEFAULT_PORTS.get(parts.scheme)}"):
            raise _no_origin()  # a path, a user or a query
        return super().__new__(cls, f"{parts.scheme}://{shown}")


class CorsOrigin(Origin):
    """An origin, ``*`` for all, or ``none``."""

    __slots__ = ()

    def __new__(cls, text: str) -> "CorsOrigin":
        if text.strip() in ("*", "none"):
            return str.__new__(cls, text.strip())
        return str.__new__(cls, Origin(text))


class HeaderName(CheckedText):
    """The name of an HTTP header, in lower case."""

    __slots__ = ()

    def __new__(cls, text: str) -> "HeaderName":
        if not _HEADER_NAME.fullmatch(text.strip()) or text.strip() == "*":
            raise ValueError("Expected the name of a header, as x-tenant")
        return super().__new__(cls, text.strip().lower())


def _is_host(host: str) -> bool:
    return bool(host) and host.isascii() and not any(character in " *,<>\"'\\^`{|}%" for character in host)


def _no_origin() -> ValueError:
    return ValueError("Expected origins, as https://app.example: a scheme, a host (no wildcard), no path")
