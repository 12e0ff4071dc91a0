"""The last hour of the gateway's own metrics, minute by minute, for the status page."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from math import ceil
from typing import Any, Final, NamedTuple

from prometheus_client.metrics_core import Metric

MINUTES: Final = 60
_EVERY_S: Final = 15.0
_ANSWERED: Final = frozenset({"ok", "client_error"})
_NOT_COUNTED: Final = "cancelled"
_NO_CALL: Final = frozenset({"fresh", "joined"})
"""Reads that caused no call to a vault."""

Series = tuple[str, frozenset[tuple[str, str]]]
"""The name of a sample and its labels."""

Line = tuple[str, str]
"""What the report counts by minute: calls and errors of a vault, requests by outcome, reads with and without a call."""


class _Increases(NamedTuple):
    """What has happened since the sample before. `buckets`: of a vault's histogram, by upper bound in seconds."""

    at: float
    lines: Mapping[Line, float]
    buckets: Mapping[str, Mapping[float, float]]


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
        self._last: Mapping[Series, float] | None = None
        self._samples: deque[_Increases] = deque(maxlen=int(MINUTES * 60 / _EVERY_S) + 1)

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(_EVERY_S)

    def sample(self) -> None:
        """Remember what the counters have gained. Only that is kept, so that a report adds few numbers."""
        now = self._values()
        self._samples.append(self._increases(now))
        self._last = now

    def _increases(self, now: Mapping[Series, float]) -> _Increases:
        lines: dict[Line, float] = defaultdict(float)
        buckets: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
        before = now if self._last is None else self._last
        for (name, labels), value in now.items():
            by = value - before.get((name, labels), 0.0)
            if by <= 0:
                continue
            match name:
                case "vaultgraph_upstream_calls_total":
                    found = dict(labels)
                    if found["outcome"] != _NOT_COUNTED:
                        lines["calls", found["vault"]] += by
                        lines["errors", found["vault"]] += 0.0 if found["outcome"] in _ANSWERED else by
                case "vaultgraph_upstream_seconds_bucket":
                    found = dict(labels)
                    buckets[found["vault"]][float(found["le"])] += by
                case "vaultgraph_requests_total":
                    lines["requests", dict(labels)["outcome"]] += by
                case "vaultgraph_snapshot_reads_total":
                    lines["reads", "without call" if dict(labels)["source"] in _NO_CALL else "with call"] += by
        return _Increases(self._clock(), lines, buckets)

    def _values(self) -> dict[Series, float]:
        return {
            (one.name, frozenset(one.labels.items())): one.value
            for family in self._families()
            for one in family.samples
        }

    def report(self) -> dict[str, Any]:
        """The content of `/status.json`. Lists have one item per minute, the oldest first; null means unknown."""
        now = self._values()
        hour = _Hour(self._increases(now), self._samples)

        def state(name: str, **labels: str) -> float | None:
            return now.get((name, frozenset(labels.items())))

        without_call, with_call = sum(hour["reads", "without call"]), sum(hour["reads", "with call"])
        all_reads = without_call + with_call
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
                    "calls": hour["calls", name],
                    "errors": hour["errors", name],
                    "p95Ms": [_p95(buckets) for buckets in hour.buckets[name]],
                }
                for name, shown in self._vaults.items()
            ],
            "requests": {
                outcome: hour["requests", outcome] for outcome in ("ok", "refused", "shed", "failed", "disconnected")
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


class _Hour(dict[Line, list[int]]):
    """Increases by minute, of the hour up to `last`. A call that the gateway itself gave up is no call.

    `buckets`: per vault and minute, of its histogram.
    """

    def __init__(self, last: _Increases, samples: Iterable[_Increases]) -> None:
        super().__init__()
        self.buckets: dict[str, list[dict[float, float]]] = defaultdict(lambda: [{} for _ in range(MINUTES)])
        start = last.at - MINUTES * 60
        for one in [*samples, last]:
            minute = ceil((one.at - start) / 60) - 1
            if minute < 0:
                continue
            for line, by in one.lines.items():
                self[line][minute] += int(by)
            for vault, counts in one.buckets.items():
                found = self.buckets[vault][minute]
                for upto, by in counts.items():
                    found[upto] = found.get(upto, 0.0) + by

    def __missing__(self, line: Line) -> list[int]:
        self[line] = [0] * MINUTES
        return self[line]


def _is_up(value: float | None) -> bool | None:
    return None if value is None else value > 0


def _circuit(now: Mapping[Series, float], vault: str) -> str | None:
    """The worst state of any worker."""
    for state in ("open", "half_open", "closed"):
        if now.get(("vaultgraph_circuit", frozenset({("vault", vault), ("state", state)}))):
            return state.upper()
    return None


def _p95(buckets: Mapping[float, float]) -> float | None:
    """The 95th percentile in ms, or a bit more. `buckets` are cumulative: calls that took at most so many seconds."""
    total = max(buckets.values(), default=0.0)
    if not total:
        return None
    reached = [upto for upto, count in buckets.items() if count >= 0.95 * total]
    finite = [upto for upto in buckets if upto != float("inf")]
    return round(1_000 * min(min(reached), max(finite, default=0.0)), 1)
