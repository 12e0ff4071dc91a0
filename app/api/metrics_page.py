"""`GET /metrics`."""

import hmac
from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.types import Receive, Scope, Send

from app.api.metrics import Metrics
from app.api.response import HttpResponse
from app.api.shared_metrics import SharedMetrics


class MetricsPage:
    """`GET /metrics`. With a `token`, requests without it as bearer token get 404.

    `refresh` is awaited before the page is made. `shared` makes one page for several workers.
    """

    def __init__(
        self,
        metrics: Metrics,
        token: str = "",
        *,
        refresh: Callable[[], Awaitable[None]],
        shared: SharedMetrics | None = None,
    ) -> None:
        self._page = metrics.page if shared is None else shared.page
        self.refresh = refresh
        self.require(token)

    def require(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if scope["type"] != "http" or not self._may_see(given):
            answer = HttpResponse(404, b"")
        elif scope["method"] not in ("GET", "HEAD"):
            answer = HttpResponse(405, b"", headers={"allow": "GET, HEAD"})
        else:
            await self.refresh()
            answer = HttpResponse(200, self._page(), CONTENT_TYPE_LATEST)
        await answer.send(send, body=scope["method"] != "HEAD")

    def _may_see(self, given: bytes) -> bool:
        return not self._expected or hmac.compare_digest(given, self._expected)
