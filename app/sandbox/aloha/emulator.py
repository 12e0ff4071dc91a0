"""Aloha Online Ordering emulator: ``/v1/...`` with Basic credentials and a company code.

Verbs are unusual: `PUT` creates, `POST` replaces. Paths and query names are case-insensitive.
"""

import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.sandbox.aloha import customers, demo, media, payments
from app.sandbox.aloha.refusals import invalid, named
from app.sandbox.base import Emulator, Json, Switch
from app.sandbox.json_api import SandboxRefusal

_USER: Final = "sandbox-service"
_PASSWORD: Final = "sandbox-aloha-password"  # noqa: S105 - opens nothing but this emulator
_BASIC: Final = "Basic " + b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
_CPS_COMPANY: Final = "3b93f3f6-600f-41dc-91b3-9702e922e278"


@dataclass(frozen=True, slots=True)
class _AlohaReply:
    """`root` names the XML element; no `value` means an empty body."""

    value: Any
    root: str
    has_body: bool = True


class AlohaEmulator(Emulator):
    name: ClassVar[str] = "aloha"
    switches: ClassVar[Mapping[str, Switch]] = {
        "DUPLICATE_TOKEN": Switch(("new_account", "same_account", "reject"), "Result of saving a token again."),
        "PAYMENTS_SHAPE": Switch(
            ("array", "single_or_array", "single"), "Shape of the list reply: the help page shows one object."
        ),
        "EMPTY_PAYMENTS": Switch(("not_found", "empty_array"), "List reply when nothing is saved."),
        "DUPLICATE_EMAIL_STATUS": Switch(("400", "409"), "The HTTP status of DuplicateKey."),
        "ENABLE_PAYMENT_DELETE": Switch(("0", "1"), "Whether the undocumented DELETE of one payment exists."),
        "ENABLED_PROVIDERS": Switch(("2,4,6", "2", "4", "6", "2,4", "2,6", "4,6"), "The company's payment providers."),
        "PAST_EXPIRATION": Switch(("accept", "reject"), "Whether a token with a past expiry date can be saved."),
    }

    def demo_state(self) -> Json:
        return demo.state()

    def asgi(self) -> ASGIApp:
        methods = ["GET", "POST", "PUT", "DELETE", "PATCH"]
        return Starlette(routes=[Route("/{path:path}", self._serve, methods=methods)])

    def credentials(self, base_url: str) -> Json:
        return {
            "base_url": f"{base_url.rstrip('/')}/{self.name}",
            "headers": {"Authorization": _BASIC, "X-Api-CompanyCode": demo.COMPANY},
            "username": _USER,
            "password": _PASSWORD,
            "company_code": demo.COMPANY,
        }

    def held(self, customer_ref: str) -> list[Json] | None:
        customer = self.state["companies"][demo.COMPANY].get(customer_ref.lower())
        return None if customer is None else [_summary(payment) for payment in customer["payments"]]

    async def _serve(self, request: Request) -> Response:
        raw = await request.body()
        media_type = media.chosen(request.headers.get("accept", ""))
        try:
            # No await below: each request reads and writes the state atomically.
            answer = self._answer(request, raw)
        except SandboxRefusal as refused:
            body = media.written(refused.body, media_type, "Error")
            return Response(body, refused.status, refused.headers, media_type)
        if not answer.has_body:
            return Response(status_code=200)
        return Response(media.written(answer.value, media_type, answer.root), media_type=media_type)

    def _answer(self, request: Request, raw: bytes) -> _AlohaReply:
        company = _authorize(request.headers, self.state)
        path = request.path_params["path"].rstrip("/")
        found = [(method, pattern.fullmatch(path), call) for method, pattern, call in _ROUTES]
        matching = {method: (match, call) for method, match, call in found if match}
        if not matching:
            raise named(404, "No HTTP resource was found that matches the request URI.")
        if request.method not in matching or not self._is_served(request.method):
            allowed = ", ".join(method for method in matching if self._is_served(method))
            message = "The requested resource does not support this http method."
            raise SandboxRefusal(405, {"Message": message}, {"Allow": allowed})
        match, call = matching[request.method]
        return call(_AlohaRequest(self, company, match.groupdict(), request, raw))

    def _is_served(self, method: str) -> bool:
        return method != "DELETE" or self.switch("ENABLE_PAYMENT_DELETE") == "1"


@dataclass(frozen=True, slots=True)
class _AlohaRequest:
    """An authenticated request; `company` maps GUIDs to customers."""

    emulator: AlohaEmulator
    company: dict[str, Json]
    groups: Mapping[str, str]
    request: Request
    raw: bytes

    @property
    def is_xml(self) -> bool:
        return media.chosen(self.request.headers.get("accept", "")).endswith("xml")

    @property
    def duplicate_status(self) -> int:
        return int(self.emulator.switch("DUPLICATE_EMAIL_STATUS"))

    def body(self, root: str | None = None) -> Json:
        return media.read(self.request.headers.get("content-type", ""), self.raw, root)

    def option(self, name: str) -> str:
        """A query value in lower case; its name is case-insensitive."""
        options = self.request.query_params.items()
        return next((value.lower() for key, value in options if key.lower() == name.lower()), "")

    def customer(self) -> tuple[str, Json]:
        key = payments.guid(self.groups["id"])
        if key is None or key not in self.company:
            raise named(404, "NotFound")
        return key, self.company[key]

    def shown(self, found: list[Json]) -> list[Json]:
        return [payments.with_names(payment) for payment in found] if self.is_xml else found


