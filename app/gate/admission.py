"""What an admitted request was found to cost; shown in `extensions.cost`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)  # not frozen, though nobody changes one: it is made for each request
class Admission:
    """`requested` is the price in calls to vaults; `throttle` what the caller's buckets still hold, if it has any."""

    requested: int
    throttle: Mapping[str, Any] | None = None

    def shown(self, actual: int) -> dict[str, Any]:
        found: dict[str, Any] = {"requested": self.requested, "actual": actual}
        if self.throttle is not None:
            found["throttle"] = self.throttle
        return found
