"""What protects the people in front of browsers: CORS, CSRF, the Host and the Origin of a request.

Nothing here authenticates. Callers prove who they are by a header that no browser sends on its own, which is the first
defence against forged requests; the rules below hold even for an operator who puts a cookie proxy in front.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from app.gate.answers import Answer
from app.gate.negotiation import is_json_body
from app.gate.problems import Refused

# A page of another origin cannot send these without a preflight, and no proxy adds them.
_PREFLIGHTED: Final = ("x-api-key", "apollo-require-preflight", "x-apollo-operation-name", "graphql-require-preflight")
_ALLOWED_HEADERS: Final = (
    "accept, content-type, authorization, x-api-key, x-request-id, x-deadline-ms, traceparent, tracestate, "
    "apollo-require-preflight, x-apollo-operation-name, apollographql-client-name, apollographql-client-version, "
    "graphql-require-preflight, idempotency-key"
)
_EXPOSED: Final = b"x-request-id, retry-after"
_PREFLIGHT_KEPT_S: Final = "7200"
ANY_ORIGIN: Final = "*"
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")

Headers = list[tuple[bytes, bytes]]


class Browser:
    """`origins` may read answers (``*``: all of them); `hosts`, where not empty, are the names we answer to."""

    def __init__(self, origins: Iterable[str] = (), hosts: Iterable[str] = ()) -> None:
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._hosts = frozenset(host.lower() for host in hosts)

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raises Refused where the Host is not ours: a name that an attacker pointed at our address, say."""
        if self._hosts and _host(headers.get("host", "")) not in self._hosts:
            raise Refused("FORBIDDEN", "This host name is not served here.")

    def check_forgery(self, headers: Mapping[str, str], method: str) -> None:
        """Raises Refused for what a foreign page could have sent unasked. A POST is JSON, which needs a preflight."""
        if method == "GET" and not _needed_a_preflight(headers):
            raise Refused("CSRF_PREVENTED")

    def shares_with(self, headers: Mapping[str, str]) -> Headers:
        """CORS headers of an ordinary answer."""
        origin = headers.get("origin")
        if origin is None or not self._is_listed(origin):
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED),
        ]

    def options(self, headers: Mapping[str, str]) -> Answer:
        """The answer to OPTIONS, a preflight or not. What is not listed gets no permission, and no error either."""
        told = {"allow": "GET, POST, OPTIONS"}
        origin = headers.get("origin")
        if origin is not None and "access-control-request-method" in headers and self._is_listed(origin):
            told |= {
                "access-control-allow-methods": "GET, POST",
                "access-control-allow-headers": _ALLOWED_HEADERS,
                "access-control-max-age": _PREFLIGHT_KEPT_S,
            }
        return Answer(204, b"", headers=told)

    def may_connect(self, headers: Mapping[str, str]) -> bool:
        """WebSockets are not under CORS: a browser's Origin must be listed or be our own host."""
        if self._hosts and _host(headers.get("host", "")) not in self._hosts:
            return False
        origin = headers.get("origin")
        if origin is None:
            return True  # no browser
        return self._is_listed(origin) or _is_same(origin, headers.get("host", ""))

    def _is_listed(self, origin: str) -> bool:
        return ANY_ORIGIN in self._origins or origin.lower() in self._origins


def _needed_a_preflight(headers: Mapping[str, str]) -> bool:
    if headers.get("authorization", "")[:7].lower() == "bearer ":  # a browser adds Basic and Negotiate by itself
        return True
    return any(name in headers for name in _PREFLIGHTED) or is_json_body(headers.get("content-type"))


def _host(value: str) -> str:
    """A Host header without its port."""
    if value.startswith("["):
        return value.partition("]")[0].lower() + "]"
    return value.partition(":")[0].lower()


def _is_same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False
