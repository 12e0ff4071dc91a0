"""The last hour of the gateway's own metrics, minute by minute, for the status page."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from math import ceil
from typing import Any, Final, NamedTuple

from prometheus_client.metrics_core import Metric

MINUTES: Final = 60
_EVERY_S: Final = 15.0
_COUNTERS: Final = frozenset(
    {
        "vaultgraph_upstream_calls_total",
        "vaultgraph_upstream_seconds_bucket",
        "vaultgraph_requests_total",
        "vaultgraph_snapshot_reads_total",
    }
)
_ANSWERED: Final = frozenset({"ok", "client_error"})
_NOT_COUNTED: Final = frozenset({"cancelled"})
_NO_CALL: Final = frozenset({"fresh", "joined"})
"""Reads that caused no call to a vault."""

Series = tuple[str, frozenset[tuple[str, str]]]
"""The name of a sample and its labels."""


class _Sample(NamedTuple):
    at: float
    values: Mapping[Series, float]


class _Change(NamedTuple):
    """An increase of one counter. `minute` counts from the start of the report's hour."""

    minute: int
    name: str
    labels: dict[str, str]
    by: float


class StatusHistory:
    """`families` reads the metrics. `clock` returns seconds since the epoch."""

    def __init__(
        self,
        families: Callable[[], Iterable[Metric]],
        vaults: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`vaults`: the display name of each vault that is set up, by name."""
        self._families = families
        self._vaults = vaults
        self._clock = clock
        self._samples: deque[_Sample] = deque(maxlen=int(MINUTES * 60 / _EVERY_S) + 1)

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(_EVERY_S)

    def sample(self) -> None:
        """Remember the counters as they are now."""
        values = {series: value for series, value in self._values().items() if series[0] in _COUNTERS}
        self._samples.append(_Sample(self._clock(), values))

    def _values(self) -> dict[Series, float]:
        return {
            (one.name, frozenset(one.labels.items())): one.value
            for family in self._families()
            for one in family.samples
        }

    def report(self) -> dict[str, Any]:
        """The content of `/status.json`. Lists have one item per minute, the oldest first; null means unknown."""
        now = self._values()
        changes = list(self._changes(now))

        def state(name: str, **labels: str) -> float | None:
            return now.get((name, frozenset(labels.items())))

        def of(name: str, **labels: str) -> list[_Change]:
            wanted = labels.items()
            return [one for one in changes if one.name == name and wanted <= one.labels.items()]

        reads = of("vaultgraph_snapshot_reads_total")
        without_call = sum(one.by for one in reads if one.labels["source"] in _NO_CALL)
        all_reads = sum(one.by for one in reads)
        return {
            "version": next((dict(labels)["version"] for name, labels in now if name == "vaultgraph_build_info"), None),
            "workers": state("vaultgraph_workers"),
            "store": _is_up(state("vaultgraph_store_up")),
            "redis": _is_up(state("vaultgraph_redis_up")),
            "vaults": [
                {
                    "name": name,
                    "displayName": shown,
                    "circuit": _circuit(now, name),
                    **_calls(of("vaultgraph_upstream_calls_total", vault=name)),
                    **_latency(of("vaultgraph_upstream_seconds_bucket", vault=name)),
                }
                for name, shown in self._vaults.items()
            ],
            "requests": {
                outcome: _per_minute(of("vaultgraph_requests_total", outcome=outcome))
                for outcome in ("ok", "refused", "shed", "failed", "disconnected")
            },
            "cacheHitRate": without_call / all_reads if all_reads else None,
            "journal": {
                "pending": state("vaultgraph_operations_open", state="PENDING"),
                "unknown": state("vaultgraph_operations_open", state="UNKNOWN"),
                "undecided": state("vaultgraph_operations_undecided"),
            },
            "webhooks": {
                kind: state("vaultgraph_webhook_deliveries", state=kind) for kind in ("waiting", "failed", "dead")
            },
        }

    def _changes(self, now: Mapping[Series, float]) -> Iterator[_Change]:
        """What changed since the first sample of the hour, with the values of `now` as the last sample."""
        last = _Sample(self._clock(), {series: value for series, value in now.items() if series[0] in _COUNTERS})
        start = last.at - MINUTES * 60
        for before, after in pairwise([*self._samples, last]):
            minute = ceil((after.at - start) / 60) - 1
            for series, value in after.values.items() if minute >= 0 else ():
                if (by := value - before.values.get(series, 0.0)) > 0:
                    yield _Change(minute, series[0], dict(series[1]), by)


def _is_up(value: float | None) -> bool | None:
    return None if value is None else value > 0


def _circuit(now: Mapping[Series, float], vault: str) -> str | None:
    """The worst state of any worker."""
    for state in ("open", "half_open", "closed"):
        if now.get(("vaultgraph_circuit", frozenset({("vault", vault), ("state", state)}))):
            return state.upper()
    return None


def _per_minute(changes: Iterable[_Change]) -> list[int]:
    counts = [0] * MINUTES
    for one in changes:
        counts[one.minute] += int(one.by)
    return counts


def _calls(changes: list[_Change]) -> dict[str, Any]:
    """Calls and failed calls. A call that the gateway itself gave up (`cancelled`) is neither."""
    counted = [one for one in changes if one.labels["outcome"] not in _NOT_COUNTED]
    return {
        "calls": _per_minute(counted),
        "errors": _per_minute(one for one in counted if one.labels["outcome"] not in _ANSWERED),
    }


def _latency(changes: list[_Change]) -> dict[str, Any]:
    """`p95Ms`: an upper bound of the 95th percentile, from the histogram's buckets; null in a minute without calls."""
    by_minute: list[dict[float, float]] = [{} for _ in range(MINUTES)]
    for one in changes:
        upto = float(one.labels["le"])
        by_minute[one.minute][upto] = by_minute[one.minute].get(upto, 0.0) + one.by
    return {"p95Ms": [_p95(buckets) for buckets in by_minute]}


def _p95(buckets: Mapping[float, float]) -> float | None:
    """`buckets` are cumulative: calls that took at most so many seconds."""
    total = max(buckets.values(), default=0.0)
    if not total:
        return None
    reached = [upto for upto, count in buckets.items() if count >= 0.95 * total]
    finite = [upto for upto in buckets if upto != float("inf")]
    return round(1_000 * min(min(reached), max(finite, default=0.0)), 1)
