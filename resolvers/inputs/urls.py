"""Allowed return URLs for shoppers: the operator's sites, and this machine in development."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS: Final = {"https": 443, "http": 80}
_Origin = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class ReturnOrigins:
    """`loopback` also allows this machine's addresses, including by http; nothing else is allowed by http."""

    origins: frozenset[_Origin] = frozenset()
    loopback: bool = False

    @classmethod
    def of(cls, origins: Iterable[str], *, loopback: bool = False) -> Self:
        """`origins` as in the settings: `https://shop.example`, with a non-default port if any."""
        return cls(frozenset(_origin(one) for one in origins), loopback)

    def allows(self, url: str) -> bool:
        """`url` has passed the scalar: https, or http to loopback, without credentials."""
        if "\\" in url:  # browsers read it as a slash and would see another host
            return False
        scheme, host, port = _origin(url)
        if host in _LOOPBACK and self.loopback:
            return True
        return scheme == "https" and (scheme, host, port) in self.origins


def _origin(url: str) -> _Origin:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)
