"""A minimal ASGI router. It is kept small because every request passes it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import RequestRefused
from app.api.response import HttpResponse, encode
from app.api.streams.websocket import deny

Page = Callable[[], Awaitable[HttpResponse]]
_READ: Final = {"allow": "GET, HEAD"}
Lifespan = Callable[[], Awaitable[None]]


class Router:
    """Routes exact paths to `apps` and `pages` (GET and HEAD), and prefixes to `mounts`. Only `sockets` takes
    WebSockets.

    `start` and `stop` run with the process; if `start` raises, the process ends before it serves anything.
    """

    def __init__(
        self,
        *,
        apps: Mapping[str, ASGIApp],
        pages: Mapping[str, Page],
        mounts: Mapping[str, ASGIApp],
        sockets: ASGIApp,
        start: Lifespan,
        stop: Lifespan,
    ) -> None:
        self._apps = dict(apps)
        self._pages = dict(pages)
        self._mounts = dict(mounts)
        self._sockets = sockets
        self._start = start
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        path: str = scope["path"]
        app = self._apps.get(path)
        if app is None:
            app = next((mounted for prefix, mounted in self._mounts.items() if path.startswith(prefix)), None)
            if app is not None and scope["type"] == "http":
                await _mounted(app, scope, receive, send)
                return
        if scope["type"] == "websocket" and app is not self._sockets:
            await receive()
            await deny(scope, send, RequestRefused("NOT_FOUND"))
        elif app is not None:
            await app(scope, receive, send)
        else:
            await (await self._page(scope)).send(send, body=scope["method"] != "HEAD")

    async def _page(self, scope: Scope) -> HttpResponse:
        page = self._pages.get(scope["path"])
        if page is None:
            return _refusal("NOT_FOUND")
        if scope["method"] not in ("GET", "HEAD"):
            return _refusal("METHOD_NOT_ALLOWED", _READ)
        return await page()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})


async def _mounted(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run a Starlette application and answer the 404 and 405 that it raises."""
    try:
        await app(scope, receive, send)
    except HTTPException as error:
        answer = _refusal("METHOD_NOT_ALLOWED", _READ) if error.status_code == 405 else _refusal("NOT_FOUND")
        await answer.send(send, body=scope["method"] != "HEAD")


def _refusal(code: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    refused = RequestRefused(code)
    return HttpResponse(refused.status, encode({"errors": refused.as_errors()}), headers=headers or {})
