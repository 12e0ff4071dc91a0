"""The wallet operations. Each is one synchronous step from request to reply, so none can interleave."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

    account: Json
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: Json
    base: str
    """The emulator's base URL, without a trailing slash."""


@dataclass(frozen=True, slots=True)
class CaselleReply:
    """A None body means no body."""

    status: int
    body: Any = None


Operation = Callable[[CaselleRequest], CaselleReply]


class CaselleApi:
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def operations(self) -> list[tuple[str, str, Operation, bool]]:
        """Method, path, handler, and whether the request has a body."""
        one = "/api/customers/{customer}"
        methods = one + "/payment-methods"
        return [
            ("POST", "/api/customers", self.create_customer, True),
            ("GET", "/api/customers", self.list_customers, False),
            ("GET", one, self.read_customer, False),
            ("POST", methods, self.save_method, True),
            ("GET", methods, self.list_methods, False),
            ("DELETE", methods + "/{method}", self.delete_method, False),
            ("PUT", one + "/default-payment-method", self.set_default, True),
            ("POST", "/api/saved-payment-methods/import", self.import_methods, True),
            ("POST", "/api/payments", self.quote, True),
            ("POST", "/api/payments/{payment}/capture", self.capture, True),
            ("POST", "/api/payments/{payment}/refund", self.refund, True),
            ("POST", "/v1/hosted-sessions", self.create_session, True),
            ("GET", "/api/paymentaccounts/{account}/client-config", self.client_config, False),
            ("PUT", "/api/webhooks/subscriptions", self.subscribe, True),
            (
                "GET",
                "/api/webhooks/secret",
                lambda request: CaselleReply(200, {"secret": request.account["webhook_secret"]}),
                False,
            ),
            ("GET", "/api/webhooks/types", lambda request: self._list(list(accounts.EVENT_TYPES)), False),
            ("GET", "/api/clients", self.list_clients, False),
            ("GET", "/api/paymentaccounts", self.list_accounts, False),
        ]

    @property
    def _state(self) -> Json:
        return self._emulator.state

    def _list(self, rows: list[Any]) -> CaselleReply:
        return CaselleReply(200, {"value": rows} if self._emulator.switch("LIST_SHAPE") == "wrapped" else rows)

    def _show(self, customer: Json) -> Json:
        return wallets.show_customer(customer, has_default=self._emulator.switch("DEFAULT_MARKER") != "list")

    def _customer(self, request: CaselleRequest) -> Json:
        return wallets.customer_of(self._state, request.account["uid"], request.path["customer"])

    def create_customer(self, request: CaselleRequest) -> CaselleReply:
        customer = wallets.create(self._state, request.account["uid"], request.body, self._emulator.clock.now())
        self._emulator.touch()
        return CaselleReply(201, self._show(customer))

    def list_customers(self, request: CaselleRequest) -> CaselleReply:
        rows = (
            self._show(customer)
            for customer in self._state["customers"].values()
            if customer["account"] == request.account["uid"]
        )
        return self._list(odata.select(rows, request.query, wallets.CUSTOMER_FIELDS))

    def read_customer(self, request: CaselleRequest) -> CaselleReply:
        return CaselleReply(200, self._show(self._customer(request)))

    def save_method(self, request: CaselleRequest) -> CaselleReply:
        now = self._emulator.clock.now()
        saved = wallets.save(self._state, request.account, request.path["customer"], request.body, now)
        self._emulator.touch()
        return CaselleReply(201, saved)

    def list_methods(self, request: CaselleRequest) -> CaselleReply:
        has_default = self._emulator.switch("DEFAULT_MARKER") != "customer"
        rows = wallets.show_methods(self._customer(request), has_default=has_default)
        size = self._emulator.switch("PAGE_SIZE")
        return self._list(rows) if size == "none" else self._page(request, rows, int(size))

    def _page(self, request: CaselleRequest, rows: list[Json], size: int) -> CaselleReply:
        """One page, by `$skip`. Caselle's paging is unpublished (assumed)."""
        start = odata.skipped(request.query)
        end, hint = start + size, self._emulator.switch("PAGE_HINT")
        body: Json = {"value": rows[start:end]}
        if hint == "has_more":
            body["has_more"] = end < len(rows)
        elif hint != "silent" and end < len(rows):
            relative = f"payment-methods?$skip={end}"
            customer = f"{request.base}/api/customers/{request.path['customer']}"
            body["@odata.nextLink"] = relative if hint == "relative" else f"{customer}/{relative}"
        return CaselleReply(200, body)

    def set_default(self, request: CaselleRequest) -> CaselleReply:
        customer = self._customer(request)
        wallets.set_default(customer, request.body, self._emulator.clock.now())
        self._emulator.touch()
        return (
            CaselleReply(204)
            if self._emulator.switch("DEFAULT_ANSWER") == "empty"
            else CaselleReply(200, self._show(customer))
        )

    def delete_method(self, request: CaselleRequest) -> CaselleReply:
        wallets.delete(self._customer(request), request.path["method"])
        self._emulator.touch()
        return CaselleReply(204)

    def import_methods(self, request: CaselleRequest) -> CaselleReply:
        outcome = imports.bulk(self._state, request.account, request.body, self._emulator.clock.now())
        self._emulator.touch()
        return CaselleReply(200, outcome)

    def quote(self, request: CaselleRequest) -> CaselleReply:
        quoted = payments.quote(self._state, request.account, request.body, self._emulator.clock.now())
        self._emulator.touch()
        return CaselleReply(200, quoted)

    def capture(self, request: CaselleRequest) -> CaselleReply:
        now = self._emulator.clock.now()
        captured = payments.capture(self._state, request.account, request.path["payment"], request.body, now)
        events.record(self._state, request.account, f"payment.{captured['status']}", captured, now)
        self._emulator.touch()
        if captured["status"] == "failed":
            raise CaselleRefusal(CaselleProblem.DECLINED)
        return CaselleReply(200, captured)

    def refund(self, request: CaselleRequest) -> CaselleReply:
        refunded = payments.refund(self._state, request.account, request.path["payment"], request.body)
        events.record(self._state, request.account, "payment.refunded", refunded, self._emulator.clock.now())
        self._emulator.touch()
        return CaselleReply(200, refunded)

    def create_session(self, request: CaselleRequest) -> CaselleReply:
        session = sessions.create(self._state, request.account, request.body, request.base, self._emulator.clock.now())
        self._emulator.touch()
        return CaselleReply(201, session)

    def client_config(self, request: CaselleRequest) -> CaselleReply:
        return CaselleReply(
            200, accounts.client_config(self._state, request.path["account"], self._emulator.clock.now())
        )

    def subscribe(self, request: CaselleRequest) -> CaselleReply:
        chosen = accounts.subscribe(request.account, request.body)
        self._emulator.touch()
        return CaselleReply(200, chosen)

    def list_clients(self, request: CaselleRequest) -> CaselleReply:
        return self._list(odata.select(self._state["clients"].values(), request.query, _CLIENT_FIELDS))

    def list_accounts(self, request: CaselleRequest) -> CaselleReply:
        return self._list(
            odata.select(map(accounts.show, self._state["accounts"].values()), request.query, _ACCOUNT_FIELDS)
        )
