"""Any ASGI app on a real port with the gateway's server settings, in a thread; stopped at the end of the block."""

import asyncio
from collections.abc import Callable
from typing import Any

from app.server.run import serve
from app.server.sockets import bind, url_of
from app.testing.server_thread import ServerThread


class Served(ServerThread):
    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__("served app")
        self._app = app
        self._options = options

    def call_soon(self, work: Callable[[], object]) -> None:
        """Run it on the server's event loop."""
        self.loop.call_soon_threadsafe(work)

    async def serve_until(self, stop: asyncio.Event) -> None:
        sock = bind("127.0.0.1", 0, "--port")
        self.url = url_of(sock)
        await serve(self._with_lifespan, sock, stop, grace_s=1, on_started=self.started, **self._options)

    async def _with_lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
