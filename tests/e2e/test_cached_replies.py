"""Cached replies over HTTP: their reported age, the calls saved, and memory use."""

from typing import Any

from tests.support.gateway import RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, each_vault, sources, upstream
from tests.support.sandbox import RunningSandbox

WALLET = """query ($id: ID!) { customer(id: $id) {
  paymentMethods { provider asOf isStale } sources { provider state isStale fetchedAt latencyMs } } }"""


def asked(gateway: RunningGateway, customer: str = "cus_alex") -> Any:
    return gateway.data(WALLET, id=customer)["customer"]


def result(customer: Any) -> dict[str, tuple[str, bool]]:
    return {row["provider"]: (row["fetchedAt"], row["isStale"]) for row in customer["sources"]}


def shown(customer: Any) -> dict[str, set[tuple[str, bool]]]:
    found: dict[str, set[tuple[str, bool]]] = {}
    for method in customer["paymentMethods"]:
        found.setdefault(method["provider"], set()).add((method["asOf"], method["isStale"]))
    return found


def test_a_fresh_cached_reply_needs_no_call_and_reports_its_age(
    start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=60))
    first = asked(gateway)
    sandbox.clear_calls()
    again = asked(gateway)
    assert upstream(sandbox) == {}
    assert result(again) == result(first)
    assert shown(again) == shown(first) == {name: {said} for name, said in result(first).items()}
    assert {row["latencyMs"] for row in again["sources"]} == {None}


def test_a_stale_reply_keeps_its_age(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=0, deadline_s=2, retries=0))
    first = asked(gateway)
    sandbox.fault("jpmorgan", "status", status=500)
    later = asked(gateway)
    assert sources(later) == {**dict.fromkeys(PROVIDERS, "OK"), "JPMORGAN": "STALE"}
    assert result(later)["JPMORGAN"] == (result(first)["JPMORGAN"][0], True)
    assert shown(later)["JPMORGAN"] == {(result(first)["JPMORGAN"][0], True)}
    for name in set(PROVIDERS) - {"JPMORGAN"}:
        assert result(later)[name][0] > result(first)[name][0], "read again"
        assert shown(later)[name] == {(result(later)[name][0], False)}


def test_no_stale_reply_is_shown_if_disabled(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    settings = each_vault(fresh_for_s=0, stale_if_error_for_s=0, deadline_s=2, retries=0)
    gateway = start_gateway(**settings)
    asked(gateway)
    sandbox.fault("jpmorgan", "status", status=500)
    later = asked(gateway)
    assert sources(later)["JPMORGAN"] == "UNAVAILABLE"
    assert "JPMORGAN" not in shown(later)


def test_cache_memory_is_bounded(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=60), snapshot_bytes=40_000)
    for number in range(1, 31):
        asked(gateway, f"cus_load-{number:04d}")
        assert gateway.gateway.snapshots.bytes <= 40_000
    kept = len(gateway.gateway.snapshots)
    assert 4 <= kept < 4 * 30
    sandbox.clear_calls()
    asked(gateway, "cus_load-0030")
    assert upstream(sandbox) == {}, "the last one is kept"
    asked(gateway, "cus_load-0001")
    assert upstream(sandbox) == dict.fromkeys(PROVIDERS, 1), "the first one went first"
