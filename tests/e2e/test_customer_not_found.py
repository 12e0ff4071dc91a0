"""A vault that no longer knows a linked customer: reported as a result, once as an event, and by `vaultgraph check
--links`.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from app.store.records import DeliveryState
from tests.e2e.test_import_command import vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, patient, sources, upstream
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually
from tests.support.webhooks import notification, notify, public_keys

WALLET = """{ customer(id: "cus_alex") {
  paymentMethods { provider isDefault } defaultMethodInfo { state } isComplete
  sources { provider state methodCount isStale fetchedAt message }
} }"""
EVENTS = """{ customer(id: "cus_alex") { events(first: 50) { edges { node { type provider } } } } }"""
UNKNOWN: dict[str, dict[str, Any]] = {
    "LOANPRO": {"remove": ["/d/results/0"], "set": {"/d/summary/total": 0}},
    "ALOHA": {"status": 404, "body": {"Message": "NotFound"}},
    "JPMORGAN": {"status": 404, "body": {"responseStatus": "ERROR", "responseCode": "PROFILE_NOT_FOUND"}},
    "CASELLE": {"status": 404, "body": {"status": 404, "code": "customer_not_found"}},
}


def link_events(gateway: RunningGateway, provider: str) -> int:
    edges = gateway.query(EVENTS).data["customer"]["events"]["edges"]
    return sum(one["node"] == {"type": "LINK_CHANGED", "provider": provider} for one in edges)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_unknown_customer_is_a_result(provider: str, start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    before = gateway.query(WALLET).data["customer"]
    events = link_events(gateway, provider)
    sandbox.fault(provider.lower(), "rewrite", method="GET", **UNKNOWN[provider])
    for _ in range(3):
        customer = gateway.query(WALLET).data["customer"]
        assert sources(customer) == {**dict.fromkeys(PROVIDERS, "OK"), provider: "CUSTOMER_NOT_FOUND"}
        row = next(one for one in customer["sources"] if one["provider"] == provider)
        assert (row["methodCount"], row["isStale"]) == (0, False), "the last answer does not stand in"
        assert row["fetchedAt"]
        assert row["message"] == "The vault does not know this customer."
        assert customer["isComplete"] is True
        assert customer["defaultMethodInfo"]["state"] != "UNKNOWN"
        held = Counter(one["provider"] for one in customer["paymentMethods"])
        assert held == Counter(one["provider"] for one in before["paymentMethods"] if one["provider"] != provider)
    eventually(lambda: link_events(gateway, provider) == events + 1, "LINK_CHANGED")
    gateway.query(WALLET)
    assert link_events(gateway, provider) == events + 1
    sandbox.clear_faults()
    assert set(sources(gateway.query(WALLET).data["customer"]).values()) == {"OK"}
    eventually(lambda: link_events(gateway, provider) == events + 2, "LINK_CHANGED")


def test_a_customer_unknown_to_all_vaults_has_no_methods(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    for provider in PROVIDERS:
        sandbox.fault(provider.lower(), "rewrite", method="GET", **UNKNOWN[provider])
    reply = gateway.query(WALLET)
    assert reply.errors == []
    assert reply.data["customer"]["paymentMethods"] == []
    assert reply.data["customer"]["defaultMethodInfo"]["state"] == "NONE"


def test_unknown_customers_do_not_open_the_circuit(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    vault = {"fresh_for_s": 0, "deadline_s": 15, "breaker": {"minimum_calls": 2, "open_for_s": 60}}
    gateway = start_gateway(**{**patient(), "jpmorgan": vault})
    sandbox.fault("jpmorgan", "rewrite", method="GET", **UNKNOWN["JPMORGAN"])
    for _ in range(6):
        assert sources(gateway.query(WALLET).data["customer"])["JPMORGAN"] == "CUSTOMER_NOT_FOUND"
    assert upstream(sandbox)["JPMORGAN"] == 6


def test_a_notification_of_an_unknown_customer_is_processed(
    start_gateway: StartGateway, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    key = generate_private_key(SECP256R1())
    gateway = start_gateway(jpmorgan={"webhook_jwks_path": public_keys(tmp_path, key)})
    links = gateway.data('{ customer(id: "cus_alex") { links { provider customerRef } } }')["customer"]["links"]
    profile = next(one["customerRef"] for one in links if one["provider"] == "JPMORGAN")
    events = link_events(gateway, "JPMORGAN")
    sandbox.fault("jpmorgan", "rewrite", method="GET", **UNKNOWN["JPMORGAN"])
    assert notify(gateway, key, "jpmorgan", notification(profile.lower(), "n-1")) == 200

    def done() -> bool:
        found = gateway.on_loop(gateway.gateway.store.deliveries.all())
        return [one.state for one in found] == [DeliveryState.DONE]

    eventually(done, "the notification worked off")
    assert link_events(gateway, "JPMORGAN") == events + 1


def test_check_links_finds_them(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    folder = start_gateway().data_dir

    def check(*more: str) -> Any:
        return vaultgraph("check", "--links", "--calls-per-s", "500", *more, data_dir=folder, sandbox=sandbox)

    well = check()
    assert (well.returncode, well.stderr.count("\n")) == (0, 1)
    assert well.stdout.splitlines()[-1].endswith(" links checked, 0 broken")
    sandbox.fault("jpmorgan", "rewrite", method="GET", **UNKNOWN["JPMORGAN"], times=1)
    sandbox.fault("caselle", "status", status=503)
    broken = check()
    assert broken.returncode == 1
    lines = broken.stdout.splitlines()
    assert sum("CUSTOMER_NOT_FOUND" in line for line in lines) == 1
    assert any(line.startswith("caselle") and "links not checked" in line for line in lines)
    assert lines[-1].endswith(" 1 broken")
    sandbox.fault("jpmorgan", "rewrite", method="GET", **UNKNOWN["JPMORGAN"], times=1)
    shown = json.loads(check("--json").stdout)
    assert [(one["provider"], one["code"]) for one in shown["broken"]] == [("jpmorgan", "CUSTOMER_NOT_FOUND")]
    assert list(shown["not_checked"]) == ["caselle"]
    sandbox.clear_faults()
