"""Which requests are traced: OTEL_TRACES_SAMPLER and its argument, with the meaning that the SDK's samplers give them.

The SDK decides while it creates a span, after all the work for it; asked before, a request that is not sampled costs a
comparison.
"""

import logging
from collections.abc import Mapping
from typing import Final

_log = logging.getLogger("vaultgraph.tracing")
_DEFAULT: Final = "parentbased_always_on"
_FOLLOWS_PARENT: Final = "parentbased_"
_RATES: Final = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}
_LOW: Final = (1 << 64) - 1


class Sampler:
    """Decides by the low 64 bits of the trace id, or follows the caller's decision."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("OTEL_TRACES_SAMPLER", _DEFAULT).lower()
        if name.removeprefix(_FOLLOWS_PARENT) not in _RATES:
            _log.warning("OTEL_TRACES_SAMPLER is not one of %s: %s is used", ", ".join(_RATES), _DEFAULT)
            name = _DEFAULT
        rate = _RATES[name.removeprefix(_FOLLOWS_PARENT)]
        self._follows_parent = name.startswith(_FOLLOWS_PARENT)
        self._bound = round((_ratio(environ) if rate is None else rate) * (_LOW + 1))

    def samples(self, trace_id: int, parent: int | None = None) -> bool:
        """`parent` is the caller's decision, 0 or 1, if there is one."""
        if parent is not None and self._follows_parent:
            return parent == 1
        return trace_id & _LOW < self._bound


def _ratio(environ: Mapping[str, str]) -> float:
    try:
        rate = float(environ.get("OTEL_TRACES_SAMPLER_ARG", ""))
        if 0 <= rate <= 1:
            return rate
    except ValueError:
        pass
    _log.warning("OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1: 1 is used")
    return 1.0
