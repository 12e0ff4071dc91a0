"""Whether this process traces: the OpenTelemetry SDK is imported only if the environment asks for it.

Off, tracing costs one look at `SPANS.tracer` per request, and one at `SAMPLED` per vault call and store access.
"""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from app.errors import SettingsError

if TYPE_CHECKING:
    from app.telemetry.spans import SampledRequest, Tracing

_log = logging.getLogger("vaultgraph.tracing")
_ASKS: Final = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTERS: Final = ("otlp", "console")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"


class _Spans:
    """`tracer` is None while tracing is off."""

    __slots__ = ("tracer",)

    def __init__(self) -> None:
        self.tracer: Tracing | None = None


SPANS: Final = _Spans()
SAMPLED: Final[ContextVar["SampledRequest | None"]] = ContextVar("vaultgraph_sampled", default=None)
"""The request of the current task, if it is sampled. Others have no spans."""


def start_tracing(environ: Mapping[str, str]) -> "Tracing | None":
    """Trace from now on if OTEL_* variables ask for it. The caller stops it. Raises SettingsError."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not any(environ.get(name) for name in _ASKS):
        return None
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter == "none":
        return None
    if exporter not in _EXPORTERS:
        raise SettingsError(f"OTEL_TRACES_EXPORTER: Expected one of {', '.join(_EXPORTERS)}, none")
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _PROTOCOL)
    if exporter == "otlp" and protocol.strip() != _PROTOCOL:
        raise SettingsError(f"OTEL_EXPORTER_OTLP_PROTOCOL: Expected {_PROTOCOL}")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        _log.warning("the OTEL_ variables have no effect: install vaultgraph[otel]")
        return None
    from app.telemetry.spans import Tracing

    SPANS.tracer = Tracing(exporter, environ)
    return SPANS.tracer
