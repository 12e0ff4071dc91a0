"""LoanPro emulator: LMS below ``/api/public/api/1``, Secure Payments below ``/secure-payments``."""

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.sandbox.base import Emulator, Json, Switch
from app.sandbox.json_api import Malformed, SandboxRefusal, json_body, json_reply
from app.sandbox.loanpro import demo, lms, vault, wallet
from app.sandbox.loanpro.refusals import entity_error, unauthorized

_API_TOKEN: Final = "sandbox-loanpro-api-token"  # noqa: S105 - opens nothing but this emulator
_TENANT: Final = "5200243"
_LOGIN: Final = wallet.Login(
    username="sandbox@loanpro.example",
    password="sandbox-loanpro-password",  # noqa: S106
    token="sandbox-loanpro-sp-token",  # noqa: S106
    secret="sandbox-loanpro-sp-secret",  # noqa: S106
)


class LoanProEmulator(Emulator):
    name: ClassVar[str] = "loanpro"
    switches: ClassVar[Mapping[str, Switch]] = {
        "LINK_RESPONSE": Switch(
            ("expanded_newest_last", "deferred", "expanded_newest_first"),
            "Reply of a customer PUT that changes payment profiles: all of them, or none; pages disagree.",
        ),
        "PRIMARY_CONFLICT": Switch(("reject", "last_wins"), "Effect of a second primary or secondary profile."),
        "ALLOW_DUPLICATE_TOKEN": Switch(("1", "0"), "Whether a token may be linked to several active profiles."),
        "FLAGS": Switch(("ints", "strings"), "Whether isPrimary, isSecondary and active come as 1 or as '1'."),
        "CARD_DETAILS": Switch(("full", "none"), "Whether LMS shows a card's number, brand, expiry and holder."),
        "TOKEN_ECHO": Switch(("encoded", "decoded", "none"), "Form of a profile's token in LMS replies."),
        "PAGE_SIZE": Switch(
            ("none", "1", "2", "5", "50"), "Page size of payment profile lists, with or without `nopaging`."
        ),
        "PAGE_HINT": Switch(
            ("summary", "next_link", "silent"),
            "What marks a page as not the last: `summary.total`, `__next`, or nothing.",
        ),
        "SEARCH_DELAY_S": Switch(("0", "1", "2", "5", "10", "60"), "Lag of the search index in seconds."),
    }

    def demo_state(self) -> Json:
        return demo.state()

    def asgi(self) -> ASGIApp:
        methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=methods)])

    def credentials(self, base_url: str) -> Json:
        root = f"{base_url.rstrip('/')}/{self.name}"
        return {
            "base_url": f"{root}{lms.PREFIX.rstrip('/')}",
            "headers": {"Authorization": f"Bearer {_API_TOKEN}", "Autopal-Instance-Id": _TENANT},
            "secure_payments": {
                "base_url": f"{root}{wallet.PREFIX.rstrip('/')}",
                "headers": {"Authorization": _LOGIN.token, "Secret": _LOGIN.secret},
                "username": _LOGIN.username,
                "password": _LOGIN.password,
            },
        }

    def held(self, customer_ref: str) -> list[Json] | None:
        customer = self.state["customers"].get(customer_ref)
        if customer is None:
            return None
        accounts = (self.state["accounts"][str(number)] for number in customer["account_ids"])
        return [self._summary(account) for account in accounts]

    def mint_token(self, fields: Json) -> Json:
        record = vault.store(self.state, _record_of(fields), int(self.clock.now().timestamp()))
        self.touch()
        return {
            "token": vault.token_of(record),
            "last4": record["last4"],
            "bin": record.get("bin"),
            "brand": record.get("brand"),
        }

    def _summary(self, account: Json) -> Json:
        record = self.state["vault"][str(account["vault_id"])]
        return {
            "ref": str(account["id"]),
            "kind": record["kind"],
            "last4": record["last4"],
            "active": bool(account["active"]),
            "is_default": bool(account["isPrimary"] and account["active"]),
        }

    async def _serve(self, request: Request) -> Response:
        raw = await request.body()
        try:
            # No await below: each request reads and writes the state atomically.
            shown = self._answer(request, raw)
        except SandboxRefusal as refused:
            return refused.reply()
        return HTMLResponse(shown) if isinstance(shown, str) else json_reply(shown)

    def _answer(self, request: Request, raw: bytes) -> Any:
        path, method = f"/{request.path_params['path']}", request.method
        if path.startswith(wallet.ROOT):
            received = wallet.Received(
                method, path, request.headers, request.query_params, lambda: _decoded(request, raw)
            )
            return wallet.answer(self, _LOGIN, received, self.mint_token)
        if not path.startswith(lms.PREFIX):
            raise entity_error("The requested endpoint does not exist", status=404, kind="NotFoundException")
        _authorize(request.headers)
        return lms.answer(self, method, path, request.query_params, lambda: _decoded(request, raw))


def _authorize(headers: Mapping[str, str]) -> None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secrets.compare_digest(token.strip().encode(), _API_TOKEN.encode()):
        raise unauthorized("Invalid API token")
    if headers.get("autopal-instance-id") != _TENANT:
        raise unauthorized("Invalid instance id")


def _decoded(request: Request, raw: bytes) -> Any:
    return json_body(request, raw, _refusal)


def _refusal(why: Malformed) -> SandboxRefusal:
    return entity_error("Invalid JSON" if why is Malformed.NOT_JSON else "Content-Type must be application/json")


def _record_of(fields: Json) -> Json:
    """The validated, masked record of a token. Raises ValueError, which names the field and never the value."""
    number, holder = fields.get("number"), str(fields.get("holder_name") or "Sandbox Holder")
    if not isinstance(number, str):
        raise ValueError("number is required, as text")
    if fields.get("kind") == "bank":
        return vault.bank_record(
            number,
            routing_number=str(fields.get("routing_number") or "124002971"),
            account_type=str(fields.get("account_type") or "checking").lower(),
            holder_name=holder,
            bank_name="Test Bank",
        )
    if fields.get("kind") != "card":
        raise ValueError("kind must be card or bank")
    try:
        month, year = int(fields.get("exp_month", "")), int(fields.get("exp_year", ""))
    except (TypeError, ValueError):
        raise ValueError("exp_month and exp_year are required") from None
    return vault.card_record(number, exp_month=month, exp_year=year, holder_name=holder)
