"""An emulator that forwards to another server, so that faults and call records work with any fake."""

from abc import abstractmethod

import aiohttp
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.sandbox.base import Emulator, Json, SandboxClock

__all__ = ["ForwardingEmulator", "SandboxClock"]

_OF_ONE_HOP = frozenset(("connection", "content-length", "host", "keep-alive", "transfer-encoding"))


class ForwardingEmulator(Emulator):
    """Forwards every request to `url`, a base URL without a path, and returns the reply.

    Subclasses implement `held` by reading the fake's data.
    """

    def __init__(self, clock: SandboxClock, url: str) -> None:
        super().__init__(clock)
        self.url = url

    def demo_state(self) -> Json:
        return {}

    def asgi(self) -> ASGIApp:
        return self.forward

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        query = scope["query_string"].decode("ascii")
        target = self.url + scope["raw_path"].decode("ascii") + (f"?{query}" if query else "")
        headers = [(name, value) for name, value in request.headers.items() if name not in _OF_ONE_HOP]
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, target, headers=headers, data=await request.body(), allow_redirects=False
            ) as reply,
        ):
            response = Response(await reply.read(), reply.status)
            for name, value in reply.headers.items():
                if name.lower() not in _OF_ONE_HOP:
                    response.headers.append(name, value)
        await response(scope, receive, send)

    def credentials(self, base_url: str) -> Json:
        return {"base_url": f"{base_url}/{self.name}", "headers": {}}

    @abstractmethod
    def held(self, customer_ref: str) -> list[Json] | None: ...
