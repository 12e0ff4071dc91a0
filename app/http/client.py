"""HTTP client of one vault: credentials, deadline, concurrency limit, retries and circuit breaker."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from app.errors import (
    CircuitOpen,
    FieldFault,
    InvalidRequest,
    OutcomeUnknown,
    VaultError,
    VaultRefusedUs,
    VaultThrottled,
    VaultTimeout,
    VaultUnavailable,
)
from app.http.attempt import FailedAttempt, PreparedRequest, request_id_in, verdict_of
from app.http.auth import AuthHeaders, Credentials
from app.http.breaker import Breaker, CallVerdict
from app.http.cap import FairSemaphore, SemaphoreFull
from app.http.message import NO_HEADERS, CallLike, Effect, ExtendedHeaders, FixedHeaders, VaultReply, VaultRequest
from app.http.observer import CallObserver, NoObserver, outcome_of
from app.http.retry import RetryAfter, RetryBudget, backoff_s, is_worth_trying, retry_after_s
from app.http.sent_call import SentCall
from app.http.settings import ProviderSettings
from app.http.tls import client_context
from app.http.transports.base import Cause, NotSent, Transport, TransportError
from app.http.transports.choice import kind_of, open_transport
from app.http.transports.lean import LeanTransport
from app.http.urls import PLAIN_PATH, checked_base, checked_path, checked_proxy, encoded_query
from app.telemetry.dependency import Dependency
from app.telemetry.logs import LINES
from app.telemetry.tracing import SAMPLED, SPANS

_JSON: Final = "application/json"
_DEFAULT_HEADERS: Final = {"accept": _JSON, "accept-encoding": "gzip, deflate", "user-agent": "vaultgraph"}
_PER_CALL: Final = frozenset({"x-request-id", "traceparent", "tracestate"})
_NO_RETRY: Final = frozenset({Cause.TIMEOUT, Cause.TOO_LARGE, Cause.INVALID, Cause.CLOSED})
_ENOUGH_TIME: Final = 0.5
_UNEXPLAINED_401: Final = "The vault answered 401 to a write without asking for credentials."
_MOST_FIXED: Final = 32  # an adapter uses fewer than ten
_ORIGIN: Final = re.compile(r"https?://[^/?#]+").match


Challenge = Callable[[VaultReply], bool]
"""Whether a 401 is the vault's documented answer to bad credentials."""


