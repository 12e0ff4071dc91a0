"""The writes of the fault matrix, and their effect at the vault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.sandbox.demo import DemoCustomer
from app.vault.enums import ProviderName
from tests.faults.rules import Operation
from tests.support.adding import ach, adding, aloha_connected, caselle_card, loanpro_card
from tests.support.gateway import RunningGateway
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

VERBS: Final = ("POST", "PUT", "PATCH", "DELETE")

_ADDED: Final[Mapping[ProviderName, Callable[[RunningSandbox], dict[str, Any]]]] = {
    ProviderName.LOANPRO: loanpro_card,
    ProviderName.ALOHA: aloha_connected,
    ProviderName.JPMORGAN: ach,
    ProviderName.CASELLE: caselle_card,
}
_SELECTION: Final = "{ userErrors { code ... on ProviderError { outcome } } warnings { code } operation { state } }"
_FIELDS: Final[Mapping[Operation, str]] = {
    Operation.ADD: "addPaymentMethod",
    Operation.DEFAULT: "setDefaultPaymentMethod",
    Operation.DELETE: "deletePaymentMethod",
}
_METHODS: Final = """query ($id: ID!, $provider: Provider!) { customer(id: $id) {
  paymentMethods(filter: {providers: [$provider]}) { id isProviderDefault } } }"""


@dataclass(frozen=True, slots=True)
class Write:
    """One mutation ready to send. `ref` is the customer's ref at the vault."""

    operation: Operation
    provider: ProviderName
    ref: str
    input: dict[str, Any]
    before: "Held"

    def send(self, gateway: RunningGateway) -> str:
        """``done``, the first warning if there is one, or the first error's code."""
        name = _FIELDS[self.operation]
        kind = f"{name[0].upper()}{name[1:]}Input"
        document = f"mutation ($input: {kind}!) {{ {name}(input: $input) {_SELECTION} }}"
        reply = gateway.query(document, {"input": self.input})
        assert not reply.errors, reply.errors
        payload = reply.data[name]
        for problem in (*payload["userErrors"], *payload["warnings"]):
            code: str = problem["code"]
            return code
        assert payload["operation"]["state"] == "SUCCEEDED"
        return "done"

    def effects(self, sandbox: RunningSandbox) -> int:
        """How often the vault applied it."""
        now = Held.of(sandbox, self.provider, self.ref)
        if self.operation is Operation.DEFAULT:
            assert len(now.defaults) == len(self.before.defaults), "one default, before and after"
            return int(now.defaults != self.before.defaults)
        return abs(now.active - self.before.active)


@dataclass(frozen=True, slots=True)
class Held:
    """The vault's data of one customer."""

    active: int
    defaults: tuple[str, ...]

    @classmethod
    def of(cls, sandbox: RunningSandbox, provider: ProviderName, ref: str) -> "Held":
        rows = sandbox.held(provider.value, ref)
        return cls(sum(bool(row["active"]) for row in rows), tuple(row["ref"] for row in rows if row["is_default"]))


def prepared(
    gateway: RunningGateway, sandbox: RunningSandbox, operation: Operation, provider: ProviderName, who: DemoCustomer
) -> Write:
    ref = who.refs[provider.value]
    if operation is Operation.ADD:
        wish = adding(_ADDED[provider](sandbox), who.id)
    else:
        variables = {"id": who.id, "provider": provider.name}
        held = eventually(lambda: gateway.query(_METHODS, variables).data["customer"]["paymentMethods"])
        methods = [one["id"] for one in held if not one["isProviderDefault"]]
        if operation is Operation.DEFAULT:
            wish = {"customerId": who.id, "paymentMethodId": methods[0]}
        else:
            wish = {"id": methods[0]}
    return Write(operation, provider, ref, wish, Held.of(sandbox, provider, ref))
