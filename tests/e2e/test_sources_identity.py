"""Replies about another customer: never shown, reported in `sources`, logged and counted."""

from typing import Any

import pytest

from tests.e2e.test_metrics import scraped
from tests.support.adding import adding, caselle_card, loanpro_card
from tests.support.gateways import PROVIDERS, StartGateway, patient, sources
from tests.support.mutating import ADD, codes, methods, run
from tests.support.sandbox import RunningSandbox

WALLET = """{ customer(id: "cus_alex") {
  paymentMethods { provider isStale } defaultMethodInfo { state reason } sources { provider state methodCount }
} }"""
STRANGER: dict[str, dict[str, Any]] = {
    "LOANPRO": {"/d/results/0/id": 987654},
    "ALOHA": {"/*/CustomerId": "aaaaaaaa-534f-415a-9e28-87be989e461f"},
    "JPMORGAN": {"/consumerProfileId": "EGQSGO"},
    "CASELLE": {"/*/customer_uid": "cus_stranger"},
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_reply_for_another_customer_affects_only_the_vaults_row(
    provider: str, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    sandbox.fault(provider.lower(), "rewrite", method="GET", set=STRANGER[provider])
    customer = gateway.query(WALLET).data["customer"]
    assert sources(customer) == {**dict.fromkeys(PROVIDERS, "OK"), provider: "UNAVAILABLE"}
    assert provider not in {one["provider"] for one in customer["paymentMethods"]}
    assert customer["defaultMethodInfo"]["state"] == "UNKNOWN"
    sandbox.clear_faults()
    assert set(sources(gateway.query(WALLET).data["customer"]).values()) == {"OK"}
    counted = scraped(gateway)["vaultgraph_vault_identity_mismatches_total"]
    assert counted == {(name.lower(),): float(name == provider) for name in PROVIDERS}
    lines = [line for line in gateway.log.splitlines() if "another customer" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"{provider.lower()} answered for another customer")


def test_the_last_valid_reply_is_shown_marked_stale(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    held = len(gateway.query(WALLET).data["customer"]["paymentMethods"])
    sandbox.fault("jpmorgan", "rewrite", method="GET", set=STRANGER["JPMORGAN"])
    customer = gateway.query(WALLET).data["customer"]
    assert sources(customer)["JPMORGAN"] == "STALE"
    assert len(customer["paymentMethods"]) == held
    assert {one["isStale"] for one in customer["paymentMethods"] if one["provider"] == "JPMORGAN"} == {True}


@pytest.mark.parametrize(
    ("provider", "verb", "make", "place"),
    [
        ("LOANPRO", "PUT", loanpro_card, {"/d/id": 987654}),
        ("CASELLE", "POST", caselle_card, {"/customer_uid": "cus_stranger"}),
    ],
)
def test_a_write_answered_for_another_customer_is_looked_up(
    provider: str,
    verb: str,
    make: Any,
    place: dict[str, Any],
    start_gateway: StartGateway,
    sandbox: RunningSandbox,
) -> None:
    """The write was applied: the vault's list for the right customer shows it once."""
    gateway = start_gateway(**patient())
    held = {one["id"] for one in methods(gateway, provider)}
    value = adding(make(sandbox))
    sandbox.fault(provider.lower(), "rewrite", method=verb, set=place)
    done = run(gateway, ADD, value)
    assert codes(done) == []
    now = {one["id"] for one in methods(gateway, provider)}
    assert now - held == {done["paymentMethod"]["id"]}
    again = run(gateway, ADD, value)
    assert again["paymentMethod"]["id"] == done["paymentMethod"]["id"]
    assert {one["id"] for one in methods(gateway, provider)} == now


def test_a_3d_secure_status_of_another_customer_is_unknown(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    asked = """{ customer(id: "cus_alex") { sources { provider state }
      paymentMethods(filter: {providers: [JPMORGAN]}) { ... on Card { authStatus } } } }"""
    before = gateway.query(asked).data["customer"]
    assert "AUTHENTICATED" in {one.get("authStatus") for one in before["paymentMethods"]}
    path = sandbox.calls("jpmorgan")[0]["path"]
    sandbox.fault("jpmorgan", "rewrite", path=f"{path}/payment-methods/", set={"/consumerProfileId": "EGQSGO"})
    after = gateway.query(asked).data["customer"]
    assert "AUTHENTICATED" not in {one.get("authStatus") for one in after["paymentMethods"]}
    assert sources(after)["JPMORGAN"] == "PARTIAL"
