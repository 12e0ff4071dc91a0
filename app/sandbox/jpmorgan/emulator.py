"""J.P. Morgan Consumer Profile Management emulator over HTTP: authentication, paths, and the challenge page."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.sandbox.base import Emulator, Json, SandboxClock, Switch
from app.sandbox.jpmorgan import three_ds
from app.sandbox.jpmorgan.answers import ADFS_ERROR, JpMorganRefusal, Rule, invalid
from app.sandbox.jpmorgan.api import JpMorganApi, JpMorganRequest, Operation
from app.sandbox.jpmorgan.demo import MERCHANT, OTHER_MERCHANT, demo_profiles
from app.sandbox.jpmorgan.profiles import stamp
from app.sandbox.jpmorgan.tokens import CLIENT_ID, CLIENT_SECRET, RESOURCE, AssertionKey, authenticate
from app.sandbox.oauth import LIFETIME_SWITCH, REVOKE_SWITCH, TokenEndpoint, TokenRefused, bearer_headers, read_form

BASE_PATH: Final = "/api/v2/mmp"
TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105 - a path
_KEPT_ON_RESET: Final = ("oauth", "client_key")
_CREDENTIALS_LIFETIME_S: Final = 86_400


class JpMorganEmulator(Emulator):
    """Profiles, payment methods, addresses, communication and 3-D Secure status.

    A reset restores profiles and switches; the client's key and issued tokens survive it.
    """

    name: ClassVar[str] = "jpmorgan"
    token_paths: ClassVar[tuple[str, ...]] = (TOKEN_PATH,)
    switches: ClassVar[Mapping[str, Switch]] = {
        "PROFILE_ID": Switch(
            ("generated", "external"),
            "`consumerProfileId` of a new profile: six characters, or the upper-cased external id.",
        ),
        "PAN_LENGTH": Switch(
            ("13_to_19", "exactly_16"), "Card number lengths: those of the networks, or of the schema."
        ),
        "FIRST_SIX": Switch(("omitted", "shown"), "Whether cards show `first6CardNumber`."),
        "TOKEN_EXPIRES_IN": LIFETIME_SWITCH,
        "REVOKE_TOKENS": REVOKE_SWITCH,
    }

    def __init__(self, clock: SandboxClock) -> None:
        super().__init__(clock)
        self._desk = TokenEndpoint(self)
        self._key = AssertionKey(self)
        self._api = JpMorganApi(self)

    def reset(self) -> None:
        lasting: Json = {name: self.state[name] for name in _KEPT_ON_RESET if name in self.state}
        super().reset()
        self.state.update(lasting)

    def demo_state(self) -> Json:
        kinds = ["card", "ach", "sepa", "bacs"]
        return {
            "merchants": {MERCHANT: {"kinds": kinds}, OTHER_MERCHANT: {"kinds": kinds[:2]}},
            "profiles": demo_profiles(),
            "imports": {},
            "used_assertions": {},
        }

    def set_switch(self, name: str, value: str) -> None:
        super().set_switch(name, value)
        if name == "REVOKE_TOKENS":
            del self.settings[name]
            if value == "now":
                self.revoke_tokens()

    def revoke_tokens(self) -> None:
        """Reject every access token issued so far."""
        self._desk.revoke_all()

    def credentials(self, base_url: str) -> Json:
        root = f"{base_url.rstrip('/')}/{self.name}"
        token = self._desk.mint(CLIENT_ID, "", _CREDENTIALS_LIFETIME_S)
        return {
            "base_url": root + BASE_PATH,
            "headers": bearer_headers(token, {"merchantIdentifier": MERCHANT}),
            "token_url": root + TOKEN_PATH,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "resource": RESOURCE,
            "private_key": self._key.private_pem,
            "key_id": self._key.key_id,
            "merchant_identifier": MERCHANT,
            "other_merchant_identifier": OTHER_MERCHANT,
        }

    def held(self, customer_ref: str) -> list[Json] | None:
        for merchant in self.state["merchants"]:
            profile = self.state["profiles"].get(f"{merchant}/{customer_ref}")
            if profile is not None:
                return [_held(method, profile["default"]) for method in profile["methods"]]
        return None

    def set_three_ds(self, payment_method_id: str, status: str) -> bool:
        """Set a card's result: SUCCESS, DENIED, ERROR or NONE. False for an unknown card; ValueError otherwise."""
        if status not in (*three_ds.OUTCOMES, "NONE"):
            raise ValueError("status must be SUCCESS, DENIED, ERROR or NONE")
        method = three_ds.find(self.state, method_id=payment_method_id)
        if method is None or method["kind"] != "card":
            return False
        three_ds.decide(method, status, stamp(self.clock.now()))
        self.touch()
        return True

    def asgi(self) -> ASGIApp:
        routes = [
            Route(BASE_PATH + path, self._serve(operation, has_body), methods=[verb])
            for verb, path, operation, has_body in self._api.operations()
        ]
        app = Starlette(
            routes=[
                *routes,
                Route(TOKEN_PATH, self._token, methods=["POST"]),
                Route("/three-ds/{authentication}", self._challenge, methods=["GET", "POST"]),
            ],
            exception_handlers={JpMorganRefusal: _refused, HTTPException: _unknown_path},
        )
        return self._guarded(app)

    def _guarded(self, app: ASGIApp) -> ASGIApp:
        """Check bearer, then merchant, before anything else, including whether the path exists."""

        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
            if scope["type"] == "http" and path.startswith(BASE_PATH + "/"):
                refusal = self._refusal(Headers(scope=scope), needs_merchant=path != BASE_PATH + "/healthcheck")
                if refusal is not None:
                    await refusal(scope, receive, send)
                    return
            await app(scope, receive, send)

        return guard

    def _refusal(self, headers: Headers, *, needs_merchant: bool) -> Response | None:
        if self._desk.check(headers.get("authorization")) is None:
            return _json(401, ADFS_ERROR)
        merchant = headers.get("merchantidentifier", "").strip()
        if not needs_merchant or merchant in self.state["merchants"]:
            return None
        wrong = (
            JpMorganRefusal(Rule.MERCHANT_NOT_ENTITLED) if merchant else invalid("merchantIdentifier", "is required")
        )
        return _json(wrong.status, wrong.body())

    def _serve(self, operation: Operation, has_body: bool) -> Any:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            body = _object(request, raw) if has_body else {}
            merchant = request.headers.get("merchantidentifier", "").strip()
            parsed = JpMorganRequest(merchant, request.path_params, body, request.headers, self._root(request))
            return _json(200, operation(parsed))

        return endpoint

    def _root(self, request: Request) -> str:
        return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path') or '/' + self.name}"

    async def _token(self, request: Request) -> Response:
        raw = await request.body()
        try:
            authenticate(
                read_form(request.headers.get("content-type", ""), raw),
                request.headers.get("authorization"),
                key=self._key,
                audience=self._root(request) + TOKEN_PATH,
                used=self.state["used_assertions"],
            )
        except TokenRefused as wrong:
            return _json(wrong.status, wrong.body())
        self.touch()
        lifetime = int(self.switch("TOKEN_EXPIRES_IN"))
        token = self._desk.mint(CLIENT_ID, "", lifetime)
        return _json(200, {"access_token": token, "expires_in": lifetime, "token_type": "bearer"})

    async def _challenge(self, request: Request) -> Response:
        raw = await request.body()
        method = three_ds.find(self.state, authentication_id=request.path_params["authentication"])
        if method is None:
            return HTMLResponse("Not found", 404)
        if request.method != "POST" or method["three_ds"]["status"] is not None:
            return HTMLResponse(three_ds.challenge_page(method))
        try:
            outcome = read_form(request.headers.get("content-type", ""), raw).get("outcome")
        except TokenRefused:
            outcome = None
        if outcome not in three_ds.OUTCOMES:
            return HTMLResponse("Unknown outcome", 400)
        three_ds.decide(method, outcome, stamp(self.clock.now()))
        self.touch()
        back = method["wire"].get("authenticationResult", {}).get("authenticationReturnUrl")
        return RedirectResponse(back, 303) if back else HTMLResponse(three_ds.challenge_page(method))


def _held(method: Json, default: str | None) -> Json:
    wire = method["wire"]
    return {
        "ref": wire["paymentMethodId"],
        "kind": "card" if method["kind"] == "card" else "bank",
        "last4": wire.get("last4CardNumber") or wire.get("last4AccountNumber"),
        "active": wire["accountStatus"] == "ACTIVE",
        "is_default": wire["paymentMethodId"] == default,
    }


def _object(request: Request, raw: bytes) -> Json:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise invalid("Content-Type", "must be application/json")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise invalid("", "is not JSON") from None
    if not isinstance(body, dict):
        raise invalid("", "must be an object")
    return body


def _json(status: int, body: Json) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")


async def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, JpMorganRefusal)
    return _json(exc.status, exc.body())


async def _unknown_path(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    wrong = JpMorganRefusal(Rule.WRONG_VERB if exc.status_code == 405 else Rule.NO_SUCH_PATH)
    return _json(wrong.status, wrong.body())
