"""`/metrics` after known traffic."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.wallet.reads.customers import CustomerCache
from tests.support.gateway import RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, each_vault
from tests.support.sandbox import RunningSandbox

WALLET = '{ customer(id: "cus_alex") { paymentMethods { id } sources { provider state } } }'


def scraped(gateway: RunningGateway) -> dict[str, dict[tuple[str, ...], float]]:
    """Sample name -> label values in the order of their names -> value."""
    reply = gateway.request("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(reply.raw.decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_counts_follow_the_traffic(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=30, deadline_s=15, retries=0))
    sandbox.fault("caselle", "status", status=500)
    for _ in range(3):
        gateway.query(WALLET)
    gateway.query("{ nonsense")
    seen = scraped(gateway)
    calls = seen["vaultgraph_upstream_calls_total"]
    by_vault = {name: sum(n for (_, _, vault), n in calls.items() if vault == name.lower()) for name in PROVIDERS}
    assert by_vault == {"LOANPRO": 1, "ALOHA": 1, "JPMORGAN": 1, "CASELLE": 3}
    assert {outcome for outcome, _, vault in calls if vault == "caselle"} == {"unavailable"}
    assert {outcome for outcome, _, vault in calls if vault != "caselle"} == {"ok"}
    assert not any("37" in route or "88420" in route for _, route, _ in calls), "routes, not paths"
    assert seen["vaultgraph_requests_total"] == {("staff", "ok", "http"): 3, ("staff", "refused", "http"): 1}
    assert seen["vaultgraph_operations_total"] == {("unnamed", "ok", "query"): 3}
    assert seen["vaultgraph_errors_total"] == {("GRAPHQL_PARSE_FAILED",): 1}
    assert seen["vaultgraph_operation_seconds_count"] == {("unnamed",): 3}
    reads = seen["vaultgraph_snapshot_reads_total"]
    assert (reads[("vault",)], reads[("fresh",)], reads[("none",)], reads[("stale",)]) == (3, 6, 3, 0)
    assert seen["vaultgraph_snapshots"] == {(): 3}
    assert seen["vaultgraph_snapshot_bytes"][()] > 3_000
    assert seen["vaultgraph_upstream_in_flight"] == {(name.lower(),): 0 for name in PROVIDERS}
    assert seen["vaultgraph_upstream_waiting"] == {(name.lower(),): 0 for name in PROVIDERS}
    assert seen["vaultgraph_upstream_seconds_count"][("caselle",)] == 3


def test_the_circuit_and_stale_answers_show(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    breaker = {"minimum_calls": 4, "open_for_s": 60}
    gateway = start_gateway(**each_vault(fresh_for_s=0, deadline_s=15, breaker=breaker))
    gateway.query(WALLET)
    sandbox.fault("aloha", "status", status=500)
    for _ in range(5):
        gateway.query(WALLET)
    seen = scraped(gateway)
    circuit = {
        state: vault for (state, vault), value in seen["vaultgraph_circuit"].items() if value and vault == "aloha"
    }
    assert circuit == {"open": "aloha"}
    assert {vault for (state, vault), value in seen["vaultgraph_circuit"].items() if value and state == "closed"} == {
        "loanpro",
        "jpmorgan",
        "caselle",
    }
    assert seen["vaultgraph_snapshot_reads_total"][("stale",)] == 5
    assert seen["vaultgraph_upstream_calls_total"][("circuit_open", "v1/Customers/{id}/Payments", "aloha")] >= 1
    assert 1 <= seen["vaultgraph_upstream_retries_total"][("aloha",)] <= 2


def test_a_token_protects_the_page(start_gateway: StartGateway) -> None:
    gateway = start_gateway(metrics_token="only-the-scraper-knows")
    assert gateway.request("GET", "/metrics").status == 404
    assert gateway.request("GET", "/metrics", headers={"authorization": "Bearer guess"}).status == 404
    known = {"authorization": "Bearer only-the-scraper-knows"}
    assert gateway.request("GET", "/metrics", headers=known).status == 200
    assert gateway.request("POST", "/metrics", headers=known).status == 405


def test_states_are_shown(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=0))
    gateway.query(WALLET)
    seen = scraped(gateway)
    assert seen["vaultgraph_operations_open"] == {("PENDING",): 0, ("UNKNOWN",): 0}
    assert seen["vaultgraph_webhook_deliveries"] == {("waiting",): 0, ("failed",): 0, ("dead",): 0}
    connections = seen["vaultgraph_upstream_connections"]
    assert {name: connections[("idle", name.lower())] for name in PROVIDERS} == dict.fromkeys(PROVIDERS, 1)
    opened = seen["vaultgraph_store_connections"]
    assert opened.keys() == {(pool, state) for pool in ("read", "write") for state in ("busy", "idle")}
    assert opened["read", "busy"] + opened["read", "idle"] >= 1
    assert seen["vaultgraph_store_waiting"].keys() == {("read",), ("write",)}
    assert {seen[f"vaultgraph_{name}"][()] for name in ("websockets", "subscriptions")} == {0}
    assert {seen[f"vaultgraph_{name}"][()] for name in ("store_up", "workers")} == {1}
    assert seen["process_resident_memory_bytes"][()] > 30_000_000
    assert seen["vaultgraph_build_info"].keys() == {(version("vaultgraph"),)}
    assert "python_gc_collections_total" in seen


def test_an_internal_error_is_no_success(start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=0))

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(CustomerCache, "cached", broken)
    reply = gateway.query("query Broken " + WALLET)
    assert [one["extensions"]["code"] for one in reply.body["errors"]] == ["INTERNAL_SERVER_ERROR"]
    seen = scraped(gateway)
    assert seen["vaultgraph_requests_total"] == {("staff", "failed", "http"): 1}
    assert seen["vaultgraph_errors_total"] == {("INTERNAL_SERVER_ERROR",): 1}


def test_frequent_names_have_their_own_series(start_gateway: StartGateway) -> None:
    gateway = start_gateway()
    for name in [*["Often"] * 12, "Rare"]:
        gateway.query(f"query {name} {{ __typename }}")
    assert scraped(gateway)["vaultgraph_operations_total"] == {
        ("Often", "ok", "query"): 3,
        ("other", "ok", "query"): 10,
    }


PAGE = Path(__file__).parents[2] / "docs" / "operations" / "metrics.md"


def test_the_page_names_every_metric_and_no_other(demo_gateway: RunningGateway) -> None:
    named = {
        name.removesuffix("_total") for name in re.findall(r"^\| `([a-z_]+)`", PAGE.read_text("utf-8"), re.MULTILINE)
    }
    families = {family.name for family in demo_gateway.gateway.metrics.registry.collect()}
    libraries = {name for name in families if not name.startswith("vaultgraph_")}
    assert named == (families - libraries) | {"vaultgraph_redis_up", "vaultgraph_store_notifications_connected"}
