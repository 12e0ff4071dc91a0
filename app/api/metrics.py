"""`/metrics`, in Prometheus' text format.

Counters are incremented where events happen, on objects looked up once; states (circuits, queues, cache sizes) are read
at scrape time. No label has a value that a client can choose.
"""

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app.api.operation_names import OperationNames

_CALL_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
_REQUEST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
_OPERATION_S: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 3.0)
_LAG_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LAG_EVERY_S: Final = 0.25
_CIRCUITS: Final = ("CLOSED", "HALF_OPEN", "OPEN")
_Counts = defaultdict[tuple[str, ...], int]
"""By the values of the labels."""


class VaultTraffic(Protocol):
    """The state of one vault's HTTP client."""

    @property
    def circuit(self) -> str: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def retries(self) -> int: ...
    @property
    def connections(self) -> tuple[int, int]: ...  # in use, idle


class Vault(Protocol):
    """The state of one vault's adapter."""

    @property
    def identity_mismatches(self) -> int: ...


class CacheStats(Protocol):
    """The state of the snapshot cache. `counts` counts since the start; the others are current values."""

    @property
    def bytes(self) -> int: ...
    def __len__(self) -> int: ...
    @property
    def counts(self) -> Mapping[str, int]: ...


class Metrics:
    """The counters of one process. Also the `CallObserver` of the vault HTTP clients."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls: _Counts = defaultdict(int)
        self._call_seconds: defaultdict[tuple[str, ...], _Took] = defaultdict(lambda: _Took(_CALL_S))
        self._requests: _Counts = defaultdict(int)
        self._request_seconds = _Took(_REQUEST_S)
        self._executions: _Counts = defaultdict(int)
        self._endpoint_attempts: _Counts = defaultdict(int)
        self._refusals: _Counts = defaultdict(int)
        self._errors: _Counts = defaultdict(int)
        self._operations: _Counts = defaultdict(int)
        self._operation_seconds: defaultdict[tuple[str, ...], _Took] = defaultdict(lambda: _Took(_OPERATION_S))
        self._names = OperationNames(self._forget_operation)
        self._lag = _Took(_LAG_S)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.registry.register(
            _Counted(
                _Count(
                    "vaultgraph_upstream_calls",
                    "Calls to vaults; a retried one counts once, see upstream_retries.",
                    ("vault", "route", "outcome"),
                    self._calls,
                ),
                _Count(
                    "vaultgraph_requests",
                    "Requests to /graphql, /mcp and /openapi.json by outcome, kind of caller and transport.",
                    ("outcome", "caller", "transport"),
                    self._requests,
                ),
                _Count(
                    "vaultgraph_operations",
                    "Operations by name: those of published documents, and the 200 most used others.",
                    ("operation", "type", "outcome"),
                    self._operations,
                ),
                _Count("vaultgraph_errors", "Requests by the code of their first error.", ("code",), self._errors),
                _Count(
                    "vaultgraph_refusals",
                    "Requests refused because of credentials, scopes, grants or documents, by kind of caller and code.",
                    ("caller", "code"),
                    self._refusals,
                ),
                _Count("vaultgraph_executions", "Operations run, by execution path.", ("path",), self._executions),
                _Count(
                    "vaultgraph_endpoint_attempts",
                    "Attempts to deliver an event to a webhook endpoint, by outcome: delivered, failed (and tried "
                    "again), dead (dead-lettered), withheld (not granted any more).",
                    ("outcome",),
                    self._endpoint_attempts,
                ),
            )
        )
        self.registry.register(
            _Timed(
                _Times(
                    "vaultgraph_upstream_seconds",
                    "Duration of calls to vaults, including waiting for a slot and retries.",
                    ("vault",),
                    self._call_seconds,
                ),
                _Times(
                    "vaultgraph_request_seconds",
                    "Duration of requests to /graphql.",
                    (),
                    {(): self._request_seconds},
                ),
                _Times(
                    "vaultgraph_operation_seconds",
                    "Duration of queries and mutations by name.",
                    ("operation",),
                    self._operation_seconds,
                ),
                _Times(
                    "vaultgraph_event_loop_lag_seconds",
                    "How much later than planned the event loop ran a timer, four times a second.",
                    (),
                    {(): self._lag},
                ),
            )
        )
        self.in_flight: Callable[[], int] = lambda: 0

    async def watch_loop(self) -> None:
        """Measure the event loop's lag, until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            planned = now() + _LAG_EVERY_S
            await asyncio.sleep(_LAG_EVERY_S)
            self._lag.add(max(0.0, now() - planned))

    def on_call(self, provider: str, route: str, outcome: str, seconds: float) -> None:
        self._calls[provider, route, outcome] += 1
        took = self._call_seconds[(provider,)]
        took.counts[bisect_left(_CALL_S, seconds)] += 1  # as `_Took.add`
        took.sum += seconds

    def on_request(self, outcome: str, seconds: float, caller: str, code: str | None, transport: str) -> None:
        """`outcome`, `transport`: see `RequestRecord`. `caller`: its kind, or anonymous. `code`: the first error's."""
        self._requests[outcome, caller, transport] += 1
        if code is not None:
            self._errors[(code,)] += 1
        took = self._request_seconds
        took.counts[bisect_left(_REQUEST_S, seconds)] += 1  # as `_Took.add`
        took.sum += seconds

    def on_operation(self, name: str | None, kind: str, outcome: str, seconds: float, *, is_published: bool) -> None:
        """`name` is the client's. `kind`: query, mutation, subscription."""
        label = self._names.label(name, is_published=is_published)
        self._operations[label, kind, outcome] += 1
        if kind != "subscription":
            took = self._operation_seconds[(label,)]
            took.counts[bisect_left(_OPERATION_S, seconds)] += 1  # as `_Took.add`
            took.sum += seconds

    def _forget_operation(self, name: str) -> None:
        self._operation_seconds.pop((name,), None)
        for key in [key for key in self._operations if key[0] == name]:
            del self._operations[key]

    def on_refusal(self, caller: str, code: str) -> None:
        """`caller`: staff, user, partner, anonymous. `code`: an error code, never client input."""
        self._refusals[caller, code] += 1

    def on_execution(self, path: str) -> None:
        """`path`: compiled, or fallback if graphql-core ran the operation."""
        self._executions[(path,)] += 1

    def on_endpoint_attempt(self, outcome: str) -> None:
        """`outcome`: delivered, failed, dead, withheld."""
        self._endpoint_attempts[(outcome,)] += 1

    def page(self) -> bytes:
        return generate_latest(self.registry)

    def families(self) -> Iterable[Metric]:
        return self.registry.collect()

    def watch(self, vaults: Mapping[str, VaultTraffic], snapshots: CacheStats, adapters: Mapping[str, Vault]) -> None:
        """Include these states in every scrape."""
        self.registry.register(_States(self, vaults, snapshots, adapters))


