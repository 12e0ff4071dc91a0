"""The cost of an admitted request, reported in `extensions.cost`."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Admission(Struct):  # created in C, without a Python call: one per request
    """`requested` is the price in vault calls; `throttle` the state of the caller's token buckets, if any."""

    requested: int
    throttle: Mapping[str, Any] | None = None
