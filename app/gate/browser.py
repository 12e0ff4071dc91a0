"""What protects the people in front of browsers: CORS, CSRF, the Host and the Origin of a request.

Nothing here authenticates. Callers prove who they are by a header that no browser sends on its own, which is the first
defence against forged requests; the rules below hold even for an operator who puts a cookie proxy in front.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from app.addresses import is_loopback
from app.gate.answers import Answer
from app.gate.negotiation import is_json_body
from app.gate.problems import Refused

# A page of another origin cannot send these without a preflight, and no proxy adds them.
_PREFLIGHTED: Final = ("x-api-key", "apollo-require-preflight", "x-apollo-operation-name", "graphql-require-preflight")
_ALLOWED_HEADERS: Final = (
    # what HTTP and this gateway know
    "accept", "content-type", "authorization", "x-api-key", "x-request-id", "x-deadline-ms", "idempotency-key",
    "last-event-id", "cache-control", "if-none-match", "x-requested-with",
    # tracing: W3C, Sentry, B3, Datadog, New Relic, Elastic
    "traceparent", "tracestate", "baggage", "sentry-trace", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid",
    "x-b3-sampled", "x-b3-flags", "x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-origin",
    "x-datadog-sampling-priority", "x-datadog-tags", "newrelic", "elastic-apm-traceparent",
    # GraphQL clients
    "apollo-require-preflight", "x-apollo-operation-name", "x-apollo-operation-id", "x-apollo-operation-type",
    "apollographql-client-name", "apollographql-client-version", "graphql-client-name", "graphql-client-version",
    "x-graphql-client-name", "x-graphql-client-version", "graphql-require-preflight", "x-graphql-event-stream-token",
)  # fmt: skip
_EXPOSED: Final = b"x-request-id, retry-after, etag"
_PREFLIGHT_KEPT_S: Final = "7200"
ANY_ORIGIN: Final = "*"
_EMULATED_ANDROID: Final = ("10.0.2.2", "10.0.3.2")  # this machine, as Android's emulator and Genymotion call it

Headers = list[tuple[bytes, bytes]]


def is_local_host(host: str) -> bool:
    """Whether this name always means the machine it is used on, or an emulator's host: no DNS server can say otherwise,
    which is what DNS rebinding lives on."""
    if host == "localhost" or host.endswith(".localhost") or host in _EMULATED_ANDROID:
        return True
    return is_loopback(host)


class Browser:
    """`origins` may read answers (``*``: all of them); `hosts`, where not empty, are the names we answer to.

    `serves` is asked instead of `hosts` in development, where a web app is served from a port of its own: pages of this
    machine, and of the host that is asked, may read answers too. CORS allows `headers` beside those it always allows.
    """

    def __init__(
        self,
        origins: Iterable[str] = (),
        hosts: Iterable[str] = (),
        *,
        headers: Iterable[str] = (),
        serves: Callable[[str], bool] | None = None,
    ) -> None:
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._allowed_headers = ", ".join(dict.fromkeys([*_ALLOWED_HEADERS, *headers]))
        self._serves = serves

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raises Refused where the Host is not ours: a name that an attacker pointed at our address, say."""
        if not self._is_own_host(headers):
            raise Refused("FORBIDDEN", "This host name is not served here.")

    def check_forgery(self, headers: Mapping[str, str], method: str) -> None:
        """Raises Refused for what a foreign page could have sent unasked. A POST is JSON, which needs a preflight."""
        if method == "GET" and not _needed_a_preflight(headers):
            raise Refused("CSRF_PREVENTED")

    def shares_with(self, headers: Mapping[str, str]) -> Headers:
        """CORS headers of an ordinary answer."""
        origin = headers.get("origin")
        if origin is None or not self._is_listed(origin, headers):
            return []
        return [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED),
        ]

    def options(self, headers: Mapping[str, str]) -> Answer:
        """The answer to OPTIONS, a preflight or not. What is not listed gets no permission, and no error either."""
        told = {"allow": "GET, POST, OPTIONS"}
        origin = headers.get("origin")
        if origin is not None and "access-control-request-method" in headers and self._is_listed(origin, headers):
            told |= {
                "access-control-allow-methods": "GET, POST",
                "access-control-allow-headers": self._allowed_headers,
                "access-control-max-age": _PREFLIGHT_KEPT_S,
            }
        return Answer(204, b"", headers=told)

    def may_connect(self, headers: Mapping[str, str]) -> bool:
        """WebSockets are not under CORS: a browser's Origin must be listed or be our own host."""
        if not self._is_own_host(headers):
            return False
        origin = headers.get("origin")
        if origin is None:
            return True  # no browser
        return self._is_listed(origin, headers) or _is_same(origin, headers.get("host", ""))

    def _is_own_host(self, headers: Mapping[str, str]) -> bool:
        if self._serves is not None:
            return self._serves(_host(headers.get("host", "")))
        return not self._hosts or _host(headers.get("host", "")) in self._hosts

    def _is_listed(self, origin: str, headers: Mapping[str, str]) -> bool:
        if ANY_ORIGIN in self._origins or origin.lower() in self._origins:
            return True
        if self._serves is None:
            return False
        host = _host_of_origin(origin)
        return is_local_host(host) or host == _host(headers.get("host", "")) != ""


def _needed_a_preflight(headers: Mapping[str, str]) -> bool:
    if headers.get("authorization", "")[:7].lower() == "bearer ":  # a browser adds Basic and Negotiate by itself
        return True
    return any(name in headers for name in _PREFLIGHTED) or is_json_body(headers.get("content-type"))


def _host(value: str) -> str:
    """A Host header without its port, in lower case."""
    if value.startswith("["):
        return value.partition("]")[0].lower() + "]"
    return value.partition(":")[0].lower()


def _host_of_origin(origin: str) -> str:
    scheme, _, rest = origin.partition("://")
    return _host(rest) if scheme.lower() in ("http", "https") and "/" not in rest and "@" not in rest else ""


def _is_same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False
