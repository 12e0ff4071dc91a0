"""The status page's hour: increases per minute, over restarts of workers and gaps."""

from collections.abc import Iterator

import pytest
from prometheus_client.metrics_core import Metric

from app.api.metrics import Metrics
from app.api.status.history import MINUTES, StatusHistory


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_calls_errors_and_latency_are_counted_by_minute(clock: Clock) -> None:
    metrics = Metrics()
    history = StatusHistory(metrics.families, {"loanpro": "LoanPro", "caselle": "Caselle"}, clock=clock)
    history.sample()
    for outcome, seconds in (("ok", 0.02), ("client_error", 0.02), ("timeout", 3.0), ("cancelled", 0.01)):
        metrics.on_call("loanpro", "list", outcome, seconds)
    clock.now += 60
    history.sample()
    metrics.on_call("loanpro", "list", "ok", 0.004)
    clock.now += 60
    loanpro, caselle = history.report()["vaults"]
    assert loanpro["calls"][-2:] == [3, 1], "a call that the gateway gave up itself is not counted"
    assert loanpro["errors"][-2:] == [1, 0]
    assert loanpro["p95Ms"][-2:] == [3000.0, 5.0]
    assert (len(loanpro["calls"]), sum(loanpro["calls"])) == (MINUTES, 4)
    assert (sum(caselle["calls"]), set(caselle["p95Ms"]), caselle["circuit"]) == (0, {None}, None)


def test_an_hour_later_nothing_is_left(clock: Clock) -> None:
    metrics = Metrics()
    history = StatusHistory(metrics.families, {"loanpro": "LoanPro"}, clock=clock)
    history.sample()
    metrics.on_call("loanpro", "list", "ok", 0.02)
    clock.now += 15
    history.sample()
    clock.now += 3_700
    assert sum(history.report()["vaults"][0]["calls"]) == 0


def test_a_counter_that_falls_counts_as_no_change(clock: Clock) -> None:
    """Numbers of a worker whose files were removed."""
    values = iter([10.0, 4.0, 6.0])

    def families() -> Iterator[Metric]:
        family = Metric("vaultgraph_upstream_calls", "", "counter")
        labels = {"vault": "loanpro", "route": "list", "outcome": "ok"}
        family.add_sample("vaultgraph_upstream_calls_total", labels, next(values))
        yield family

    history = StatusHistory(families, {"loanpro": "LoanPro"}, clock=clock)
    history.sample()
    clock.now += 15
    history.sample()
    clock.now += 15
    assert sum(history.report()["vaults"][0]["calls"]) == 2


def test_what_was_not_read_is_unknown(clock: Clock) -> None:
    report = StatusHistory(Metrics().families, {}, clock=clock).report()
    assert report["journal"] == {"pending": None, "unknown": None, "undecided": None}
    assert (report["store"], report["cacheHitRate"], report["version"]) == (None, None, None)