class _Took:
    """A histogram. `counts` per bucket, not cumulative, the last one without an upper bound; `sum` in seconds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class _Count(NamedTuple):
    name: str
    about: str
    labels: tuple[str, ...]
    counts: Mapping[tuple[str, ...], int]


class _Times(NamedTuple):
    name: str
    about: str
    labels: tuple[str, ...]
    took: Mapping[tuple[str, ...], _Took]


# The library's own counters take a lock for each increment, and a request increments a dozen. These are plain numbers,
# converted at scrape time; everything runs on one event loop.


class _Counted(Collector):
    def __init__(self, *counts: _Count) -> None:
        self._counts = counts

    def collect(self) -> Iterable[Metric]:
        for one in self._counts:
            family = CounterMetricFamily(one.name, one.about, labels=one.labels)
            for key, count in one.counts.items():
                family.add_metric(key, count)
            yield family


class _Timed(Collector):
    def __init__(self, *times: _Times) -> None:
        self._times = times

    def collect(self) -> Iterable[Metric]:
        for one in self._times:
            family = HistogramMetricFamily(one.name, one.about, labels=one.labels)
            for key, took in one.took.items():
                upto = [*(str(bound) for bound in took.bounds), "+Inf"]
                family.add_metric(key, list(zip(upto, accumulate(took.counts), strict=True)), took.sum)
            yield family


class _States(Collector):
    """Read at scrape time, which is cheaper than updating gauges and always current."""

    def __init__(
        self,
        metrics: Metrics,
        vaults: Mapping[str, VaultTraffic],
        snapshots: CacheStats,
        adapters: Mapping[str, Vault],
    ) -> None:
        self._metrics = metrics
        self._vaults = vaults
        self._adapters = adapters
        self._snapshots = snapshots

    def collect(self) -> Iterable[Metric]:
        yield _gauge("vaultgraph_requests_in_flight", "Requests to /graphql in flight.", self._metrics.in_flight())
        yield self._circuits()
        yield self._per_vault("in_flight", "Calls to the vault in flight.")
        yield self._per_vault("waiting", "Calls waiting for a slot of the vault's concurrency limit.")
        pools = GaugeMetricFamily(
            "vaultgraph_upstream_connections", "Open connections to the vault.", labels=("vault", "state")
        )
        for name, vault in self._vaults.items():
            for state, count in zip(("busy", "idle"), vault.connections, strict=True):
                pools.add_metric((name, state), count)
        yield pools
        retries = CounterMetricFamily("vaultgraph_upstream_retries", "Retried calls.", labels=("vault",))
        for name, vault in self._vaults.items():
            retries.add_metric((name,), vault.retries)
        yield retries
        mismatches = CounterMetricFamily(
            "vaultgraph_vault_identity_mismatches",
            "Replies for another customer or payment method than requested; they are discarded.",
            labels=("provider",),
        )
        for name, adapter in self._adapters.items():
            mismatches.add_metric((name,), adapter.identity_mismatches)
        yield mismatches
        yield _gauge("vaultgraph_snapshot_bytes", "Estimated bytes of cached vault replies.", self._snapshots.bytes)
        yield _gauge("vaultgraph_snapshots", "Cached vault replies.", len(self._snapshots))
        reads = CounterMetricFamily(
            "vaultgraph_snapshot_reads", "Reads of a customer at a vault, by source of the reply.", labels=("source",)
        )
        for source, count in self._snapshots.counts.items():
            reads.add_metric((source,), count)
        yield reads

    def _circuits(self) -> Metric:
        family = GaugeMetricFamily(
            "vaultgraph_circuit", "1 for the breaker's current state.", labels=("vault", "state")
        )
        for name, vault in self._vaults.items():
            now = str(vault.circuit)
            for state in _CIRCUITS:
                family.add_metric((name, state.lower()), float(state == now))
        return family

    def _per_vault(self, what: str, about: str) -> Metric:
        family = GaugeMetricFamily(f"vaultgraph_upstream_{what}", about, labels=("vault",))
        for name, vault in self._vaults.items():
            family.add_metric((name,), getattr(vault, what))
        return family


def _gauge(name: str, about: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, about)
    family.add_metric((), value)
    return family