class VaultHttpClient:
    """Implements `VaultHttp`. One per vault, for the life of the process."""

    def __init__(
        self,
        name: str,
        settings: ProviderSettings,
        credentials: Credentials,
        transport: Transport,
        *,
        headers: Mapping[str, str] | None = None,
        observer: CallObserver | None = None,
        is_challenge: Challenge | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._base_url = checked_base(name, settings.base_url)
        self._credentials = credentials
        self._transport = transport
        origin = _ORIGIN(self._base_url)
        self._origin = origin[0] if origin else ""
        self._lean = transport if isinstance(transport, LeanTransport) and origin else None
        self._headers = _DEFAULT_HEADERS | _lower(headers or {})
        self._observer: CallObserver = observer or NoObserver()
        self._is_challenge = is_challenge
        self._cap = FairSemaphore(settings.concurrency, settings.queue_limit, settings.queue_wait_s)
        self._budget = RetryBudget(settings.retry_budget_ratio)
        self._retry_after = RetryAfter()
        self._merged: dict[FixedHeaders | None, tuple[AuthHeaders, FixedHeaders]] = {}
        self.breaker = Breaker(settings.breaker)
        self._circuit = Dependency(
            f"circuit of {name}", "too many calls to the vault fail: it is not called for a while"
        )
        self.breaker.on_change.append(self._log_circuit)
        self._accepted = Dependency(f"credentials of {name}", "the vault refuses them")
        self.retries = 0
        self._loop_time: Callable[[], float] | None = None

    @property
    def circuit(self) -> str:
        """``CLOSED``, ``OPEN`` or ``HALF_OPEN``."""
        return self.breaker.state

    @property
    def in_flight(self) -> int:
        return self._cap.in_flight

    @property
    def waiting(self) -> int:
        return self._cap.waiting

    @property
    def connections(self) -> tuple[int, int]:
        """Open connections to the vault: in use, and idle."""
        return self._transport.connections

    def begin(self, request: VaultRequest, call: CallLike, on_done: Callable[[SentCall], object]) -> SentCall | None:
        """Send a read at once, without a coroutine. None, and nothing is sent, if it must wait, may need more than one
        attempt by what is known, is logged, or has a body or unusual characters: then use `send`.

        See `SentCall` for what must follow. `on_done` is called later, in the context in which the connection was
        opened.
        """
        lean, cap, auth, given = self._lean, self._cap, self._credentials.cached(), request.headers
        if (
            lean is None
            or auth is None
            or cap.waiting
            or cap.in_flight >= cap.limit
            or self.breaker.state != "CLOSED"
            or (self._retry_after.is_asked and self._retry_after.remaining_s())
            or given.__class__ is not FixedHeaders
            or request.method != "GET"
            or request.effect is not Effect.READ
            or request.json is not None
            or request.body is not None
            or request.raw_query
            or PLAIN_PATH(request.path) is None
            or LINES.debug is not None
        ):
            return None
        known, own, trace = self._merged.get(given), {"x-request-id": call.request_id}, call.trace
        if known is None or known[0] is not auth:
            return None
        span = None
        if (traced := SAMPLED.get()) is not None:
            span = traced.begin_call(self.name, self._base_url, request.method, request.route)
            trace = span.trace
        if trace is not None:
            own["traceparent"] = trace.traceparent
            if trace.tracestate is not None:
                own["tracestate"] = trace.tracestate
        elif SPANS.tracer is not None:  # the work of no request is a trace of its own
            return None
        if request.own_headers is not None:
            own.update(request.own_headers)
        url = self._base_url + request.path
        if request.query:
            url = f"{url}?{encoded_query(request.query)}"
        started_at = (self._loop_time or self._bind())()
        deadline_at = started_at + self._settings.deadline_s
        if call.deadline_at < deadline_at:
            deadline_at = call.deadline_at
        sent = SentCall(self, request, call, auth, self.breaker.generation, started_at, deadline_at, on_done, span)
        connection = lean.begin(self._origin, url[len(self._origin) :], known[1], own, deadline_at, sent)
        if connection is None:
            return None
        sent.connection = connection
        cap.in_flight += 1
        window = self._budget.window  # as `record_call`
        if started_at >= window.ends_at:
            window.roll(started_at)
        window.current[0] += 1
        window.total += 1
        return sent

    def finish(self, sent: SentCall) -> VaultReply | None:
        """End a call that is done. Its reply, if `send` would return it; else pass the call to `send`."""
        reply, cap = sent.reply, self._cap
        if cap.waiting or sent.gate is not None:
            self._release(sent)
        else:
            cap.in_flight -= 1
        if reply is None:
            assert sent.error is not None
            self.breaker.record(sent.permit, self._verdict(sent.error, sent.deadline_at - sent.started_at))
            return None
        if reply.status >= 400:
            self.breaker.record(sent.permit, verdict_of(reply.status))
            return None
        now = (self._loop_time or self._bind())()
        self.breaker.record(sent.permit, CallVerdict.GOOD, now)
        sent.auth.is_proven, sent.final_reply = True, reply
        if not self._accepted.is_up:
            self._accepted.worked()
        sent.call.meter.calls += 1
        self._observer.on_call(self.name, sent.request.route, "ok", now - sent.started_at)
        if sent.span is not None:
            sent.span.end(reply.status, "ok", 0)
        return reply

    def cancel(self, sent: SentCall) -> None:
        """End a call that is not done and whose reply is not wanted any more; idempotent."""
        if sent.is_cancelled:
            return
        sent.is_cancelled = True
        if sent.connection is not None:
            sent.connection.give_up(sent)
        self._release(sent)
        seconds = (self._loop_time or self._bind())() - sent.started_at
        self.breaker.record(sent.permit, self._verdict_of_cancelled(seconds))
        self._observer.on_call(self.name, sent.request.route, "cancelled", seconds)
        if sent.span is not None:
            sent.span.end(None, "cancelled", 0)

    def _release(self, sent: SentCall) -> None:
        self._cap.release()
        if sent.gate is not None:
            sent.gate.release()

    async def send(self, request: VaultRequest, call: CallLike, first: SentCall | None = None) -> VaultReply:
        """See `VaultHttp.send`. Also raises `InvalidRequest`, before sending, for values unsafe in HTTP.

        `first` is the first attempt at it, if that was sent by `begin`: `finish` returned None.

        One coroutine for all attempts, without a further one while nothing has to wait; what is unusual is in methods.
        """
        now = self._loop_time or self._bind()
        started_at, effect, breaker, cap = now(), request.effect, self.breaker, self._cap
        settings, transport, credentials = self._settings, self._transport, self._credentials
        deadline_at = started_at + (settings.deadline_s if effect is Effect.READ else settings.write_deadline_s)
        if call.deadline_at < deadline_at:
            deadline_at = call.deadline_at
        if first is not None:
            started_at, deadline_at = first.started_at, first.deadline_at
        outcome, failures, is_second_try, last_status, span = "cancelled", 0, False, None, None
        try:
            own = {"x-request-id": call.request_id}
            trace = call.trace
            if first is not None and first.span is not None:
                span = first.span
                trace = span.trace
            elif (traced := SAMPLED.get()) is not None:
                span = traced.begin_call(self.name, self._base_url, request.method, request.route)
                trace = span.trace
            elif trace is None and SPANS.tracer is not None:  # the work of no request
                trace, span = SPANS.tracer.begin_root_call(self.name, self._base_url, request.method, request.route)
            if trace is not None:
                own["traceparent"] = trace.traceparent
                if trace.tracestate is not None:
                    own["tracestate"] = trace.tracestate
            prepared = self._prepare(request, own)
            if first is None:
                self._budget.record_call(started_at)
            while True:
                if first is not None:
                    auth, answer, error, first = first.auth, first.reply, first.error, None
                    failure = None if error is None else self._failed(error, effect)
                    verdict = CallVerdict.NONE
                    if answer is not None:
                        reply, last_status = answer, answer.status
                        status, verdict = last_status, verdict_of(last_status)
                else:
                    if self._retry_after.is_asked or breaker.state != "CLOSED":
                        self._check_open()
                    auth = credentials.cached() or await credentials.get(deadline_at)
                    if cap.in_flight < cap.limit and not cap.waiting:
                        cap.in_flight += 1
                    else:
                        await self._wait_for_slot(call.client, deadline_at)
                    permit, verdict, failure, began_at = None, CallVerdict.NONE, None, now()
                    try:
                        # Checked again: both may have changed while the call was queued.
                        is_held_back = self._retry_after.is_asked or breaker.state != "CLOSED"
                        permit = self._permit() if is_held_back else breaker.generation
                        headers: Mapping[str, str]
                        known = self._merged.get(prepared.fixed)
                        if known is None or known[0] is not auth:
                            headers = self._with_auth_headers(prepared, auth)
                        else:
                            headers = ExtendedHeaders(known[1], prepared.own)
                        reply = await transport.send(request.method, prepared.url, headers, prepared.body, deadline_at)
                        last_status = status = reply.status
                        verdict = verdict_of(status)
                    except TransportError as error:
                        verdict = self._verdict(error, deadline_at - began_at)
                        failure = self._failed(error, effect)
                    except asyncio.CancelledError:
                        verdict = self._verdict_of_cancelled(now() - began_at)
                        raise
                    finally:
                        if cap.waiting:
                            cap.release()
                        else:
                            cap.in_flight -= 1
                        if permit is not None:
                            breaker.record(permit, verdict)
                if failure is None and verdict is not CallVerdict.GOOD:
                    failure = self._refused(reply, effect)
                if failure is not None:
                    await self._wait_to_retry(failure, call, deadline_at, failures := failures + 1)
                    is_second_try = False
                elif status == 401:
                    self._reject(auth, reply, effect, is_second_try)
                    is_second_try = True
                else:
                    auth.is_proven = True
                    if not self._accepted.is_up:
                        self._accepted.worked()
                    call.meter.calls += 1
                    outcome = "ok" if status < 400 else "client_error"
                    return reply
        except VaultError as error:
            outcome = outcome_of(error)
            raise
        finally:
            seconds = now() - started_at
            self._observer.on_call(self.name, request.route, outcome, seconds)
            retries = failures if outcome in ("ok", "client_error") else max(0, failures - 1)
            if span is not None:
                span.end(last_status, outcome, retries)
            if LINES.debug is not None:
                LINES.debug(
                    "vault_call",
                    request_id=call.request_id,
                    trace_id=None if trace is None else trace.traceparent[3:35],
                    vault=self.name,
                    method=request.method,
                    route=request.route,
                    status=last_status,
                    outcome=outcome,
                    retries=retries,
                    duration_ms=int(seconds * 100_000) / 100,
                )

    async def close(self) -> None:
        """Close the sessions; idempotent. Later calls raise `VaultUnavailable` and send nothing."""
        await self._credentials.close()
        await self._transport.close()

    def _log_circuit(self, state: str) -> None:
        if state == "OPEN":
            self._circuit.failed("it has opened")
        elif state == "CLOSED":
            self._circuit.worked()

    def _bind(self) -> Callable[[], float]:
        self._loop_time = asyncio.get_running_loop().time  # looked up once: the client stays on one loop
        return self._loop_time

    def _challenges(self, reply: VaultReply) -> bool:
        """Whether a 401 is an authentication challenge, sent before anything is done (RFC 9110 §15.5.2)."""
        return "www-authenticate" in reply.headers or (self._is_challenge is not None and self._is_challenge(reply))

    def _refused_us(self, reply: VaultReply) -> VaultRefusedUs:
        return VaultRefusedUs(
            self.name, "The vault answered 401 to our credentials.", provider_request_id=request_id_in(reply)
        )

    def _check_open(self) -> None:
        """Raise if a `Retry-After` is in force or the circuit is open."""
        left_s = self._retry_after.remaining_s()
        if left_s:
            raise VaultThrottled(self.name, "The vault asked us to wait; nothing was sent.", retry_after_s=left_s)
        if self.breaker.would_refuse():
            raise CircuitOpen(self.name, retry_after_s=self.breaker.retry_after_s())

    async def _wait_for_slot(self, client: str, deadline_at: float) -> None:
        try:
            await self._cap.acquire(client, deadline_at)
        except SemaphoreFull:
            raise VaultThrottled(self.name, "Too many calls to this vault at once; nothing was sent.") from None

    async def _wait_to_retry(self, failure: Exception, call: CallLike, deadline_at: float, failures: int) -> None:
        """Back off before the next attempt; raises the failure if there must be none."""
        if not isinstance(failure, FailedAttempt):
            raise failure from None
        call.meter.calls += 1
        delay_s = backoff_s(failures)
        may_retry = failure.may_retry and failures <= self._settings.retries
        in_time = is_worth_trying(asyncio.get_running_loop().time(), delay_s, deadline_at)
        if not (may_retry and in_time and not self.breaker.would_refuse() and self._budget.try_spend()):
            raise failure.error from None
        self.retries += 1
        await asyncio.sleep(delay_s)

    def _reject(self, auth: AuthHeaders, reply: VaultReply, effect: Effect, is_last: bool) -> None:
        """Invalidate the credentials of a 401; raises unless the call may be made once more with others."""
        may_retry = not is_last and self._credentials.invalidate(auth)
        if effect is Effect.WRITE and not self._challenges(reply):
            raise OutcomeUnknown(self.name, _UNEXPLAINED_401, if_absent=self._refused_us(reply))
        if not may_retry:
            self._accepted.failed("status 401")
            raise self._refused_us(reply)

    def _permit(self) -> int:
        """A permit while a `Retry-After` was received or the circuit is not closed; raises as `_check_open`."""
        self._check_open()
        permit = self.breaker.admit()
        if permit is None:
            raise CircuitOpen(self.name, retry_after_s=self.breaker.retry_after_s())
        return permit

    def _verdict_of_cancelled(self, after_s: float) -> CallVerdict:
        """Silence for nearly a full deadline counts against the vault."""
        return CallVerdict.BAD if after_s >= 0.9 * self._settings.deadline_s else CallVerdict.NONE

    def _verdict(self, error: TransportError, allowed_s: float) -> CallVerdict:
        """Timeouts of calls with a short deadline are not counted: they must not open the circuit for all."""
        if error.cause is Cause.TIMEOUT:
            return CallVerdict.BAD if allowed_s >= _ENOUGH_TIME * self._settings.deadline_s else CallVerdict.NONE
        return CallVerdict.NONE if error.cause in (Cause.INVALID, Cause.CLOSED, Cause.TOO_LARGE) else CallVerdict.BAD

    def _failed(self, error: TransportError, effect: Effect) -> Exception:
        if error.cause is Cause.INVALID:
            fault = FieldFault((), "INVALID_INPUT", "A value cannot be sent in an HTTP request.")
            return InvalidRequest(self.name, [fault])
        is_sent = not isinstance(error, NotSent)
        if is_sent and effect is Effect.WRITE:
            return OutcomeUnknown(self.name, f"No readable answer to a write: {error}.")
        kind = VaultTimeout if error.cause is Cause.TIMEOUT else VaultUnavailable
        return FailedAttempt(kind(self.name, f"No answer: {error}."), may_retry=error.cause not in _NO_RETRY)

    def _refused(self, reply: VaultReply, effect: Effect) -> Exception:
        """The exception for a 429 or 5xx. `Retry-After` on a 429 or 503 applies to all later calls to this vault.

        No vault documents 429 as a reply to a write, so the outcome of such a write is unknown, as after a 5xx.
        """
        wait_s = retry_after_s(reply.headers.get("retry-after"))
        if wait_s and reply.status in (429, 503):
            self._retry_after.set(wait_s)
        request_id = request_id_in(reply)
        message = f"The vault answered {reply.status}."
        throttled = None
        if reply.status == 429:
            throttled = VaultThrottled(self.name, message, retry_after_s=wait_s, provider_request_id=request_id)
        if effect is Effect.WRITE:
            return OutcomeUnknown(self.name, message, provider_request_id=request_id, if_absent=throttled)
        if throttled is not None:
            return throttled
        error = VaultUnavailable(self.name, message, retry_after_s=wait_s, provider_request_id=request_id)
        return FailedAttempt(error, may_retry=reply.status != 501 and not self._retry_after.remaining_s())

    def _prepare(self, request: VaultRequest, own: dict[str, str]) -> PreparedRequest:
        """`own` are headers that go with every call; the request's override them."""
        path = request.path
        url = self._base_url + (path if PLAIN_PATH(path) is not None else checked_path(self.name, path))
        if request.query:
            url = f"{url}?{encoded_query(request.query)}"
        elif request.raw_query:
            url = f"{url}?{request.raw_query}"
        given = request.headers
        if given.__class__ is FixedHeaders and request.json is None and request.body is None:
            return PreparedRequest(url, given, None, {**own, **(request.own_headers or NO_HEADERS)}, given)
        headers, body = {**self._headers, **own}, request.body
        if request.json is not None:
            body = orjson.dumps(request.json)
            headers["content-type"] = _JSON
        if request.content_type:
            headers["content-type"] = request.content_type
        headers.update(_lower(given))
        headers.update(request.own_headers or {})
        return PreparedRequest(url, headers, body, own)

    def _with_auth_headers(self, prepared: PreparedRequest, auth: AuthHeaders) -> Mapping[str, str]:
        fixed = prepared.fixed
        if fixed is None:
            return {**prepared.headers, **_lower(auth.headers)}
        known = self._merged.get(fixed)
        if known is None or known[0] is not auth:
            if len(self._merged) >= _MOST_FIXED:
                self._merged.clear()
            merged = {**self._headers, **_lower(fixed), **_lower(auth.headers)}
            known = self._merged[fixed] = auth, FixedHeaders({n: v for n, v in merged.items() if n not in _PER_CALL})
        return ExtendedHeaders(known[1], prepared.own)


def create_client(
    name: str,
    settings: ProviderSettings,
    credentials: Credentials,
    observer: CallObserver | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    is_challenge: Challenge | None = None,
) -> VaultHttpClient:
    """Create the HTTP client of one vault. Needs no running loop; connections open on the first call.

    `is_challenge` recognises the vault's 401 for bad credentials where it has no ``WWW-Authenticate``.

    `headers` go with every call (tenant headers, another ``Accept``); a request's headers override them, and the
    credentials' headers override both. Raises SettingsError for an unusable base URL, proxy or TLS file.
    """
    transport = open_transport(
        kind_of(settings),
        connections=settings.concurrency,
        max_body_bytes=settings.max_body_bytes,
        proxy=checked_proxy(name, settings.proxy),
        tls=client_context(name, settings),
    )
    return VaultHttpClient(
        name, settings, credentials, transport, headers=headers, observer=observer, is_challenge=is_challenge
    )


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
