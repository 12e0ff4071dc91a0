"""Protection of browser users: CORS, CSRF, and checks of the Host and Origin headers.

Nothing here authenticates. Callers authenticate by a header that browsers never send by themselves, which is the main
defence against CSRF; these rules also hold behind a proxy that adds cookies.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.negotiation import is_json_body
from app.api.problems import RequestRefused
from app.api.response import HttpResponse, encode
from app.server.addresses import is_loopback

# A page of another origin cannot send these without a preflight, and no proxy adds them.
_PREFLIGHTED: Final = ("x-api-key", "apollo-require-preflight", "x-apollo-operation-name", "graphql-require-preflight")
_ALLOWED_HEADERS: Final = (
    # HTTP and this gateway
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
    # MCP clients
    "mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name",
)  # fmt: skip
ANY_ORIGIN: Final = "*"
_EMULATED_ANDROID: Final = ("10.0.2.2", "10.0.3.2")  # the host machine, in Android's emulator and Genymotion


def is_local_host(host: str) -> bool:
    """True if the name always means the local machine or an emulator's host, so that DNS rebinding cannot use it."""
    if host == "localhost" or host.endswith(".localhost") or host in _EMULATED_ANDROID:
        return True
    return is_loopback(host)


class OriginPolicy:
    """Which Host and Origin headers are accepted.

    `origins` may read responses (``*``: any); `hosts`, if not empty, lists the accepted Host names. `serves` replaces
    `hosts` in development, where a web app runs on another port: pages of this machine, and of the requested host, may
    then read responses too. `headers` adds to the headers that CORS always allows.

    Starlette's TrustedHostMiddleware compares with a list of names and answers in plain text; development accepts names
    by rule (any IP address, but only local names), and clients expect a GraphQL error.
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
        self.headers = (*_ALLOWED_HEADERS, *headers)
        self._serves = serves
        self.limits_hosts = bool(self._hosts or serves)

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raises RequestRefused if the Host header is not accepted, for example with DNS rebinding."""
        if not self._is_own_host(headers):
            raise RequestRefused("FORBIDDEN", "This host name is not served here.")

    def check_forgery(self, headers: Mapping[str, str]) -> None:
        """Raises RequestRefused if a page of another origin could send the GET request without a preflight."""
        if not _needed_a_preflight(headers):
            raise RequestRefused("CSRF_PREVENTED")

    def allows(self, origin: str, headers: Mapping[str, str]) -> bool:
        """True if a page of this origin may read the response to a request with these headers."""
        if ANY_ORIGIN in self._origins or origin.lower() in self._origins:
            return True
        if self._serves is None:
            return False
        host = _host_of_origin(origin)
        return is_local_host(host) or host == _host(headers.get("host", "")) != ""

    def may_connect(self, headers: Mapping[str, str]) -> bool:
        """CORS does not cover WebSockets: a browser's Origin must be allowed or be the requested host."""
        if not self._is_own_host(headers):
            return False
        origin = headers.get("origin")
        if origin is None:
            return True  # not a browser
        return self.allows(origin, headers) or _is_same(origin, headers.get("host", ""))

    def _is_own_host(self, headers: Mapping[str, str]) -> bool:
        if self._serves is not None:
            return self._serves(_host(headers.get("host", "")))
        return not self._hosts or _host(headers.get("host", "")) in self._hosts


class HostChecked:
    """An ASGI application outside the GraphQL endpoint, such as static files, behind the policy's check of Host."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]], policy: OriginPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self._policy.limits_hosts:
                self._policy.check_host(Headers(scope=scope))
        except RequestRefused as refused:
            await HttpResponse(refused.status, encode({"errors": refused.as_errors()})).send(send)
        else:
            await self._app(scope, receive, send)


class Cors(CORSMiddleware):
    """Starlette's CORS for the origins that `policy` allows. Other requests pass without its 12 Python calls.

    Two differences: whether an origin is allowed may depend on the requested host, and preflights are answered by 204.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]], policy: OriginPolicy) -> None:
        super().__init__(
            app,
            allow_methods=("GET", "POST"),
            allow_headers=policy.headers,
            expose_headers=("x-request-id", "retry-after", "etag", "www-authenticate"),
            max_age=7200,
        )
        self._next = app
        self._policy = policy

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        for name, origin in scope["headers"]:
            if name == b"origin" and self._policy.allows(origin.decode("latin-1"), Headers(scope=scope)):
                return super().__call__(scope, receive, send)
        return self._next(scope, receive, send)

    def is_allowed_origin(self, origin: str) -> bool:
        return True  # `__call__` has asked the policy

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code != 200:
            return answer
        headers = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        return Response(status_code=204, headers=headers)


def _needed_a_preflight(headers: Mapping[str, str]) -> bool:
    if headers.get("authorization", "")[:7].lower() == "bearer ":  # browsers send Basic and Negotiate by themselves
        return True
    return any(name in headers for name in _PREFLIGHTED) or is_json_body(headers.get("content-type"))


def _host(value: str) -> str:
    """The Host header without its port, in lower case."""
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
