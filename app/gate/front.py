"""The first thing that a request meets: a pure ASGI router, kept thin because every request pays for it."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from app.gate.answers import Answer, encode

Page = Callable[[], Awaitable[Answer]]
Lifespan = Callable[[], Awaitable[None]]


class Front:
    """`apps` by exact path, `pages` by exact path (GET and HEAD), `mounts` by prefix.

    `start` and `stop` are the process's: a `start` that raises ends it before anything is served.
    """

    def __init__(
        self,
        *,
        apps: Mapping[str, ASGIApp],
        pages: Mapping[str, Page],
        mounts: Mapping[str, ASGIApp],
        start: Lifespan,
        stop: Lifespan,
    ) -> None:
        self._apps = dict(apps)
        self._pages = dict(pages)
        self._mounts = dict(mounts)
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
        if app is not None:
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await (await self._page(scope)).send(send, body=scope["method"] != "HEAD")

    async def _page(self, scope: Scope) -> Answer:
        page = self._pages.get(scope["path"])
        if page is None:
            return Answer(404, encode({"errors": [{"message": "Nothing here.", "extensions": {"code": "NOT_FOUND"}}]}))
        if scope["method"] not in ("GET", "HEAD"):
            return Answer(405, b"", headers={"allow": "GET, HEAD"})
        return await page()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})
