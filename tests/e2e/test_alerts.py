"""deploy/prometheus and deploy/grafana: expressions parse, and use only metrics and labels that /metrics has."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from tests.support.gateway import RunningGateway

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "vaultgraph.rules.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "vaultgraph.json"
PAGE = ROOT / "docs" / "operations" / "metrics.md"
OF_TARGETS = {"job", "instance"}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
ELSEWHERE = {
    "up": OF_TARGETS,
    "vaultgraph_redis_up": OF_TARGETS,
    "vaultgraph_store_notifications_connected": OF_TARGETS,
}  # Prometheus' own; present with Redis; with PostgreSQL


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def expressions() -> dict[str, str]:
    found = {rule["alert"]: rule["expr"] for rule in alerts()}
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = target["expr"].replace("$__rate_interval", "5m")
    return found


def used(node: Any, grouping: frozenset[str] = frozenset()) -> Iterator[tuple[str, set[str]]]:
    """Each metric of an expression, with the labels that select and group it."""
    match node:
        case promql.VectorSelector():
            yield node.name, grouping | {matcher.name for matcher in node.matchers.matchers}
        case promql.MatrixSelector():
            yield from used(node.vector_selector, grouping)
        case promql.AggregateExpr():
            labels = node.modifier.labels if node.modifier is not None else ()
            yield from used(node.expr, grouping | frozenset(labels))
        case promql.Call():
            for argument in node.args:
                yield from used(argument, grouping)
        case promql.BinaryExpr():
            yield from used(node.lhs, grouping)
            yield from used(node.rhs, grouping)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            yield from used(node.expr, grouping)


@pytest.fixture
def labels(demo_gateway: RunningGateway) -> dict[str, set[str]]:
    """The labels of each sample that /metrics has, or has after traffic."""
    found: dict[str, set[str]] = {}
    for family in demo_gateway.gateway.metrics.registry.collect():
        own = {label for sample in family.samples for label in sample.labels}
        names = own | set(getattr(family, "_labelnames", ())) | OF_TARGETS
        for suffix in SUFFIXES[family.type]:
            found[family.name + suffix] = names | ({"le"} if suffix == "_bucket" else set())
    return found | ELSEWHERE


def test_expressions_use_what_the_page_has(labels: dict[str, set[str]]) -> None:
    for name, expression in expressions().items():
        metrics = list(used(promql.parse(expression)))
        assert metrics, name
        for metric, needed in metrics:
            assert metric in labels, (name, metric)
            assert needed <= labels[metric], (name, metric)


def test_every_alert_is_explained() -> None:
    rules = alerts()
    rows = [line.split("`")[1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `Vaultgraph")]
    assert rows == [rule["alert"] for rule in rules]
    assert {rule["labels"]["severity"] for rule in rules} == {"critical", "warning"}
    assert all(rule["annotations"]["summary"] for rule in rules)


def test_panels_lie_side_by_side() -> None:
    board = json.loads(DASHBOARD.read_text("utf-8"))
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in board["panels"]]
    assert len(set(places)) == len(places)
    assert len({one["id"] for one in board["panels"]}) == len(places)
    assert {one["datasource"]["uid"] for one in board["panels"]} == {"${datasource}"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, from the package prometheus")
def test_promtool_reads_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", "--lint-fatal", RULES], check=True)
