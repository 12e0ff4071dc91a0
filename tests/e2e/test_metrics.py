"""`/metrics` after known traffic."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

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
    gateway = start_gateway(**each_vault(fresh_for_s=30, deadline_s=1, retries=0))
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
    assert seen["vaultgraph_requests_total"] == {("ok",): 3, ("refused",): 1}
    reads = seen["vaultgraph_snapshot_reads_total"]
    assert (reads[("vault",)], reads[("fresh",)], reads[("none",)], reads[("stale",)]) == (3, 6, 3, 0)
    assert seen["vaultgraph_snapshots"] == {(): 3}
    assert seen["vaultgraph_snapshot_bytes"][()] > 3_000
    assert seen["vaultgraph_upstream_in_flight"] == {(name.lower(),): 0 for name in PROVIDERS}
    assert seen["vaultgraph_upstream_waiting"] == {(name.lower(),): 0 for name in PROVIDERS}
    assert seen["vaultgraph_upstream_seconds_count"][("caselle",)] == 3


def test_the_circuit_and_stale_answers_show(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    breaker = {"minimum_calls": 4, "open_for_s": 60}
    gateway = start_gateway(**each_vault(fresh_for_s=0, deadline_s=1, breaker=breaker))
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


def test_the_page_names_every_metric_and_no_other(demo_gateway: RunningGateway) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text("utf-8")
    table = page.split("## Metrics")[1].split("## ")[0]
    named = {name.removesuffix("_total") for name in re.findall(r"`(vaultgraph_[a-z_]+)`", table)}
    families = {family.name for family in demo_gateway.gateway.metrics.registry.collect()}
    assert named == families
