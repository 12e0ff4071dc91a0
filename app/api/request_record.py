"""What is known of a request when it ends: its log line and its metrics."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import Struct, field

from app.api.documents.naming import ID
from app.api.etag import PATH
from app.api.metrics import Metrics
from app.api.operation_names import PUBLISHED
from app.api.parts import errors_of
from app.api.request import GraphQLRequest
from app.telemetry.logs import LINES
from app.telemetry.redact import REDACTOR
from app.telemetry.trace_context import TraceContext
from app.telemetry.tracing import SPANS
from app.wallet.caller import Caller

if TYPE_CHECKING:
    from app.api.operations import Outcome, PreparedOperation

_MOST_CALLERS: Final = 10_000
_HASH_DIGITS: Final = 12
_MOST_RENDERED: Final = 2_000
_LONGEST_RENDERED: Final = 1_000
_DIGEST: Final = "log.document_id"  # memo key of a document


class RequestRecord(Struct):  # created in C, without a Python call: one per request
    """One request, filled while it is served. For a batch, `prepared` has several operations.

    `status` stays None if the client disconnected before the response. `code` is the first error's. `has_failed` is
    True if the gateway failed internally, whatever the status. `transport`: http, sse, multipart, websocket or mcp.
    """

    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    began_at: float = field(default_factory=perf_counter)
    trace: TraceContext | None = None
    transport: str = "http"
    caller: Caller | None = None
    request: GraphQLRequest | None = None
    prepared: "Sequence[PreparedOperation]" = ()
    status: int | None = None
    code: str | None = None
    has_failed: bool = False
    method: str = "POST"
    route: str = PATH
    span: Any = None

    @property
    def outcome(self) -> str:
        """``ok``, ``refused`` (4xx), ``shed`` (503), ``failed`` (internally, or 5xx) or ``disconnected``."""
        if self.has_failed:
            return "failed"
        if self.status is None:
            return "disconnected"
        if self.status < 400:
            return "ok"
        if self.status < 500:
            return "refused"
        return "shed" if self.status == 503 else "failed"

    def described(self) -> tuple[str | None, str | None, str | None]:
        """Type and name of the operation, and the document's id."""
        if len(self.prepared) == 1:
            (one,) = self.prepared
            name = None if one.operation.name is None else one.operation.name.value
            kind = "mutation" if one.is_mutation else "subscription" if one.is_subscription else "query"
            document_id = one.document.memo.get(_DIGEST) if one.request.query else None
            return kind, name, document_id or _document_id(one)
        if self.prepared:
            return "batch", None, None
        return None, None, None if self.request is None else _named(self.request)

    def note(self, outcome: "Outcome") -> None:
        """Note what failed in an executed operation, or in a part of it."""
        self.has_failed = self.has_failed or outcome.has_failed
        if self.code is None and (errors := errors_of(outcome.body)):
            self.code = errors[0]["extensions"].get("code")


OnRequest = Callable[[RequestRecord], None]
"""Called once when a request has ended. Must not raise."""


class RequestObserver:
    """Counts each request, and writes its log line if the level is INFO or below."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._hashes: dict[str, str] = {}
        self._rendered: dict[tuple[Any, ...], str] = {}
        self._version = 0  # of the secrets that `_rendered` was redacted with

    def __call__(self, record: RequestRecord) -> None:
        seconds = perf_counter() - record.began_at
        outcome = "ok" if record.status == 200 and not record.has_failed else record.outcome
        caller, prepared = record.caller, record.prepared
        if record.transport != "websocket":
            kind = "anonymous" if caller is None else caller.kind
            self._metrics.on_request(outcome, seconds, kind, record.code, record.transport)
        for one in prepared:
            self._metrics.on_operation(
                one.operation.name.value if one.operation.name else None,
                "mutation" if one.is_mutation else "subscription" if one.is_subscription else "query",
                outcome,
                seconds,
                is_published=PUBLISHED in one.document.memo,
            )
        if SPANS.tracer is not None:
            SPANS.tracer.end(record)
        if LINES.json is not None:
            LINES.json("request", self._json(record, outcome, seconds))
        elif LINES.info is not None:
            trace_id = None if record.trace is None else record.trace.trace_id
            calls, price = _work(record)
            LINES.info(
                "request",
                request_id=record.request_id,
                trace_id=trace_id,
                **self._described(record, outcome),
                duration_ms=int(seconds * 100_000) / 100,
                vault_calls=calls,
                price=price,
            )

    def _described(self, record: RequestRecord, outcome: str) -> dict[str, str | int | None]:
        kind, name, document_id = record.described()
        caller = record.caller
        return {
            "transport": record.transport,
            "operation_name": name,
            "operation_type": kind,
            "document_id": document_id,
            "caller_kind": None if caller is None else caller.kind,
            "caller_hash": None if caller is None else self._hashes.get(caller.key) or self._hash(caller.key),
            "status": record.status,
            "outcome": outcome,
            "code": record.code,
        }

    def _json(self, record: RequestRecord, outcome: str, seconds: float) -> str:
        """The fields of the log line as JSON, redacted. Those that repeat are rendered and redacted once."""
        caller, headers, request_id, trace_id = record.caller, record.headers, record.request_id, "null"
        key = (*record.described(), caller and caller.key, record.transport, record.status, outcome, record.code)
        if REDACTOR.version != self._version:
            self._rendered, self._version = {}, REDACTOR.version
        described = self._rendered.get(key)
        if described is None:
            described = REDACTOR.text(orjson.dumps(self._described(record, outcome)).decode())[1:-1]
            if len(self._rendered) >= _MOST_RENDERED:
                self._rendered.clear()
            if len(described) <= _LONGEST_RENDERED:
                self._rendered[key] = described
        if record.trace is not None:
            trace_id = f'"{record.trace.trace_id}"'
        if "x-request-id" in headers or "traceparent" in headers:  # the client's, checked for what JSON would escape
            request_id, trace_id = REDACTOR.text(request_id), REDACTOR.text(trace_id)
        calls, price = _work(record)
        return (
            f'"request_id":"{request_id}","trace_id":{trace_id},{described},'
            f'"duration_ms":{seconds * 1_000:.2f},"vault_calls":{calls},"price":{price}'
        )

    def _hash(self, key: str) -> str:
        if len(self._hashes) >= _MOST_CALLERS:
            self._hashes.clear()
        found = self._hashes[key] = sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
        return found


def _work(record: RequestRecord) -> tuple[int, int]:
    """Vault calls and price of all operations."""
    calls = price = 0
    for one in record.prepared:
        if one.context is not None:
            calls += one.context.upstream_calls
        price += one.admission.requested
    return calls, price


def _document_id(prepared: "PreparedOperation") -> str:
    """The id by which the client named the document, else its text's SHA-256, which is computed once."""
    named = _named(prepared.request)
    if named is not None:
        return named
    document = prepared.document
    found = sha256(document.text.encode("utf-8", "surrogatepass")).hexdigest()
    document.memo[_DIGEST] = found
    return found


def _named(request: GraphQLRequest) -> str | None:
    """The id in a request, if it has the form of one."""
    named: Any = request.document_id
    if named is None:
        persisted = request.extensions.get("persistedQuery")
        named = persisted.get("sha256Hash") if isinstance(persisted, Mapping) else None
    return named if isinstance(named, str) and ID.fullmatch(named) else None
