"""The wallet operations, each one synchronous step from request to answer, so that none can interleave with another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.sandbox.caselle import imports, odata, payments, wallets
from app.sandbox.caselle.problems import Problem, Refused
from app.sandbox.kit import Emulator, Json

_CLIENT_FIELDS: Final = frozenset({"uid", "customer_id", "name", "timezone", "subdomain"})
_ACCOUNT_FIELDS: Final = frozenset(
    {"uid", "client_id", "name", "processor", "external_account_id", "external_merchant_id", "active"}
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One admitted request; `account` is the payment account of the header, empty where none is needed."""

    account: Json
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: Json


@dataclass(frozen=True, slots=True)
class Answer:
    """A None body means none at all."""

    status: int
    body: Any = None


Operation = Callable[[Ask], Answer]


class Api:
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
            ("GET", "/api/clients", self.list_clients, False),
            ("GET", "/api/paymentaccounts", self.list_accounts, False),
        ]

    @property
    def _state(self) -> Json:
        return self._emulator.state

    def _list(self, rows: list[Json]) -> Answer:
        return Answer(200, {"value": rows} if self._emulator.switch("LIST_SHAPE") == "wrapped" else rows)

    def _show(self, customer: Json) -> Json:
        return wallets.show_customer(customer, has_default=self._emulator.switch("DEFAULT_MARKER") != "list")

    def _customer(self, ask: Ask) -> Json:
        return wallets.customer_of(self._state, ask.account["uid"], ask.path["customer"])

    def create_customer(self, ask: Ask) -> Answer:
        customer = wallets.create(self._state, ask.account["uid"], ask.body, self._emulator.clock.now())
        self._emulator.touch()
        return Answer(201, self._show(customer))

    def list_customers(self, ask: Ask) -> Answer:
        rows = (
            self._show(customer)
            for customer in self._state["customers"].values()
            if customer["account"] == ask.account["uid"]
        )
        return self._list(odata.select(rows, ask.query, wallets.CUSTOMER_FIELDS))

    def read_customer(self, ask: Ask) -> Answer:
        return Answer(200, self._show(self._customer(ask)))

    def save_method(self, ask: Ask) -> Answer:
        now = self._emulator.clock.now()
        saved = wallets.save(self._state, ask.account, ask.path["customer"], ask.body, now)
        self._emulator.touch()
        return Answer(201, saved)

    def list_methods(self, ask: Ask) -> Answer:
        has_default = self._emulator.switch("DEFAULT_MARKER") != "customer"
        return self._list(wallets.show_methods(self._customer(ask), has_default=has_default))

    def set_default(self, ask: Ask) -> Answer:
        customer = self._customer(ask)
        wallets.set_default(customer, ask.body, self._emulator.clock.now())
        self._emulator.touch()
        return Answer(204) if self._emulator.switch("DEFAULT_ANSWER") == "empty" else Answer(200, self._show(customer))

    def delete_method(self, ask: Ask) -> Answer:
        wallets.delete(self._customer(ask), ask.path["method"])
        self._emulator.touch()
        return Answer(204)

    def import_methods(self, ask: Ask) -> Answer:
        outcome = imports.bulk(self._state, ask.account, ask.body, self._emulator.clock.now())
        self._emulator.touch()
        return Answer(200, outcome)

    def quote(self, ask: Ask) -> Answer:
        quoted = payments.quote(self._state, ask.account, ask.body, self._emulator.clock.now())
        self._emulator.touch()
        return Answer(200, quoted)

    def capture(self, ask: Ask) -> Answer:
        now = self._emulator.clock.now()
        captured = payments.capture(self._state, ask.account, ask.path["payment"], ask.body, now)
        self._emulator.touch()
        if captured["status"] == "failed":
            raise Refused(Problem.DECLINED)
        return Answer(200, captured)

    def refund(self, ask: Ask) -> Answer:
        refunded = payments.refund(self._state, ask.account, ask.path["payment"], ask.body)
        self._emulator.touch()
        return Answer(200, refunded)

    def list_clients(self, ask: Ask) -> Answer:
        return self._list(odata.select(self._state["clients"].values(), ask.query, _CLIENT_FIELDS))

    def list_accounts(self, ask: Ask) -> Answer:
        return self._list(odata.select(self._state["accounts"].values(), ask.query, _ACCOUNT_FIELDS))
