"""Adding a method does not change the default, however and wherever it is added."""

from typing import Any
from uuid import uuid4

import pytest

from app.vault.enums import ProviderName
from tests.support.adding import adding, caselle_card, loanpro_card, network_token, new_key
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.mutating import ADD, CREATE, DELETE, LINK, SET_DEFAULT, codes, run
from tests.support.sandbox import RunningSandbox
from tests.support.streams import listening, until_joined
from tests.support.waiting import eventually

ASKED = """query ($id: ID!) { customer(id: $id) { id
  defaultMethod { id } defaultMethodInfo { state reason setBy } paymentMethods { id provider isDefault }
  events(first: 50) { edges { node { type origin actor paymentMethodId } } } } }"""
IMPORT = """mutation ($input: ImportPaymentMethodsInput!) { importPaymentMethods(input: $input) {
  operation { state } userErrors { code } } }"""
ONLY = ("RESOLVED", "ONLY_USABLE_METHOD")
KEPT = ("RESOLVED", "KEPT")


def customer_of(gateway: RunningGateway, customer_id: str) -> Any:
    return gateway.data(ASKED, id=customer_id)["customer"]


def state(customer: Any) -> tuple[str, str | None]:
    return customer["defaultMethodInfo"]["state"], customer["defaultMethodInfo"]["reason"]


def changes(customer: Any) -> list[Any]:
    nodes = [edge["node"] for edge in customer["events"]["edges"]]
    return [node for node in nodes if node["type"] == "DEFAULT_CHANGED"]


def new_customer(gateway: RunningGateway, *vaults: str) -> str:
    value = {
        "idempotencyKey": new_key(),
        "externalId": f"kept-{uuid4().hex[:12]}",
        "name": {"first": "Kit", "last": "Moss"},
        "email": f"{uuid4().hex[:8]}@example.com",
        "phone": "+12025550143",
        "provisionAt": list(vaults),
        "address": {"line1": "1 Main St", "city": "Provo", "region": "UT", "postalCode": "84601", "country": "US"},
    }
    made = run(gateway, CREATE, value)
    assert codes(made) == []
    found: str = made["customer"]["id"]
    return found


def add(gateway: RunningGateway, method: Any, customer_id: str, **more: Any) -> str:
    done = run(gateway, ADD, adding(method, customer_id, **more))
    assert codes(done) == []
    found: str = done["paymentMethod"]["id"]
    return found


