"""The gateway's ASGI application: Starlette's routing, with errors as JSON."""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Lifespan, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.api.etag import PATH
from app.api.problems import RequestRefused
from app.api.response import HttpResponse, encode
from app.api.streams.websocket import deny

App = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]
_CODES: Final[Mapping[int, str]] = {405: "METHOD_NOT_ALLOWED", 500: "INTERNAL_SERVER_ERROR"}


class GatewayApp(Starlette):
    """`graphql` serves /graphql and below, over HTTP and WebSocket, and `others`; `routes` serve everything else.

    /graphql itself is not routed by Starlette: that costs 15 Python calls a request.
    """

    def __init__(
        self,
        graphql: App,
        routes: Sequence[BaseRoute],
        lifespan: "Lifespan[GatewayApp] | None" = None,
        others: Iterable[str] = (),
    ):
        self._graphql = graphql
        below = f"{PATH}/{{document_id:path}}"
        super().__init__(
            routes=[
                Route(below, graphql),
                *(Route(path, graphql) for path in others),
                WebSocketRoute(below, graphql),
                WebSocketRoute("/{path:path}", _no_socket),
                *routes,
            ],
            exception_handlers={404: _refuse, 405: _refuse, 500: _refuse},
            lifespan=lifespan,
        )
        self.router.redirect_slashes = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """Not a coroutine itself: each one around another is run again whenever a request goes on."""
        if scope.get("path") == PATH:
            return self._graphql(scope, receive, send)
        return super().__call__(scope, receive, send)


async def _refuse(_: Request, error: Exception) -> Any:
    refused = RequestRefused(_CODES.get(getattr(error, "status_code", 500), "NOT_FOUND"))
    allowed = (getattr(error, "headers", None) or {}).get("Allow", "GET, HEAD")
    headers = {"allow": ", ".join(sorted(allowed.split(", ")))} if refused.status == 405 else {}
    return HttpResponse(refused.status, encode({"errors": refused.as_errors()}), headers=headers)


async def _no_socket(socket: WebSocket) -> None:
    await socket.receive()
    await deny(socket.scope, socket.send, RequestRefused("NOT_FOUND"))
