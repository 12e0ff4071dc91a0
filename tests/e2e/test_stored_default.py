"""A stored default survives bad lists on every replica, and is cleared with an event once it is proven gone."""

from typing import Any

import pytest

from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.mutating import SET_DEFAULT, codes, methods, run
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

DEFAULT = """{ customer(id: "cus_alex") { defaultMethod { id } defaultMethodInfo { state reason setBy }
  paymentMethods { id isDefault } sources { provider state methodCount }
  events(first: 20) { edges { node { type origin paymentMethodId } } } } }"""
LIST = "/api/customers/cus_88420/payment-methods"
CHOSEN = ("RESOLVED", "EXPLICIT_CHOICE")
BY_RULE = ("RESOLVED", "PROVIDER_PRECEDENCE")


def asked(gateway: RunningGateway) -> Any:
    return gateway.data(DEFAULT)["customer"]


def state(customer: Any) -> tuple[str, str | None]:
    return customer["defaultMethodInfo"]["state"], customer["defaultMethodInfo"]["reason"]


def changes(customer: Any) -> list[dict[str, str]]:
    nodes = [edge["node"] for edge in customer["events"]["edges"]]
    return [node for node in nodes if node["type"] == "DEFAULT_CHANGED"]


def choose_caselles(gateway: RunningGateway) -> str:
    method: str = methods(gateway, "CASELLE")[0]["id"]
    assert codes(run(gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": method})) == []
    return method


def list_nothing(sandbox: RunningSandbox, body: Any = ()) -> None:
    """Caselle returns its list of methods with 200 and no methods."""
    sandbox.fault("caselle", "rewrite", method="GET", path=LIST, body=list(body))


def test_one_empty_list_changes_no_default(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    chosen = choose_caselles(gateway)
    list_nothing(sandbox)
    for _ in range(2):  # in quick succession, within the required five minutes
        alex = asked(gateway)
        assert (state(alex), alex["defaultMethod"]) == (("NONE", None), None)
        assert alex["defaultMethodInfo"]["setBy"] is not None
        assert [one["id"] for one in alex["paymentMethods"] if one["isDefault"]] == [], "nothing takes its place"
        (row,) = [row for row in alex["sources"] if row["provider"] == "CASELLE"]
        assert (row["state"], row["methodCount"]) == ("OK", 0)
    sandbox.clear_faults()
    alex = asked(gateway)
    assert (state(alex), alex["defaultMethod"]["id"]) == (CHOSEN, chosen)
    assert len(changes(alex)) == 1, "the one of choosing it"
    entry = gateway.on_loop(gateway.gateway.store.directory.entry("cus_alex"))
    assert entry.choice.missing_since is None


def test_two_empty_lists_clear_it_with_an_event_and_the_rules_decide(
    store_url: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    """On PostgreSQL, two replicas read the two lists, and the marker is in the shared store."""
    settings: dict[str, Any] = {**patient(), "default": {"clear_after_s": 0}, "store": {"url": store_url}}
    gateway = start_gateway(**settings)
    replica = start_gateway(**settings) if store_url.startswith("postgresql") else gateway
    chosen = choose_caselles(gateway)
    eventually(lambda: state(asked(replica)) == CHOSEN)
    list_nothing(sandbox)
    first = asked(gateway)
    assert (state(first), len(changes(first))) == (("NONE", None), 1)
    eventually(lambda: state(asked(replica)) == BY_RULE)
    eventually(lambda: state(asked(gateway)) == BY_RULE)
    newest, _ = changes(asked(gateway))
    assert newest == {"type": "DEFAULT_CHANGED", "origin": "RECONCILIATION", "paymentMethodId": chosen}
    sandbox.clear_faults()
    assert state(asked(replica)) == BY_RULE, "it is forgotten"


def test_a_list_between_them_that_has_it_starts_anew(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient(), default={"clear_after_s": 0})
    choose_caselles(gateway)
    for _ in range(3):
        list_nothing(sandbox)
        assert state(asked(gateway)) == ("NONE", None)
        sandbox.clear_faults()
        assert state(asked(gateway)) == CHOSEN


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 503}, {"kind": "garbage"}, {"kind": "truncate"}])
def test_an_unavailable_vault_clears_nothing(
    fault: dict[str, Any], start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient(), default={"clear_after_s": 0})
    choose_caselles(gateway)
    sandbox.fault("caselle", path=LIST, **fault)
    for _ in range(3):
        assert state(asked(gateway))[0] in ("UNKNOWN", "RESOLVED")
    sandbox.clear_faults()
    assert state(asked(gateway)) == CHOSEN


def test_a_notification_and_a_list_without_it_clear_it(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    secret = sandbox.credentials("caselle")["webhook_secret"]
    settings = patient()
    settings["caselle"]["webhook_secret"] = secret
    gateway = start_gateway(**settings)
    method = next(one for one in methods(gateway, "CASELLE") if one["kind"] == "CARD")["id"]
    address = gateway.gateway.ids.decode(method)
    assert address is not None
    store = gateway.gateway.store
    eventually(
        lambda: gateway.on_loop(store.observed_methods.owners(address.provider, [address.method_ref])), "its owner"
    )
    # In the store, because a list read soon after a mutation is not compared.
    gateway.on_loop(store.directory.set_choice("cus_alex", address, set_by="staff:ann"))
    eventually(lambda: state(asked(gateway)) == CHOSEN)
    sandbox.control("POST", "/webhooks", {"provider": "caselle", "url": f"{gateway.url}/webhooks/caselle/pa_7Qm2"})
    try:
        list_nothing(sandbox)
        asked_for = {"provider": "caselle", "saved_payment_method_ids": [address.method_ref], "exp_year": 2035}
        sandbox.control("POST", "/noc", asked_for)
        eventually(lambda: changes(asked(gateway)), "the event")
    finally:
        sandbox.control("POST", "/webhooks", {"provider": "caselle"})
    (newest,) = changes(asked(gateway))
    assert (newest["origin"], newest["paymentMethodId"]) == ("PROVIDER_WEBHOOK", method)
    assert state(asked(gateway)) == BY_RULE
