"""What the emulators of JSON APIs share: error replies, bodies, routing, and OAuth2 in front of both."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Any, ClassVar, Final

import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.sandbox.base import Emulator, Json, SandboxClock
from app.sandbox.oauth import TokenEndpoint, TokenRefused, read_form

TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105 - a path
CREDENTIALS_LIFETIME_S: Final = 86_400


class SandboxRefusal(Exception):
    """Carries the HTTP reply. Raised before any change."""

    media_type: ClassVar[str] = "application/json"

    def __init__(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def reply(self) -> Response:
        return json_reply(self.body, self.status, self.media_type)


class Malformed(Enum):
    """Why a request is refused before any operation sees it."""

    NO_SUCH_PATH = auto()
    WRONG_VERB = auto()
    NOT_JSON_TYPE = auto()
    NOT_JSON = auto()
    NOT_AN_OBJECT = auto()


def json_reply(body: Any, status: int = 200, media_type: str = "application/json") -> Response:
    return Response(orjson.dumps(body), status, media_type=media_type)


def json_body(request: Request, raw: bytes, refuse: Callable[[Malformed], SandboxRefusal]) -> Any:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise refuse(Malformed.NOT_JSON_TYPE)
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise refuse(Malformed.NOT_JSON) from None


class JsonApiEmulator(Emulator):
    """A JSON API behind OAuth2. Access tokens survive a reset."""

    token_paths: ClassVar[tuple[str, ...]] = (TOKEN_PATH,)
    guarded: ClassVar[tuple[str, ...]]
    """Prefixes of the paths that need a token, which is checked before the path and the body are."""
    client_id: ClassVar[str]
    scope: ClassVar[str] = ""
    token_type: ClassVar[str] = "bearer"  # noqa: S105
    error_type: ClassVar[str] = "application/json"
    """The media type of errors of the token endpoint."""

    def __init__(self, clock: SandboxClock) -> None:
        super().__init__(clock)
        self.desk = TokenEndpoint(self)

    def reset(self) -> None:
        oauth = self.state.get("oauth")
        super().reset()
        if oauth is not None:
            self.state["oauth"] = oauth

    def set_switch(self, name: str, value: str) -> None:
        super().set_switch(name, value)
        if name == "REVOKE_TOKENS":
            del self.settings[name]
            if value == "now":
                self.desk.revoke_all()

    @abstractmethod
    def operations(self) -> Iterable[tuple[str, str, Any, bool]]:
        """Method, path, operation, and whether the request has a body."""

    def pages(self) -> Iterable[BaseRoute]:
        """Further routes, which need no token."""
        return ()

    @abstractmethod
    def admit(self, headers: Headers, path: str) -> None:
        """Check token and tenant; raises SandboxRefusal."""

    @abstractmethod
    def answer(self, request: Request, operation: Any, body: Json) -> Response:
        """Run the operation, in one synchronous step. Raises SandboxRefusal."""

    @abstractmethod
    def grant(self, request: Request, form: Mapping[str, str]) -> None:
        """Check a token request; raises TokenRefused."""

    @abstractmethod
    def refusal(self, why: Malformed) -> SandboxRefusal: ...

    def asgi(self) -> ASGIApp:
        app = Starlette(
            routes=[
                *(
                    Route(path, self._endpoint(run, has_body), methods=[verb])
                    for verb, path, run, has_body in self.operations()
                ),
                Route(TOKEN_PATH, self._token, methods=["POST"]),
                *self.pages(),
            ],
            exception_handlers={SandboxRefusal: _refused, HTTPException: self._unknown_path},
        )

        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
            if scope["type"] == "http" and path.startswith(self.guarded):
                try:
                    self.admit(Headers(scope=scope), path)
                except SandboxRefusal as refused:
                    await refused.reply()(scope, receive, send)
                    return
            await app(scope, receive, send)

        return guard

    def root_of(self, request: Request) -> str:
        """The emulator's base URL, without a trailing slash."""
        return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path') or '/' + self.name}"

    def lasting_token(self) -> str:
        """A token for `credentials`."""
        return self.desk.mint(self.client_id, self.scope, CREDENTIALS_LIFETIME_S)

    def _endpoint(self, operation: Any, has_body: bool) -> Any:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            body = json_body(request, raw, self.refusal) if has_body else {}
            if not isinstance(body, dict):
                raise self.refusal(Malformed.NOT_AN_OBJECT)
            return self.answer(request, operation, body)

        return endpoint

    async def _token(self, request: Request) -> Response:
        raw = await request.body()
        try:
            self.grant(request, read_form(request.headers.get("content-type", ""), raw))
        except TokenRefused as wrong:
            return json_reply(wrong.body(), wrong.status, self.error_type)
        lifetime = int(self.switch("TOKEN_EXPIRES_IN"))
        token = self.desk.mint(self.client_id, self.scope, lifetime)
        return json_reply({"access_token": token, "expires_in": lifetime, "token_type": self.token_type})

    async def _unknown_path(self, _: Request, error: Exception) -> Response:
        is_wrong_verb = isinstance(error, HTTPException) and error.status_code == 405
        return self.refusal(Malformed.WRONG_VERB if is_wrong_verb else Malformed.NO_SUCH_PATH).reply()


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, SandboxRefusal)
    return error.reply()
