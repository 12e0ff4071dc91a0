"""Lost replies over HTTP: the client's result, later reads, and resumption after a restart."""

import time
from pathlib import Path
from typing import Any

from tests.support.adding import adding, caselle_card
from tests.support.gateway import RunningGateway
from tests.support.gateways import each_vault
from tests.support.mutating import ADD, SET_DEFAULT, codes, methods, run
from tests.support.sandbox import RunningSandbox

OPERATION = """query ($id: ID!) { operation(id: $id) { state finishedAt results { edges { node {
  provider state outcome paymentMethod { id } error { code } } } } } }"""
SETTINGS = each_vault(write_deadline_s=2.0, breaker={"minimum_calls": 10_000})
METHODS_PATH = "/api/customers/cus_88420/payment-methods"


def operation(gateway: RunningGateway, operation_id: str) -> Any:
    return gateway.data(OPERATION, id=operation_id)["operation"]


def test_a_restart_reconciles_unknown_writes(sandbox: RunningSandbox, tmp_path: Path) -> None:
    with RunningGateway(sandbox.url, tmp_path, **SETTINGS) as gateway:
        held = {one["id"] for one in methods(gateway, "CASELLE")}
        # Silent until the request times out, then applied, with no client waiting.
        sandbox.fault("caselle", "delay", method="POST", path=METHODS_PATH, delay_ms=2200, times=1)
        value = adding(caselle_card(sandbox), makeDefault=True)
        lost = run(gateway, ADD, value)
        assert (codes(lost), lost["operation"]["state"]) == (["OUTCOME_UNKNOWN"], "UNKNOWN")
        operation_id = lost["operation"]["id"]
    sandbox.clear_faults()
    with RunningGateway(sandbox.url, tmp_path, **SETTINGS) as gateway:
        give_up_at = time.monotonic() + 60
        undecided = ("UNKNOWN", "PENDING")
        while (found := operation(gateway, operation_id))["state"] in undecided and time.monotonic() < give_up_at:
            time.sleep(0.05)
        assert found["state"] == "SUCCEEDED"
        (row,) = [edge["node"] for edge in found["results"]["edges"]]
        assert (row["outcome"], row["error"], row["paymentMethod"]["id"] in held) == ("APPLIED", None, False)
        again = run(gateway, ADD, value)
        assert (codes(again), again["operation"]["replayed"]) == ([], True)
        assert again["paymentMethod"]["id"] == row["paymentMethod"]["id"]
        assert again["paymentMethod"]["isDefault"] is True
        assert {one["id"] for one in methods(gateway, "CASELLE")} - held == {row["paymentMethod"]["id"]}


def test_reads_after_a_lost_reply_show_the_vaults_data(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """The snapshot that the write made stale is not shown, although the write's reply was lost."""
    with RunningGateway(sandbox.url, tmp_path, **SETTINGS) as gateway:
        before = methods(gateway, "CASELLE")
        target = next(one for one in before if not one["isProviderDefault"])
        sandbox.fault("caselle", "drop_after", method="PUT", times=1)
        value = {"customerId": "cus_alex", "paymentMethodId": target["id"]}
        done = run(gateway, SET_DEFAULT, value)
        assert codes(done) == []
        now = {one["id"]: one["isProviderDefault"] for one in methods(gateway, "CASELLE")}
        assert [each for each, is_default in now.items() if is_default] == [target["id"]]


def test_a_lost_reply_is_a_provider_error_with_an_outcome(sandbox: RunningSandbox, tmp_path: Path) -> None:
    with RunningGateway(sandbox.url, tmp_path, **SETTINGS) as gateway:
        sandbox.fault("caselle", "drop_before", method="POST", path=METHODS_PATH, times=1)
        value = adding(caselle_card(sandbox))
        lost = run(gateway, ADD, value)
        (error,) = lost["userErrors"]
        assert error["__typename"] == "ProviderError"
        assert (error["provider"], error["outcome"], error["retryable"]) in (
            ("CASELLE", "NOT_APPLIED", True),
            ("CASELLE", "UNKNOWN", True),
        )
        assert lost["paymentMethod"] is None
        for _ in range(20):
            again = run(gateway, ADD, value)
            if not again["userErrors"]:
                break
        assert (codes(again), again["operation"]["id"]) == ([], lost["operation"]["id"])