def _create(request: _AlohaRequest) -> _AlohaReply:
    key = customers.create(request.company, request.body(), request.duplicate_status)
    is_verbose = request.option("verbose") == "true"
    return _AlohaReply(
        {"CustomerId": key, "Customer": customers.shown(key, request.company[key]) if is_verbose else None},
        "CustomerResults",
    )


def _get(request: _AlohaRequest) -> _AlohaReply:
    return _AlohaReply(customers.shown(*request.customer()), "Customer")


def _replace(request: _AlohaRequest) -> _AlohaReply:
    key, _ = request.customer()
    customers.replace(request.company, key, request.body(), request.duplicate_status)
    return _AlohaReply(customers.shown(key, request.company[key]), "Customer")


def _list(request: _AlohaRequest) -> _AlohaReply:
    """One 404 for both an unknown customer and an empty list, unless EMPTY_PAYMENTS says otherwise."""
    found = request.shown(request.customer()[1]["payments"])
    if not found and request.emulator.switch("EMPTY_PAYMENTS") == "not_found":
        raise named(404, "NotFound")
    shape = request.emulator.switch("PAYMENTS_SHAPE")
    is_single = bool(found) and (shape == "single" or (shape == "single_or_array" and len(found) == 1))
    return _AlohaReply(found[-1] if is_single else found, "CustomerPayment")


def _info(request: _AlohaRequest) -> _AlohaReply:
    """The help page lists only BadRequest, so an unknown customer gets BadRequest."""
    try:
        _, customer = request.customer()
    except SandboxRefusal:
        raise invalid({"customerId": "Customer does not exist."}) from None
    found = request.shown(customer["payments"])
    return _AlohaReply(
        {
            "CPSCompanyID": _CPS_COMPANY,
            "CustomerProfileId": customer["CustomerProfileId"],
            "CPSCompanyCode": "DEMO",
            "Payments": [{"$id": str(at), **payment} for at, payment in enumerate(found, 2)],
        },
        "ConsumerPayment",
    )


def _add_token(request: _AlohaRequest) -> _AlohaReply:
    emulator = request.emulator
    rules = payments.AlohaTokenRules(
        enabled=frozenset(int(number) for number in emulator.switch("ENABLED_PROVIDERS").split(",")),
        today=emulator.clock.now().date() if emulator.switch("PAST_EXPIRATION") == "reject" else None,
    )
    body = request.body(f"{{{media.MODELS}}}CustomerCreditCardTokenHeader")
    header = payments.token_header(body, request.company.__contains__, rules)
    saved = request.company[header.customer_id]["payments"]
    account_id = payments.add(saved, header, emulator.switch("DUPLICATE_TOKEN"))
    return _AlohaReply(account_id, "guid")


def _replace_payments(request: _AlohaRequest) -> _AlohaReply:
    """Replace all saved payments with the supplied one; this never adds a payment."""
    _, customer = request.customer()
    only = payments.replacement(request.body(f"{{{media.INBOUND}}}InPayment"))
    customer["payments"] = [only]
    return _AlohaReply(only["AccountId"], "guid")


def _delete(request: _AlohaRequest) -> _AlohaReply:
    _, customer = request.customer()
    account_id = payments.guid(request.groups["account"])
    left = [payment for payment in customer["payments"] if payment["AccountId"] != account_id]
    if len(left) == len(customer["payments"]):
        raise named(404, "NotFound")
    customer["payments"] = left
    return _AlohaReply(None, "", has_body=False)


def _authorize(headers: Mapping[str, str], state: Json) -> dict[str, Json]:
    given = headers.get("authorization", "")
    if not secrets.compare_digest(given.encode(), _BASIC.encode()):
        refusal = {"Message": "Authorization has been denied for this request."}
        raise SandboxRefusal(401, refusal, {"WWW-Authenticate": 'Basic realm="AlohaOnline"'})
    company: dict[str, Json] | None = state["companies"].get(headers.get("x-api-companycode", "").upper())
    if company is None:
        raise SandboxRefusal(401, {"Message": "The company code is missing or unknown."}, {"WWW-Authenticate": "Basic"})
    return company


def _summary(payment: Json) -> Json:
    digits = re.sub(r"\D", "", payment["MaskedAccountNumber"] or "")
    return {
        "ref": payment["AccountId"],
        "kind": "card",
        "last4": digits[-4:] or None,
        "active": True,
        "is_default": None,  # Aloha has no browser tokens
    }


_ROUTES: Final[tuple[tuple[str, re.Pattern[str], Callable[[_AlohaRequest], _AlohaReply]], ...]] = tuple(
    (method, re.compile(pattern, re.IGNORECASE), call)
    for method, pattern, call in (
        ("PUT", r"v1/Customers", _create),
        ("PUT", r"v1/Customers/Payment/Token", _add_token),
        ("GET", r"v1/Customers/(?P<id>[^/]+)", _get),
        ("POST", r"v1/Customers/(?P<id>[^/]+)", _replace),
        ("GET", r"v1/Customers/(?P<id>[^/]+)/Payments", _list),
        ("POST", r"v1/Customers/(?P<id>[^/]+)/Payments", _replace_payments),
        ("GET", r"v1/Customers/(?P<id>[^/]+)/Payments/Info", _info),
        ("DELETE", r"v1/Customers/(?P<id>[^/]+)/Payments/(?P<account>[^/]+)", _delete),
    )
)
