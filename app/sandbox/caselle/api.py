"""The wallet operations. Each is one synchronous step from request to reply, so none can interleave."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.sandbox.base import Emulator, Json
from app.sandbox.caselle import accounts, events, imports, odata, payments, sessions, wallets
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal

_CLIENT_FIELDS: Final = frozenset({"uid", "customer_id", "name", "timezone", "subdomain"})
_ACCOUNT_FIELDS: Final = frozenset(
    {"uid", "client_id", "name", "processor", "external_account_id", "external_merchant_id", "active"}
)


@dataclass(frozen=True, slots=True)
class CaselleRequest:
    """An authenticated request; `account` is the header's payment account, empty if none is needed."""

    emulator: Emulator
    account: Json
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: Json
    base: str
    """The emulator's base URL, without a trailing slash."""

    @property
    def state(self) -> Json:
        return self.emulator.state

    @property
    def now(self) -> datetime:
        return self.emulator.clock.now()

    @property
    def customer(self) -> Json:
        return wallets.customer_of(self.state, self.account["uid"], self.path["customer"])

    def shown(self, customer: Json) -> Json:
        return wallets.show_customer(customer, has_default=self.emulator.switch("DEFAULT_MARKER") != "list")

    def listed(self, rows: Iterable[Json], fields: frozenset[str]) -> Any:
        return self.as_list(odata.select(rows, self.query, fields))

    def as_list(self, rows: list[Any]) -> Any:
        return {"value": rows} if self.emulator.switch("LIST_SHAPE") == "wrapped" else rows


Operation = Callable[[CaselleRequest], Any]
"""Returns the reply's body; None means that there is none."""


def _create_customer(request: CaselleRequest) -> Json:
    return request.shown(wallets.create(request.state, request.account["uid"], request.body, request.now))


def _list_customers(request: CaselleRequest) -> Any:
    customers = request.state["customers"].values()
    own = (request.shown(customer) for customer in customers if customer["account"] == request.account["uid"])
    return request.listed(own, wallets.CUSTOMER_FIELDS)


def _save_method(request: CaselleRequest) -> Json:
    return wallets.save(request.state, request.account, request.path["customer"], request.body, request.now)


def _list_methods(request: CaselleRequest) -> Any:
    has_default = request.emulator.switch("DEFAULT_MARKER") != "customer"
    rows = wallets.show_methods(request.customer, has_default=has_default)
    size = request.emulator.switch("PAGE_SIZE")
    return request.as_list(rows) if size == "none" else _page(request, rows, int(size))


def _page(request: CaselleRequest, rows: list[Json], size: int) -> Json:
    """One page, by `$skip`. Caselle's paging is unpublished (assumed)."""
    start = odata.skipped(request.query)
    end, hint = start + size, request.emulator.switch("PAGE_HINT")
    body: Json = {"value": rows[start:end]}
    if hint == "has_more":
        body["has_more"] = end < len(rows)
    elif hint != "silent" and end < len(rows):
        relative = f"payment-methods?$skip={end}"
        customer = f"{request.base}/api/customers/{request.path['customer']}"
        body["@odata.nextLink"] = relative if hint == "relative" else f"{customer}/{relative}"
    return body


def _set_default(request: CaselleRequest) -> Json | None:
    wallets.set_default(request.customer, request.body, request.now)
    return None if request.emulator.switch("DEFAULT_ANSWER") == "empty" else request.shown(request.customer)


def _delete_method(request: CaselleRequest) -> None:
    wallets.delete(request.customer, request.path["method"])


def _import_methods(request: CaselleRequest) -> Json:
    return imports.bulk(request.state, request.account, request.body, request.now)


def _quote(request: CaselleRequest) -> Json:
    return payments.quote(request.state, request.account, request.body, request.now)


def _capture(request: CaselleRequest) -> Json:
    state, now, needs_fees = request.state, request.now, request.emulator.switch("CAPTURE_AMOUNTS") == "required"
    uid = request.path["payment"]
    captured = payments.capture(state, request.account, uid, request.body, now, needs_fees=needs_fees)
    events.record(state, request.account, f"payment.{captured['status']}", captured, now)
    if captured["status"] == "failed":
        raise CaselleRefusal(CaselleProblem.DECLINED)
    return captured


def _refund(request: CaselleRequest) -> Json:
    refunded = payments.refund(request.state, request.account, request.path["payment"], request.body)
    events.record(request.state, request.account, "payment.refunded", refunded, request.now)
    return refunded


def _create_session(request: CaselleRequest) -> Json:
    return sessions.create(request.state, request.account, request.body, request.base, request.now)


def _list_accounts(request: CaselleRequest) -> Any:
    return request.listed(map(accounts.show, request.state["accounts"].values()), _ACCOUNT_FIELDS)


_ONE: Final = "/api/customers/{customer}"
_METHODS: Final = _ONE + "/payment-methods"
_WITHOUT_BODY: Final[tuple[tuple[str, str, Operation], ...]] = (
    ("GET", "/api/customers", _list_customers),
    ("GET", _ONE, lambda request: request.shown(request.customer)),
    ("GET", _METHODS, _list_methods),
    ("DELETE", _METHODS + "/{method}", _delete_method),
    (
        "GET",
        "/api/paymentaccounts/{account}/client-config",
        lambda request: accounts.client_config(request.state, request.path["account"], request.now),
    ),
    ("GET", "/api/webhooks/secret", lambda request: {"secret": request.account["webhook_secret"]}),
    ("GET", "/api/webhooks/types", lambda request: request.as_list(list(accounts.EVENT_TYPES))),
    ("GET", "/api/clients", lambda request: request.listed(request.state["clients"].values(), _CLIENT_FIELDS)),
    ("GET", "/api/paymentaccounts", _list_accounts),
)
_WITH_BODY: Final[tuple[tuple[str, str, Operation], ...]] = (
    ("POST", "/api/customers", _create_customer),
    ("POST", _METHODS, _save_method),
    ("PUT", _ONE + "/default-payment-method", _set_default),
    ("POST", "/api/saved-payment-methods/import", _import_methods),
    ("POST", "/api/payments", _quote),
    ("POST", "/api/payments/{payment}/capture", _capture),
    ("POST", "/api/payments/{payment}/refund", _refund),
    ("POST", "/v1/hosted-sessions", _create_session),
    ("PUT", "/api/webhooks/subscriptions", lambda request: accounts.subscribe(request.account, request.body)),
)
CREATED: Final = frozenset({_create_customer, _save_method, _create_session})
"""The operations that answer 201."""
OPERATIONS: Final = (
    *((*operation, False) for operation in _WITHOUT_BODY),
    *((*operation, True) for operation in _WITH_BODY),
)
