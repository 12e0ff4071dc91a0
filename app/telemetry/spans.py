"""Spans of operations, vault calls and store transactions, through the OpenTelemetry SDK. Imported only if it is used.

Sampling is decided when a request begins, as OTEL_TRACES_SAMPLER says: one that is not sampled gets a trace context for
the vaults, and nothing else. Spans are built when they end, and the SDK exports them in batches; it reads the other
OTEL_* variables itself. Attributes follow the semantic conventions for GraphQL, HTTP and databases, and hold no
document, variable, id of a customer or path of a vault.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Token
from functools import cache
from importlib.metadata import version
from random import getrandbits
from time import time_ns
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from app.telemetry.dependency import Dependency
from app.telemetry.redact import REDACTOR
from app.telemetry.sampler import Sampler
from app.telemetry.trace_context import TraceContext
from app.telemetry.tracing import SAMPLED, SPANS

T = TypeVar("T")
Attributes = dict[str, str | int]

_FLUSH_S: Final = 5.0
_MOST_ATTRIBUTES: Final = 16
_OK: Final = Status()
_ERROR: Final = Status(StatusCode.ERROR)
_NO_STATE: Final = TraceState()


class TracedRequest(Protocol):
    """The request attributes of a server span."""

    request_id: str
    method: str
    route: str
    trace: TraceContext | None
    status: int | None
    code: str | None
    span: Any

    @property
    def outcome(self) -> str: ...

    def described(self) -> tuple[str | None, str | None, str | None]:
        """Type and name of the operation, and the document's id."""
        ...


class Tracing:
    """The spans of one process. `exporter`: otlp or console."""

    def __init__(self, exporter: str, environ: Mapping[str, str]) -> None:
        given = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        own = {"service.version": version("vaultgraph")} | ({} if given else {"service.name": "vaultgraph"})
        target: SpanExporter = _LoggedExporter(OTLPSpanExporter()) if exporter == "otlp" else ConsoleSpanExporter()
        self._processor = BatchSpanProcessor(target)
        self._sampler = Sampler(environ)
        self._resource = _Process(Resource.create(own).attributes)
        self._scope = InstrumentationScope("vaultgraph")
        limits = SpanLimits()
        self._most = limits.max_span_attributes
        self._longest = limits.max_span_attribute_length
        self._is_limited = self._longest is not None or (self._most or _MOST_ATTRIBUTES) < _MOST_ATTRIBUTES

    async def stop(self) -> None:
        """Trace no more, and export what is left, for at most five seconds."""
        SPANS.tracer = None
        flushing = asyncio.get_running_loop().run_in_executor(None, self._processor.shutdown)
        await asyncio.wait({flushing}, timeout=_FLUSH_S)

    def begin(self, record: TracedRequest) -> None:
        """Begin the trace of a request. Its context replaces `record.trace`. If it is sampled, `record.span` is set."""
        parent, span_id = record.trace, getrandbits(64)
        if parent is None:
            trace_id, flags = getrandbits(128), TraceFlags.RANDOM_TRACE_ID
            is_sampled, state, text = self._sampler.samples(trace_id), None, f"{trace_id:032x}"
        else:
            text, state, given = parent.trace_id, parent.tracestate, int(parent.traceparent[-2:], 16)
            trace_id, flags = int(text, 16), given & TraceFlags.RANDOM_TRACE_ID
            is_sampled = self._sampler.samples(trace_id, given & TraceFlags.SAMPLED)
        flags |= is_sampled
        record.trace = TraceContext(text, f"00-{text}-{span_id:016x}-{flags:02x}", state)
        if is_sampled:
            own = SpanContext(trace_id, span_id, False, TraceFlags(flags), _state(state))
            record.span = span = SampledRequest(self, own, None if parent is None else _remote(parent))
            span.token = SAMPLED.set(span)

    def begin_root_call(
        self, vault: str, base_url: str, method: str, route: str
    ) -> "tuple[TraceContext, CallSpan | None]":
        """Begin the trace of a vault call that belongs to no request. The span is None if it is not sampled."""
        trace_id, flags = getrandbits(128), TraceFlags.RANDOM_TRACE_ID
        flags |= (is_sampled := self._sampler.samples(trace_id))
        own = SpanContext(trace_id, getrandbits(64), False, TraceFlags(flags))
        if is_sampled:
            span = CallSpan(self, own, None, _call_attributes(vault, base_url, method, route))
            return span.trace, span
        text = f"{trace_id:032x}"
        return TraceContext(text, f"00-{text}-{own.span_id:016x}-{flags:02x}"), None

    def end(self, record: TracedRequest) -> None:
        """End the span of a request, if it is sampled."""
        span: SampledRequest | None = record.span
        if span is None:
            return
        kind, name, document_id = record.described()
        given = {
            "http.request.method": record.method,
            "http.route": record.route,
            "vaultgraph.request_id": record.request_id,
            "graphql.operation.type": kind,
            "graphql.operation.name": name,
            "graphql.document.id": document_id and REDACTOR.text(document_id),  # of a refused request, any text
            "http.response.status_code": record.status,
        }
        outcome = record.outcome
        if record.code is not None or outcome == "disconnected":
            given["error.type"] = record.code or outcome
        attributes = {key: value for key, value in given.items() if value is not None}
        status = _ERROR if outcome in ("failed", "shed") else _OK
        title = f"{kind} {name}" if name else kind or "GraphQL"
        self.export(title, span.context, span.parent, attributes, SpanKind.SERVER, status, span.began_ns)
        if span.token is not None:
            SAMPLED.reset(span.token)

    def export(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: Attributes,
        kind: SpanKind,
        status: Status,
        began_ns: int,
    ) -> None:
        """Pass a span that ends now to the SDK."""
        limited: Any = attributes
        if self._is_limited:
            limited = BoundedAttributes(self._most, attributes, max_value_len=self._longest)
        span = ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            limited,
            kind=kind,
            status=status,
            start_time=began_ns,
            end_time=time_ns(),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)


