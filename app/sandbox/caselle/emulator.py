"""Caselle Payment API emulator over HTTP: authentication, tenant, paths."""

import re
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
from app.sandbox.caselle import changes, events, payment_events, sessions, shapes, tokenizer
from app.sandbox.caselle.api import CaselleApi, CaselleReply, CaselleRequest, Operation
from app.sandbox.caselle.demo import ACCOUNT, demo_data
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal
from app.sandbox.control_guard import is_loopback_address
from app.sandbox.oauth import (
    LIFETIME_SWITCH,
    REVOKE_SWITCH,
    TokenEndpoint,
    TokenRefused,
    basic_pair,
    bearer_headers,
    read_form,
    same,
)

TOKEN_PATH: Final = "/oauth2/token"  # noqa: S105 - a path
CLIENT_ID: Final = "sandboxcaselle0client"
CLIENT_SECRET: Final = "sandbox-caselle-secret"  # noqa: S105 - opens the sandbox only
SCOPE: Final = "com.govineer.payments/admin"
_TENANT_HEADER: Final = "X-Payment-Account-Uid"
_TENANTLESS: Final = ("/api/clients", "/api/paymentaccounts")
_CLIENT_CONFIG: Final = re.compile(r"/api/paymentaccounts/[^/]+/client-config")
_CREDENTIALS_LIFETIME_S: Final = 86_400
_KEPT_ON_RESET: Final = ("callback_url", "webhook_enabled")


