"""Metrics of states: read at scrape time, those of the store at most every few seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.store.backlog import Backlog
from app.store.errors import StoreUnavailable

_READ_EVERY_S: Final = 5.0
_OPERATIONS: Final = ("PENDING", "UNKNOWN")
_DELIVERIES: Final = ("waiting", "failed", "dead")
_ENDPOINTS: Final = ("enabled", "failing", "disabled", "paused")

_ABOUT: Final[Mapping[str, str]] = {
    "vaultgraph_websockets": "Open WebSockets.",
    "vaultgraph_subscriptions": "Open subscriptions to events.",
    "vaultgraph_store_up": "1 while the store can be used.",
    "vaultgraph_store_notifications_connected": "1 while the database notifies this process of others' commits; "
    "otherwise they are found by polling. Absent with SQLite.",
    "vaultgraph_redis_up": "1 while Redis can be used; absent without it.",
}


class StateGauges(Collector):
    """`states`: how to read each, by name."""

    def __init__(self, states: Mapping[str, Callable[[], float]]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        for name, read in self._states.items():
            yield GaugeMetricFamily(name, _ABOUT[name], value=read())
        yield GaugeMetricFamily("vaultgraph_workers", "Processes that this page adds up.", value=1)
        build = GaugeMetricFamily("vaultgraph_build_info", "1, for this version.", labels=("version",))
        build.add_metric((version("vaultgraph"),), 1)
        yield build


class StoreGauges(Collector):
    """`read` returns, by pool, the connections in use and idle, and the accesses that wait for one."""

    def __init__(self, read: Callable[[], Mapping[str, tuple[int, int, int]]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        opened = GaugeMetricFamily(
            "vaultgraph_store_connections", "Open connections to the store.", labels=("pool", "state")
        )
        waiting = GaugeMetricFamily(
            "vaultgraph_store_waiting", "Accesses to the store that wait for a connection.", labels=("pool",)
        )
        for pool, (busy, idle, jobs) in self._read().items():
            opened.add_metric((pool, "busy"), busy)
            opened.add_metric((pool, "idle"), idle)
            waiting.add_metric((pool,), jobs)
        yield from (opened, waiting)


class BacklogGauges(Collector):
    """The journal's open operations and the webhook deliveries, in and out, as `refresh` has last read them."""

    def __init__(self, read: Callable[[], Awaitable[Backlog]], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._read_at = float("-inf")
        self._last: Backlog | None = None

    async def refresh(self) -> None:
        """Read the store, unless that was done some seconds ago. While it is unavailable, the values are absent."""
        if self._clock() - self._read_at < _READ_EVERY_S:
            return
        self._read_at = self._clock()
        try:
            async with asyncio.timeout(_READ_EVERY_S):
                self._last = await self._read()
        except (StoreUnavailable, TimeoutError):
            self._last = None

    def collect(self) -> Iterable[Metric]:
        found = self._last if self._clock() - self._read_at <= _READ_EVERY_S + 1 else None  # another worker reads it
        counts = GaugeMetricFamily("vaultgraph_operations_open", "Writes in the journal by state.", labels=("state",))
        ages = GaugeMetricFamily(
            "vaultgraph_operations_oldest_seconds",
            "Age of the oldest write in this state; 0 if none.",
            labels=("state",),
        )
        undecided = GaugeMetricFamily("vaultgraph_operations_undecided", "UNKNOWN writes that an operator must decide.")
        deliveries = GaugeMetricFamily(
            "vaultgraph_webhook_deliveries", "Webhook deliveries that are not done, by state.", labels=("state",)
        )
        waits = GaugeMetricFamily(
            "vaultgraph_webhook_oldest_seconds",
            "Age of the oldest delivery in this state; 0 if none.",
            labels=("state",),
        )
        outgoing = GaugeMetricFamily(
            "vaultgraph_endpoint_deliveries",
            "Deliveries to webhook endpoints that are not done, by state; those of disabled endpoints only if dead.",
            labels=("state",),
        )
        outgoing_waits = GaugeMetricFamily(
            "vaultgraph_endpoint_oldest_seconds",
            "Age of the oldest delivery to an endpoint in this state; 0 if none.",
            labels=("state",),
        )
        endpoints = GaugeMetricFamily(
            "vaultgraph_endpoints",
            "Webhook endpoints by state; failing: no success since a failure; disabled: by the gateway; paused: by an "
            "operator.",
            labels=("state",),
        )
        if found is not None:
            by_endpoint_state = {row.state: row.count for row in found.endpoints}
            for state in _ENDPOINTS:
                endpoints.add_metric((state,), by_endpoint_state.get(state, 0))
            for rows, states, count, age in (
                (found.operations, _OPERATIONS, counts, ages),
                (found.deliveries, _DELIVERIES, deliveries, waits),
                (found.endpoint_deliveries, _DELIVERIES, outgoing, outgoing_waits),
            ):
                by_state = {row.state: row for row in rows}
                for state in states:
                    row = by_state.get(state)
                    count.add_metric((state,), row.count if row else 0)
                    age.add_metric((state,), max(0.0, (found.at - row.oldest_at).total_seconds()) if row else 0)
            undecided.add_metric((), found.undecided)
        yield from (counts, ages, undecided, deliveries, waits, endpoints, outgoing, outgoing_waits)
