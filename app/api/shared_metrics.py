"""One `/metrics` over all workers, in the files of prometheus-client's multiprocess mode.

Its own counters would write to the files with each increment, under a lock. Here each worker copies its numbers once a
second, and before a page is served: a page lacks at most the last second of the other workers. Counts of a worker that
has ended stay, so that no sum falls.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector

_COPY_EVERY_S: Final = 1.0
_SUM: Final = "livesum"
_MODES: Final[Mapping[str, str]] = {
    "process_start_time_seconds": "livemin",
    "process_max_fds": "livemin",
    "python_info": "livemax",
    "vaultgraph_build_info": "livemax",
    "vaultgraph_redis_up": "livemin",
    "vaultgraph_store_up": "livemin",
    "vaultgraph_store_notifications_connected": "livemin",
    "vaultgraph_operations_open": "livemostrecent",
    "vaultgraph_operations_oldest_seconds": "livemostrecent",
    "vaultgraph_operations_undecided": "livemostrecent",
    "vaultgraph_webhook_deliveries": "livemostrecent",
    "vaultgraph_webhook_oldest_seconds": "livemostrecent",
    "vaultgraph_endpoints": "livemostrecent",
    "vaultgraph_endpoint_deliveries": "livemostrecent",
    "vaultgraph_endpoint_oldest_seconds": "livemostrecent",
}
"""How workers' gauges become one; the others are added up."""


class SharedMetrics:
    """`number` is that of this worker; one that had it before has ended, and its counts go on."""

    def __init__(self, registry: CollectorRegistry, folder: Path, number: int) -> None:
        self._registry = registry
        self._folder = folder
        self._number = number
        self._files: dict[str, Any] = {}
        self._before: dict[tuple[str, str], float] = {}
        self._keys: dict[tuple[str, tuple[str, ...]], str] = {}

    async def run(self) -> None:
        while True:
            self.copy()
            await asyncio.sleep(_COPY_EVERY_S)

    def copy(self) -> None:
        """Write this worker's values to its files."""
        now = time.time()
        for family in self._registry.collect():
            kind = "gauge" if family.type in ("gauge", "info", "unknown") else family.type
            name = f"gauge_{_MODES.get(family.name, _SUM)}" if kind == "gauge" else kind
            file = self._files.get(name) or self._open(name)
            for sample, labels, value in _values(family):
                known = sample, tuple(labels.values())
                key = self._keys.get(known)
                if key is None:
                    key = mmap_key(family.name, sample, list(labels), known[1], family.documentation)  # type: ignore[arg-type]
                    self._keys[known] = key
                file.write_value(key, value + self._before.get((name, key), 0.0), now)

    def page(self) -> bytes:
        return generate_latest(self._merged())

    def families(self) -> Iterable[Metric]:
        """The metrics of all workers."""
        return self._merged().collect()

    def _merged(self) -> CollectorRegistry:
        self.copy()
        merged = CollectorRegistry()
        MultiProcessCollector(merged, str(self._folder))  # type: ignore[no-untyped-call]
        return merged

    def _open(self, name: str) -> Any:
        file = MmapedDict(str(self._folder / f"{name}_{self._number}.db"))  # type: ignore[no-untyped-call]
        if not name.startswith("gauge"):
            for key, value, _ in file.read_all_values():  # type: ignore[no-untyped-call]
                self._before[name, key] = value
        self._files[name] = file
        return file


def _values(family: Metric) -> Iterator[tuple[str, dict[str, str], float]]:
    """Samples as the files hold them: buckets are not cumulative, and there is no count."""
    upto = 0.0
    for one in family.samples:
        if one.name.endswith("_created") or (family.type == "histogram" and one.name.endswith("_count")):
            continue
        if "le" in one.labels:
            yield one.name, one.labels, one.value - upto
            upto = 0.0 if one.labels["le"] == "+Inf" else one.value
        else:
            yield one.name, one.labels, one.value