@pytest.mark.parametrize("second", ["CASELLE", "LOANPRO", "JPMORGAN, made with it"])
def test_adding_a_second_card_keeps_the_default(
    second: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    kit = new_customer(gateway, "CASELLE", *(["LOANPRO"] if second == "LOANPRO" else []))
    first = add(gateway, caselle_card(sandbox), kit)
    before = customer_of(gateway, kit)
    assert (state(before), before["defaultMethod"]["id"], changes(before)) == (ONLY, first, [])
    method = {"C": caselle_card, "L": loanpro_card, "J": network_token}[second[0]](sandbox)
    more: dict[str, Any] = {"provision": True} if second.endswith("with it") else {}
    added = add(gateway, method, kit, **more)
    after = customer_of(gateway, kit)
    assert (state(after), after["defaultMethod"]["id"]) == (KEPT, first)
    assert [one["id"] for one in after["paymentMethods"] if one["isDefault"]] == [first]
    ((event),) = changes(after)
    assert (event["origin"], event["paymentMethodId"]) == ("GATEWAY", first)
    assert event["actor"] == after["defaultMethodInfo"]["setBy"] is not None
    add(gateway, caselle_card(sandbox), kit)
    assert len(changes(customer_of(gateway, kit))) == 1, "it was kept already"
    assert codes(run(gateway, SET_DEFAULT, {"customerId": kit, "paymentMethodId": added})) == []
    chosen = customer_of(gateway, kit)
    assert (state(chosen), chosen["defaultMethod"]["id"]) == (("RESOLVED", "EXPLICIT_CHOICE"), added)
    add(gateway, caselle_card(sandbox), kit)
    assert state(customer_of(gateway, kit)) == ("RESOLVED", "EXPLICIT_CHOICE")


def test_an_add_with_make_default_becomes_the_default(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    kit = new_customer(gateway, "CASELLE")
    add(gateway, caselle_card(sandbox), kit)
    second = add(gateway, caselle_card(sandbox), kit, makeDefault=True)
    after = customer_of(gateway, kit)
    assert (state(after), after["defaultMethod"]["id"]) == (("RESOLVED", "EXPLICIT_CHOICE"), second)
    assert [event["paymentMethodId"] for event in changes(after)] == [second]


def test_a_default_unaffected_by_the_add_is_not_stored(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    """A vault's default remains it by the same rule, and follows the vault."""
    gateway = start_gateway(**patient())
    before = customer_of(gateway, "cus_alex")
    add(gateway, caselle_card(sandbox), "cus_alex")
    after = customer_of(gateway, "cus_alex")
    assert (state(after), after["defaultMethod"]) == (state(before), before["defaultMethod"])
    assert (changes(after), after["defaultMethodInfo"]["setBy"]) == ([], None)


def test_a_default_that_was_unknown_is_not_stored(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    kit = new_customer(gateway, "CASELLE", "LOANPRO")
    add(gateway, caselle_card(sandbox), kit)
    sandbox.fault("loanpro", "status", status=503)
    add(gateway, caselle_card(sandbox), kit)
    sandbox.clear_faults()
    after = customer_of(gateway, kit)
    assert (state(after), changes(after)) == (("NONE", None), [])


def test_when_the_kept_card_is_deleted_the_rules_decide_again(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    kit = new_customer(gateway, "CASELLE")
    first, second = add(gateway, caselle_card(sandbox), kit), add(gateway, caselle_card(sandbox), kit)
    assert state(customer_of(gateway, kit)) == KEPT
    assert codes(run(gateway, DELETE, {"id": first})) == []
    after = customer_of(gateway, kit)
    assert (state(after), after["defaultMethod"]["id"], len(changes(after))) == (ONLY, second, 2)


def ref_of(gateway: RunningGateway, customer_id: str) -> str:
    """Caselle's ref of the customer."""
    entry = gateway.on_loop(gateway.gateway.store.directory.entry(customer_id))
    return str(entry.link(ProviderName.CASELLE).customer_ref)


def link(gateway: RunningGateway, customer_id: str, provider: str, ref: str) -> None:
    value = {"customerId": customer_id, "provider": provider, "customerRef": ref, "idempotencyKey": new_key()}
    assert codes(run(gateway, LINK, value)) == []


def test_linking_a_vault_keeps_the_default(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    kit = new_customer(gateway)
    link(gateway, kit, "CASELLE", "cus_free01")
    before = customer_of(gateway, kit)
    assert (state(before), len(before["paymentMethods"]), changes(before)) == (ONLY, 1, [])
    link(gateway, kit, "JPMORGAN", "FREE01")
    after = customer_of(gateway, kit)
    assert len(after["paymentMethods"]) > 1
    assert (state(after), after["defaultMethod"], len(changes(after))) == (KEPT, before["defaultMethod"], 1)


def test_importing_cards_and_links_keeps_the_default(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    kit = new_customer(gateway, "CASELLE")
    first = add(gateway, caselle_card(sandbox), kit)
    external_id = gateway.data("query ($id: ID!) { customer(id: $id) { externalId } }", id=kit)["customer"][
        "externalId"
    ]

    def imported(*rows: Any) -> Any:
        value = {
            "idempotencyKey": new_key(),
            "dryRun": False,
            "rows": [{"externalId": external_id, **row} for row in rows],
        }
        payload = gateway.data(IMPORT, input=value)["importPaymentMethods"]
        assert (payload["userErrors"], payload["operation"]["state"]) == ([], "SUCCEEDED")
        return customer_of(gateway, kit)

    place = {"provider": "CASELLE", "customerRef": ref_of(gateway, kit)}
    before = imported(place)
    assert (state(before), changes(before)) == (ONLY, [])
    card = {"last4": "1111", "expiry": "2031-05", "brand": "VISA", "holderName": "Kit Moss"}
    after = imported({**place, "caselleProcessorToken": "zift-tok-kept-000001", "card": card})
    assert (state(after), after["defaultMethod"], len(changes(after))) == (KEPT, {"id": first}, 1)
    linked = imported({"provider": "JPMORGAN", "customerRef": "FREE01"})
    assert (state(linked), len(changes(linked))) == (KEPT, 1)


def test_a_card_added_elsewhere_keeps_the_default(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    """For example on the vault's page; here by another installation linked to the same vault customer."""
    silent = {**patient(), "watch": {"every_s": 3_600, "calls_per_s": 1_000}}
    silent["caselle"]["webhook_secret"] = ""
    gateway, elsewhere = start_gateway(**silent), start_gateway(**patient())
    kit, theirs = new_customer(gateway, "CASELLE"), new_customer(elsewhere)
    link(elsewhere, theirs, "CASELLE", ref_of(gateway, kit))
    add(gateway, caselle_card(sandbox), kit)
    before = customer_of(gateway, kit)
    assert state(before) == ONLY
    seen = gateway.gateway.store.observed_methods
    eventually(lambda: gateway.on_loop(seen.of_customer(kit)), "the list after the write")
    with listening(gateway, customer=kit):
        until_joined(gateway)
        add(elsewhere, caselle_card(sandbox), theirs)

        def is_kept() -> bool:
            gateway.on_loop(gateway.gateway.poller.round())  # the first rounds are too soon after the gateway's write
            return state(customer_of(gateway, kit)) == KEPT

        eventually(is_kept)
    after = customer_of(gateway, kit)
    assert after["defaultMethod"] == before["defaultMethod"]
    ((event),) = changes(after)
    assert (event["origin"], event["actor"]) == ("RECONCILIATION", None)