class CaselleEmulator(Emulator):
    """Customers and wallets.

    A reset restores data and switches. Access tokens and webhook addresses survive it.
    """

    name: ClassVar[str] = "caselle"
    token_paths: ClassVar[tuple[str, ...]] = (TOKEN_PATH,)
    switches: ClassVar[Mapping[str, Switch]] = {
        "LIST_SHAPE": Switch(("bare", "wrapped"), 'Lists as a bare array, or as `{"value": [...]}`.'),
        "PAGE_SIZE": Switch(("none", "1", "2", "5", "50"), "Page size of saved method lists; pages are wrapped lists."),
        "PAGE_HINT": Switch(
            ("next_link", "relative", "has_more", "silent"),
            "What marks a page as not the last: an absolute or relative `@odata.nextLink`, `has_more`, or nothing.",
        ),
        "DEFAULT_MARKER": Switch(
            ("both", "list", "customer"),
            "Where the default is shown: `is_default` in lists, the customer's uid, or both.",
        ),
        "DEFAULT_ANSWER": Switch(("customer", "empty"), "Setting the default: 200 with the customer, or 204."),
        "TOKEN_EXPIRES_IN": LIFETIME_SWITCH,
        "REVOKE_TOKENS": REVOKE_SWITCH,
    }

    def __init__(self, clock: SandboxClock) -> None:
        super().__init__(clock)
        self._desk = TokenEndpoint(self)
        self._api = CaselleApi(self)

    def reset(self) -> None:
        before = self.state
        super().reset()
        if "oauth" in before:
            self.state["oauth"] = before["oauth"]
        for uid, account in before.get("accounts", {}).items():
            if uid in self.state["accounts"]:
                kept = {name: account[name] for name in _KEPT_ON_RESET if name in account}
                self.state["accounts"][uid].update(kept)

    def demo_state(self) -> Json:
        return demo_data()

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
        token = self._desk.mint(CLIENT_ID, SCOPE, _CREDENTIALS_LIFETIME_S)
        return {
            "base_url": root,
            "headers": bearer_headers(token, {_TENANT_HEADER: ACCOUNT}),
            "token_url": root + TOKEN_PATH,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scope": SCOPE,
            "payment_account_uid": ACCOUNT,
            "webhook_secret": self.state["accounts"][ACCOUNT]["webhook_secret"],
        }

    def held(self, customer_ref: str) -> list[Json] | None:
        customer = self.state["customers"].get(customer_ref)
        if customer is None:
            return None
        return [_held(method, customer["default"]) for method in customer["methods"]]

    def mint_token(self, wish: Json) -> Json:
        """`wish` may name a `payment_account_uid`; default is the demo account."""
        account = wish.get("payment_account_uid") or ACCOUNT
        if account not in self.state["accounts"]:
            raise ValueError("payment_account_uid is unknown")
        minted = tokenizer.mint(self.state, wish, account, self.clock.now())
        self.touch()
        return minted

    def set_callback(self, url: str | None, account: str = ACCOUNT) -> None:
        """Set an account's webhook address; None turns webhooks off. Raises ValueError."""
        if url is not None and shapes.WEB_ADDRESS(url) is not None:
            raise ValueError("url must be an http or https address")
        if url is not None and not is_loopback_address(url):
            raise ValueError("url must be an address of this machine: 127.0.0.1, [::1] or localhost")
        if account not in self.state["accounts"]:
            raise ValueError("account is unknown")
        self.state["accounts"][account].update(callback_url=url, webhook_enabled=url is not None)
        self.touch()

    def notify_of_change(self, wish: Json, account: str = ACCOUNT) -> Json:
        """Change saved methods as the network would, and queue one `provider.noc`; see `changes.notify`."""
        outcome = changes.notify(self.state, self.state["accounts"][account], wish, self.clock.now())
        self.touch()
        return outcome

    def notify_of_payment(self, wish: Json, account: str = ACCOUNT) -> Json:
        """Change a payment outside the API, and queue the event; see `payment_events.notify`."""
        outcome = payment_events.notify(self.state, self.state["accounts"][account], wish, self.clock.now())
        self.touch()
        return outcome

    async def deliver_due(self, post: events.Post = events.post_over_http) -> int:
        """Send due webhooks; call periodically. Returns the number accepted."""
        return await events.deliver_due(self, post)

    def asgi(self) -> ASGIApp:
        routes = [
            Route(path, self._serve(operation, has_body), methods=[verb])
            for verb, path, operation, has_body in self._api.operations()
        ]
        app = Starlette(
            routes=[
                *routes,
                Route(TOKEN_PATH, self._token, methods=["POST"]),
                Route("/checkout/{session}", self._checkout, methods=["GET", "POST"]),
            ],
            exception_handlers={CaselleRefusal: _refused, HTTPException: _unknown_path},
        )
        return self._guarded(app)

    def _guarded(self, app: ASGIApp) -> ASGIApp:
        """Check bearer, then tenant, before path or body."""

        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
            if scope["type"] == "http" and path.startswith(("/api/", "/v1/")):
                try:
                    self._admit(Headers(scope=scope), path)
                except CaselleRefusal as refused:
                    await _json(refused.status, refused.body())(scope, receive, send)
                    return
            await app(scope, receive, send)

        return guard

    def _admit(self, headers: Headers, path: str) -> None:
        if _CLIENT_CONFIG.fullmatch(path):
            return
        authorization = headers.get("authorization", "")
        if self._desk.check(authorization) is None:
            is_browser = sessions.has_secret(self.state, authorization.partition(" ")[2])
            raise CaselleRefusal(CaselleProblem.INSUFFICIENT_SCOPE if is_browser else CaselleProblem.NO_BEARER)
        if path.startswith(_TENANTLESS):
            return
        wanted = headers.get(_TENANT_HEADER, "").strip()
        if not wanted:
            raise CaselleRefusal(CaselleProblem.NO_TENANT)
        account = self.state["accounts"].get(wanted)
        if account is None:
            raise CaselleRefusal(CaselleProblem.NO_SUCH_TENANT)
        if not account["active"]:
            raise CaselleRefusal(CaselleProblem.TENANT_INACTIVE)

    def _serve(self, operation: Operation, has_body: bool) -> Any:
        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            body = _object(request, raw) if has_body else {}
            account = self.state["accounts"].get(request.headers.get(_TENANT_HEADER, "").strip(), {})
            query = request.query_params.multi_items()
            answer: CaselleReply = operation(
                CaselleRequest(account, request.path_params, query, body, self._root(request))
            )
            return Response(status_code=answer.status) if answer.body is None else _json(answer.status, answer.body)

        return endpoint

    def _root(self, request: Request) -> str:
        return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path') or '/' + self.name}"

    async def _checkout(self, request: Request) -> Response:
        raw = await request.body()
        session, now = request.path_params["session"], self.clock.now()
        try:
            if request.method != "POST":
                return HTMLResponse(sessions.page(self.state, session, now))
            form = read_form(request.headers.get("content-type", ""), raw)
            onward = sessions.complete(self.state, session, form, now)
        except CaselleRefusal as refused:
            return HTMLResponse(refused.detail, refused.status)
        except (TokenRefused, ValueError):
            return HTMLResponse("The card cannot be used.", 400)
        self.touch()
        return RedirectResponse(onward, 303)

    async def _token(self, request: Request) -> Response:
        raw = await request.body()
        try:
            form = read_form(request.headers.get("content-type", ""), raw)
            user, password = basic_pair(request.headers.get("authorization")) or ("", "")
            if not (same(user, CLIENT_ID) and same(password, CLIENT_SECRET)):
                raise TokenRefused(400, "invalid_client")
            if form.get("grant_type") != "client_credentials":
                raise TokenRefused(400, "unsupported_grant_type")
            if form.get("scope") != SCOPE:
                raise TokenRefused(400, "invalid_scope")
        except TokenRefused as wrong:
            return _json(wrong.status, wrong.body())
        lifetime = int(self.switch("TOKEN_EXPIRES_IN"))
        token = self._desk.mint(CLIENT_ID, SCOPE, lifetime)
        return _json(200, {"access_token": token, "expires_in": lifetime, "token_type": "Bearer"})


def _held(method: Json, default: str | None) -> Json:
    kind = method["payment_method"]["payment_method_type"]
    face = method["payment_method"][kind]
    return {
        "ref": method["uid"],
        "kind": "card" if kind == "credit" else "bank",
        "last4": face["last4"] if kind == "credit" else face["account_suffix"],
        "active": True,
        "is_default": method["uid"] == default,
    }


def _object(request: Request, raw: bytes) -> Json:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise CaselleRefusal(CaselleProblem.NOT_JSON_TYPE)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise CaselleRefusal(CaselleProblem.NOT_JSON) from None
    if not isinstance(body, dict):
        raise CaselleRefusal(CaselleProblem.NOT_JSON)
    return body


def _json(status: int, body: Any) -> Response:
    media = "application/problem+json" if status >= 400 else "application/json"
    return Response(orjson.dumps(body), status, media_type=media)


async def _refused(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, CaselleRefusal)
    return _json(exc.status, exc.body())


async def _unknown_path(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    wrong = CaselleRefusal(CaselleProblem.WRONG_VERB if exc.status_code == 405 else CaselleProblem.NO_SUCH_PATH)
    return _json(wrong.status, wrong.body())