class SampledRequest:
    """The parent of the spans of its vault calls and store accesses."""

    __slots__ = ("_tracing", "began_ns", "context", "parent", "token")

    def __init__(self, tracing: Tracing, context: SpanContext, parent: SpanContext | None) -> None:
        self._tracing = tracing
        self.context = context
        self.parent = parent
        self.began_ns = time_ns()
        self.token: Token[Any] | None = None

    def begin_call(self, vault: str, base_url: str, method: str, route: str) -> "CallSpan":
        """Begin the client span of a vault call."""
        own, attributes = _below(self.context), _call_attributes(vault, base_url, method, route)
        return CallSpan(self._tracing, own, self.context, attributes)

    async def in_span(self, system: str, step: Callable[..., Any], work: Awaitable[T]) -> T:
        """`work` in the client span of a store access."""
        name, began_ns, status = step.__name__.strip("_"), time_ns(), _OK
        attributes: Attributes = {"db.system.name": system, "db.operation.name": name}
        try:
            return await work
        except BaseException as error:
            attributes["error.type"], status = type(error).__name__, _ERROR
            raise
        finally:
            context = _below(self.context)
            self._tracing.export(name, context, self.context, attributes, SpanKind.CLIENT, status, began_ns)


class CallSpan:
    """The span of a vault call; `trace` goes to the vault."""

    __slots__ = ("_attributes", "_began_ns", "_context", "_parent", "_tracing", "trace")

    def __init__(
        self,
        tracing: Tracing,
        own: SpanContext,
        parent: SpanContext | None,
        attributes: Mapping[str, str | int],
    ) -> None:
        self._tracing = tracing
        self._parent = parent
        self._attributes = attributes
        self._context = own
        self._began_ns = time_ns()
        trace_id = f"{own.trace_id:032x}"
        traceparent = f"00-{trace_id}-{own.span_id:016x}-{own.trace_flags:02x}"
        self.trace = TraceContext(trace_id, traceparent, own.trace_state.to_header() or None)

    def end(self, status: int | None, outcome: str, retries: int) -> None:
        attributes, is_ok = dict(self._attributes), outcome == "ok"
        if status is not None:
            attributes["http.response.status_code"] = status
        if retries:
            attributes["http.request.resend_count"] = retries
        if not is_ok:
            attributes["error.type"] = str(status) if outcome == "client_error" else outcome
        name = f"{attributes['http.request.method']} {attributes['url.template']}"
        verdict = _OK if is_ok else _ERROR
        self._tracing.export(name, self._context, self._parent, attributes, SpanKind.CLIENT, verdict, self._began_ns)


class _Process(Resource):
    """The only resource here. The SDK renders a resource as JSON to hash it, for each span that it exports."""

    def __hash__(self) -> int:
        return id(self)


class _LoggedExporter(SpanExporter):
    """Logs once when the collector fails, and once when it works again; the SDK would log each batch."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._state = Dependency("trace collector", "spans are lost")
        for name in (
            "opentelemetry.exporter.otlp",
            "opentelemetry.exporter.http",
            "opentelemetry.sdk._shared_internal",
        ):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._state.worked()
        else:
            self._state.failed("a batch was not accepted")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


@cache
def _call_attributes(vault: str, base_url: str, method: str, route: str) -> Mapping[str, str | int]:
    """What is the same for all calls of a route. Vaults and routes are few."""
    parts = urlsplit(base_url)
    return {
        "http.request.method": method,
        "server.address": parts.hostname or "",
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        "url.template": f"{parts.path}{route}",
        "vaultgraph.vault": vault,
    }


def _below(parent: SpanContext) -> SpanContext:
    return SpanContext(parent.trace_id, getrandbits(64), False, parent.trace_flags, parent.trace_state)


def _remote(given: TraceContext) -> SpanContext:
    _, trace_id, span_id, flags = given.traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)), _state(given.tracestate))


def _state(given: str | None) -> TraceState:
    return _NO_STATE if given is None else TraceState.from_header([given])
