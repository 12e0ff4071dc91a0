"""Exporting a customer: complete, without numbers and tokens, and honest about vaults that did not answer."""

import json
from pathlib import Path
from typing import Any

from app.store.records import EventType
from tests.support.adding import new_key
from tests.support.command import vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault
from tests.support.mutating import MERGE, SET_DEFAULT, UPDATE, codes, methods, run
from tests.support.sandbox import RunningSandbox

EXPORT = """mutation ($input: ExportCustomerInput!) { exportCustomer(input: $input) { operation { id }
  userErrors { code path } export { customerId format isComplete missing sources { provider state } document } } }"""
ALL = {"ALOHA", "CASELLE", "JPMORGAN", "LOANPRO"}


def export(gateway: RunningGateway, customer: str = "cus_alex") -> Any:
    return run(gateway, EXPORT, {"customerId": customer})


def test_an_export_is_complete_or_says_what_is_missing(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=60))
    store = gateway.gateway.store
    card = methods(gateway, "LOANPRO")[-1]["id"]
    run(gateway, UPDATE, {"id": card, "nickname": "Blue"})
    run(gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": card})
    kim = {"fromId": "cus_kim", "intoId": "cus_alex", "idempotencyKey": new_key()}
    assert codes(run(gateway, MERGE, kim)) == []
    sandbox.clear_calls()
    done = export(gateway)
    assert (done["userErrors"], done["operation"]) == ([], None)
    made = done["export"]
    assert (made["customerId"], made["isComplete"], made["missing"]) == ("cus_alex", True, [])
    assert {one["provider"]: one["state"] for one in made["sources"]} == dict.fromkeys(ALL, "OK")
    document = made["document"]
    assert document["customer"]["externalId"] == "user-88420"
    assert [one["externalId"] for one in document["formerCustomers"]] == ["user-88422"]
    assert {one["provider"] for one in document["links"]} == ALL
    assert all(one["customerRef"] for one in document["links"])
    assert (document["chosenDefault"]["paymentMethodId"], document["chosenDefault"]["isExplicit"]) == (card, True)
    assert [one["nickname"] for one in document["names"] if one["paymentMethodId"] == card] == ["Blue"]
    assert {"updatePaymentMethod", "setDefaultPaymentMethod", "mergeCustomers"} <= {
        one["mutation"] for one in document["writes"]
    }
    assert {"DEFAULT_CHANGED", "MUTATION"} <= {one["type"] for one in document["events"]}
    held = {one["id"] for vault in document["vaults"] for one in vault["paymentMethods"]}
    assert {one["id"] for one in methods(gateway)} <= held
    assert any((vault["profile"] or {}).get("emails") for vault in document["vaults"])
    words = json.dumps(document)
    for secret in ("cardToken", "4111111111111111", '"bin"', "methodRef", "staff:", "clientToken"):
        assert secret not in words
    gateway.on_loop(gateway.gateway.audit.flush())
    audit = gateway.on_loop(store.events.after(None, types=[EventType.MUTATION], limit=1_000))
    entries = [one for one in audit if one.detail["mutation"] == "exportCustomer"]
    assert [(one.customer_id, one.outcome) for one in entries] == [("cus_alex", "DONE")]

    sandbox.fault("caselle", "status", status=503)
    sandbox.fault("aloha", "rewrite", method="GET", body={"unexpected": True})
    partly = export(gateway)["export"]
    assert (partly["isComplete"], partly["missing"]) == (False, ["ALOHA", "CASELLE"])
    vaults = {one["provider"]: one for one in partly["document"]["vaults"]}
    assert (vaults["ALOHA"]["isComplete"], vaults["CASELLE"]["isComplete"]) == (False, False)
    assert vaults["CASELLE"]["state"] in ("STALE", "UNAVAILABLE")
    assert vaults["LOANPRO"]["paymentMethods"]
    sandbox.clear_faults()

    assert codes(export(gateway, "cus_nobody")) == ["NOT_FOUND"]
    former = gateway.query(EXPORT, {"input": {"customerId": "cus_kim"}})
    assert (former.data["exportCustomer"], former.codes) == (None, ["CUSTOMER_MERGED"])


def test_without_the_scope_for_vault_keys_there_are_none(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=60))
    gateway.headers = {"authorization": f"Bearer {gateway.token(['customers:export'])}"}
    document = export(gateway)["export"]["document"]
    assert all("customerRef" not in one for one in document["links"])
    gateway.headers = {"authorization": f"Bearer {gateway.token(['customers:read'])}"}
    reply = gateway.query(EXPORT, {"input": {"customerId": "cus_alex"}})
    assert (reply.data["exportCustomer"], reply.codes) == (None, ["FORBIDDEN"])


def test_the_command_writes_a_file(start_gateway: StartGateway, sandbox: RunningSandbox, tmp_path: Path) -> None:
    gateway = start_gateway()
    words = ["customers", "export", "--data-dir", gateway.data_dir, "--sandbox-url", sandbox.url]
    done = vaultgraph(*words, "user-88420", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "customer-cus_alex.json"
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(file.read_text())["isComplete"] is True
    again = vaultgraph(*words, "cus_alex", cwd=tmp_path)
    assert again.returncode == 1
    sandbox.fault("caselle", "status", status=503)
    partly = vaultgraph(*words, "cus_alex", "--out", "partly.json", cwd=tmp_path)
    assert (partly.returncode, "caselle (UNAVAILABLE)" in partly.stderr) == (4, True), partly.stderr
    assert json.loads((tmp_path / "partly.json").read_text())["missing"] == ["CASELLE"]
    events = gateway.on_loop(gateway.gateway.store.events.after(None, types=[EventType.OPERATOR_COMMAND]))
    assert {(one.customer_id, one.detail["command"]) for one in events} == {("cus_alex", "customers export")}
