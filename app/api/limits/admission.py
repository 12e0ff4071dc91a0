"""The cost of an admitted request, reported in `extensions.cost`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)  # not frozen, for speed: one is created per request
class Admission:
    """`requested` is the price in vault calls; `throttle` the state of the caller's token buckets, if any."""

    requested: int
    throttle: Mapping[str, Any] | None = None

    def shown(self, actual: int) -> dict[str, Any]:
        found: dict[str, Any] = {"requested": self.requested, "actual": actual}
        if self.throttle is not None:
            found["throttle"] = self.throttle
        return found
