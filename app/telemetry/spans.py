"""Spans of operations, vault calls and store transactions, through the OpenTelemetry SDK. Imported only if it is used.

The SDK reads OTEL_* variables itself: endpoint, headers, sampler, resource, batches. Attributes follow the semantic
conventions for GraphQL, HTTP and databases, and hold no document, variable, id of a customer or path of a vault.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version
from time import perf_counter, time_ns
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.telemetry.dependency import Dependency
from app.telemetry.trace_context import TraceContext
from app.telemetry.tracing import SPANS

T = TypeVar("T")

_FLUSH_S: Final = 5.0
_NO_PARENT: Final = Context()
_read_remote: Final = TraceContextTextMapPropagator().extract


class TracedRequest(Protocol):
    """The request attributes of a server span."""

    request_id: str
    method: str
    began_at: float
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
        self._provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
        target: SpanExporter = _LoggedExporter(OTLPSpanExporter()) if exporter == "otlp" else ConsoleSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(target))
        self._tracer = self._provider.get_tracer("vaultgraph")

    async def stop(self) -> None:
        """Trace no more, and export what is left, for at most five seconds."""
        SPANS.tracer = None
        flushing = asyncio.get_running_loop().run_in_executor(None, self._provider.shutdown)
        await asyncio.wait({flushing}, timeout=_FLUSH_S)

    def begin(self, record: TracedRequest) -> None:
        """Begin the server span of an operation. Its context replaces `record.trace`, and is current in this task."""
        kind, name, document_id = record.described()
        attributes = {
            "graphql.operation.type": kind,
            "graphql.operation.name": name,
            "graphql.document.id": document_id,
        }
        span = self._server_span(record, f"{kind} {name}" if name else kind or "GraphQL", attributes)
        record.trace = _context_of(span)
        record.span = span, contexts.attach(trace.set_span_in_context(span, _NO_PARENT))

    def end(self, record: TracedRequest) -> None:
        """End the server span; a request that was refused before it began gets one now."""
        if record.span is None:
            span, token = self._server_span(record, "GraphQL", {}), None
            record.trace = _context_of(span)
        else:
            span, token = record.span
        if span.is_recording():
            _set(span, "http.response.status_code", record.status)
            outcome = record.outcome
            if record.code is not None or outcome == "disconnected":
                _set(span, "error.type", record.code or outcome)
            if outcome in ("failed", "shed"):
                span.set_status(StatusCode.ERROR)
            span.end()
        if token is not None:
            contexts.detach(token)

    def _server_span(self, record: TracedRequest, name: str, attributes: Mapping[str, str | None]) -> Span:
        elapsed_ns = int((perf_counter() - record.began_at) * 1_000_000_000)
        parent = _NO_PARENT if record.trace is None else _read_remote(_headers_of(record.trace), _NO_PARENT)
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, start_time=time_ns() - elapsed_ns)
        if span.is_recording():  # all at once: each call takes a lock
            own = {"http.request.method": record.method, "http.route": "/graphql"}
            own["vaultgraph.request_id"] = record.request_id
            span.set_attributes(own | {key: value for key, value in attributes.items() if value is not None})
        return span

    def begin_call(self, vault: str, base_url: str, method: str, route: str) -> "CallSpan | None":
        """The client span of a vault call; None unless it belongs to a sampled operation."""
        if not trace.get_current_span().is_recording():
            return None
        parts = urlsplit(base_url)
        template = f"{parts.path}{route}"
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "server.address": parts.hostname or "",
            "server.port": parts.port or (443 if parts.scheme == "https" else 80),
            "url.template": template,
            "vaultgraph.vault": vault,
        }
        return CallSpan(self._tracer.start_span(f"{method} {template}", None, SpanKind.CLIENT, attributes))

    async def in_span(self, system: str, step: Callable[..., Any], work: Awaitable[T]) -> T:
        """`work` in the client span of a store access, if the operation is sampled."""
        if not trace.get_current_span().is_recording():
            return await work
        name = step.__name__.strip("_")
        attributes = {"db.system.name": system, "db.operation.name": name}
        span = self._tracer.start_span(name, None, SpanKind.CLIENT, attributes)
        try:
            return await work
        except BaseException as error:
            _set(span, "error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()


class CallSpan:
    """The span of a vault call; `trace` goes to the vault."""

    __slots__ = ("_span", "trace")

    def __init__(self, span: Span) -> None:
        self._span = span
        self.trace = _context_of(span)

    def end(self, status: int | None, outcome: str, retries: int) -> None:
        span = self._span
        _set(span, "http.response.status_code", status)
        if retries:
            _set(span, "http.request.resend_count", retries)
        if outcome != "ok":
            _set(span, "error.type", str(status) if outcome == "client_error" else outcome)
            span.set_status(StatusCode.ERROR)
        span.end()


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
            logging.getLogger(f"opentelemetry.{name}").setLevel(logging.CRITICAL)

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


def _context_of(span: Span) -> TraceContext:
    found = span.get_span_context()
    trace_id = f"{found.trace_id:032x}"
    state = found.trace_state.to_header() if found.trace_state else None
    return TraceContext(trace_id, f"00-{trace_id}-{found.span_id:016x}-{found.trace_flags:02x}", state)


def _headers_of(context: TraceContext) -> dict[str, str]:
    headers = {"traceparent": context.traceparent}
    return headers if context.tracestate is None else {**headers, "tracestate": context.tracestate}


def _set(span: Span, name: str, value: str | int | None) -> None:
    if value is not None:
        span.set_attribute(name, value)
