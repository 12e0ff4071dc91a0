"""Caselle Payment API emulator over HTTP: authentication, tenant, paths."""

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.sandbox.base import Json, Switch
from app.sandbox.caselle import changes, events, payment_events, sessions, tokenizer
from app.sandbox.caselle.api import CREATED, OPERATIONS, CaselleRequest, Operation
from app.sandbox.caselle.demo import ACCOUNT, demo_data
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal
from app.sandbox.checks import web_address
from app.sandbox.control_guard import is_loopback_address
from app.sandbox.json_api import TOKEN_PATH, JsonApiEmulator, Malformed, SandboxRefusal, json_reply
from app.sandbox.oauth import LIFETIME_SWITCH, REVOKE_SWITCH, TokenRefused, basic_pair, bearer_headers, read_form, same

CLIENT_ID: Final = "sandboxcaselle0client"
CLIENT_SECRET: Final = "sandbox-caselle-secret"  # noqa: S105 - opens the sandbox only
SCOPE: Final = "com.govineer.payments/admin"
_TENANT_HEADER: Final = "X-Payment-Account-Uid"
_TENANTLESS: Final = ("/api/clients", "/api/paymentaccounts")
_CLIENT_CONFIG: Final = re.compile(r"/api/paymentaccounts/[^/]+/client-config")
_KEPT_ON_RESET: Final = ("callback_url", "webhook_enabled")
_MALFORMED: Final = {
    Malformed.NO_SUCH_PATH: CaselleProblem.NO_SUCH_PATH,
    Malformed.WRONG_VERB: CaselleProblem.WRONG_VERB,
    Malformed.NOT_JSON_TYPE: CaselleProblem.NOT_JSON_TYPE,
    Malformed.NOT_JSON: CaselleProblem.NOT_JSON,
    Malformed.NOT_AN_OBJECT: CaselleProblem.NOT_JSON,
}


class CaselleEmulator(JsonApiEmulator):
    """Customers and wallets.

    A reset restores data and switches. Access tokens and webhook addresses survive it.
    """

    name: ClassVar[str] = "caselle"
    guarded: ClassVar[tuple[str, ...]] = ("/api/", "/v1/")
    client_id: ClassVar[str] = CLIENT_ID
    scope: ClassVar[str] = SCOPE
    token_type: ClassVar[str] = "Bearer"  # noqa: S105
    error_type: ClassVar[str] = CaselleRefusal.media_type
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
        "CAPTURE_AMOUNTS": Switch(
            ("required", "optional"),
            "Whether a capture must repeat fee and total: pages disagree, one sends the quote's body again.",
        ),
        "TOKEN_EXPIRES_IN": LIFETIME_SWITCH,
        "REVOKE_TOKENS": REVOKE_SWITCH,
    }

    def reset(self) -> None:
        before = self.state
        super().reset()
        for uid, account in before.get("accounts", {}).items():
            if uid in self.state["accounts"]:
                kept = {name: account[name] for name in _KEPT_ON_RESET if name in account}
                self.state["accounts"][uid].update(kept)

    def demo_state(self) -> Json:
        return demo_data()

    def credentials(self, base_url: str) -> Json:
        root = f"{base_url.rstrip('/')}/{self.name}"
        return {
            "base_url": root,
            "headers": bearer_headers(self.lasting_token(), {_TENANT_HEADER: ACCOUNT}),
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

    def mint_token(self, fields: Json) -> Json:
        """`fields` may name a `payment_account_uid`; default is the demo account."""
        account = fields.get("payment_account_uid") or ACCOUNT
        if account not in self.state["accounts"]:
            raise ValueError("payment_account_uid is unknown")
        minted = tokenizer.mint(self.state, fields, account, self.clock.now())
        self.touch()
        return minted

    def set_callback(self, url: str | None, account: str = ACCOUNT) -> None:
        """Set an account's webhook address; None turns webhooks off. Raises ValueError."""
        if url is not None and web_address(url) is not None:
            raise ValueError("url must be an http or https address")
        if url is not None and not is_loopback_address(url):
            raise ValueError("url must be an address of this machine: 127.0.0.1, [::1] or localhost")
        if account not in self.state["accounts"]:
            raise ValueError("account is unknown")
        self.state["accounts"][account].update(callback_url=url, webhook_enabled=url is not None)
        self.touch()

    def notify_of_change(self, fields: Json, account: str = ACCOUNT) -> Json:
        """Change saved methods as the network would, and queue one `provider.noc`; see `changes.notify`."""
        outcome = changes.notify(self.state, self.state["accounts"][account], fields, self.clock.now())
        self.touch()
        return outcome

    def notify_of_payment(self, fields: Json, account: str = ACCOUNT) -> Json:
        """Change a payment outside the API, and queue the event; see `payment_events.notify`."""
        outcome = payment_events.notify(self.state, self.state["accounts"][account], fields, self.clock.now())
        self.touch()
        return outcome

    async def deliver_due(self, post: events.Post = events.post_over_http) -> int:
        """Send due webhooks; call periodically. Returns the number accepted."""
        return await events.deliver_due(self, post)

    def operations(self) -> Iterable[tuple[str, str, Operation, bool]]:
        return OPERATIONS

    def pages(self) -> Iterable[BaseRoute]:
        yield Route("/checkout/{session}", self._checkout, methods=["GET", "POST"])

    def admit(self, headers: Headers, path: str) -> None:
        if _CLIENT_CONFIG.fullmatch(path):
            return
        authorization = headers.get("authorization", "")
        if self.desk.check(authorization) is None:
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

    def answer(self, request: Request, operation: Operation, body: Json) -> Response:
        account = self.state["accounts"].get(request.headers.get(_TENANT_HEADER, "").strip(), {})
        query = request.query_params.multi_items()
        shown = operation(CaselleRequest(self, account, request.path_params, query, body, self.root_of(request)))
        return Response(status_code=204) if shown is None else json_reply(shown, 201 if operation in CREATED else 200)

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
        return RedirectResponse(onward, 303)

    def grant(self, request: Request, form: Mapping[str, str]) -> None:
        user, password = basic_pair(request.headers.get("authorization")) or ("", "")
        if not (same(user, CLIENT_ID) and same(password, CLIENT_SECRET)):
            raise TokenRefused(400, "invalid_client")
        if form.get("grant_type") != "client_credentials":
            raise TokenRefused(400, "unsupported_grant_type")
        if form.get("scope") != SCOPE:
            raise TokenRefused(400, "invalid_scope")

    def refusal(self, why: Malformed) -> SandboxRefusal:
        return CaselleRefusal(_MALFORMED[why])


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
