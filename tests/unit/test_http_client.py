"""The vault HTTP client over real connections: how each kind of reply or failure is mapped."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest

from app.errors import (
    CircuitOpen,
    InvalidRequest,
    OutcomeUnknown,
    SettingsError,
    VaultError,
    VaultRefusedUs,
    VaultThrottled,
    VaultTimeout,
    VaultUnavailable,
)
from app.http.auth import Credentials, StaticHeaders
from app.http.client import VaultHttpClient, create_client
from app.http.message import Effect, FixedHeaders, VaultReply, VaultRequest
from app.http.settings import BreakerSettings, ProviderSettings
from app.http.transports.base import Cause, MaybeSent, NotSent, Transport, TransportError
from app.http.transports.choice import Kind
from app.vault.provider import Call
from tests.support.raw_server import Answer, RawServer, ReceivedRequest, raw_server, reply
from tests.support.transports import BOTH, force_transport

pytestmark = pytest.mark.usefixtures("transport")

GET = VaultRequest(method="GET", path="things/1", route="things/{id}")
POST = VaultRequest(method="POST", path="things", route="things", effect=Effect.WRITE, json={"a": 1})
PUT = VaultRequest(method="PUT", path="things/1", route="things/{id}", effect=Effect.WRITE, json={"a": 1})


@pytest.fixture(params=BOTH)
def transport(request: pytest.FixtureRequest) -> Iterator[Kind]:
    with force_transport(request.param):
        yield request.param


def call(seconds: float = 60.0, client: str = "-") -> Call:
    return Call(deadline_at=asyncio.get_running_loop().time() + seconds, request_id="req-1", client=client)


class Noted:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    def on_call(self, provider: str, route: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append((provider, route, outcome))


@asynccontextmanager
async def client_to(
    answer: Callable[[ReceivedRequest], Awaitable[Answer]],
    credentials: Credentials | None = None,
    observer: Noted | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[VaultHttpClient, RawServer]]:
    async with raw_server(answer) as server:
        wanted = ProviderSettings(base_url=f"{server.url}/api/v1", **settings)
        client = create_client(
            "loanpro", wanted, credentials or StaticHeaders({"Authorization": "Bearer abcdef"}), observer
        )
        try:
            yield client, server
        finally:
            await client.close()


def always(answer: Answer) -> Callable[[ReceivedRequest], Awaitable[Answer]]:
    async def say(asked: ReceivedRequest) -> Answer:
        return answer

    return say


async def never(asked: ReceivedRequest) -> Answer:
    await asyncio.sleep(60)
    return None


def in_turn(*answers: Answer) -> Callable[[ReceivedRequest], Awaitable[Answer]]:
    left = list(answers)

    async def say(asked: ReceivedRequest) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    return say


@dataclass(frozen=True)
class Trace:
    traceparent: str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    tracestate: str | None = None


@pytest.mark.parametrize("state", [None, "vendor=1"])
@pytest.mark.parametrize("headers", [FixedHeaders({"x-request-id": "fixed", "accept": "a/b"}), {"accept": "a/b"}])
@pytest.mark.parametrize("own", [None, {"correlation": "c"}])
async def test_the_request_id_and_the_trace_go_with_every_call(
    headers: Mapping[str, str], own: dict[str, str] | None, state: str | None
) -> None:
    trace = Trace(tracestate=state)
    async with client_to(always(reply(200, b"{}"))) as (client, server):
        for _ in range(2):
            request = VaultRequest(method="GET", path="x", route="x", headers=headers, own_headers=own)
            await client.send(request, replace(call(), trace=trace))
    for asked in server.asked:
        assert asked.headers["x-request-id"] == "req-1"
        assert asked.headers["traceparent"] == trace.traceparent
        assert asked.headers.get("tracestate") == state
        assert asked.headers.get("correlation") == (own or {}).get("correlation")
        assert (asked.headers["accept"], asked.headers["user-agent"]) == ("a/b", "vaultgraph")


async def test_an_adapters_own_request_id_is_sent_instead() -> None:
    async with client_to(always(reply(200, b"{}"))) as (client, server):
        request = VaultRequest(method="GET", path="x", route="x", own_headers={"x-request-id": "theirs"})
        await client.send(request, call())
    assert server.asked[0].headers["x-request-id"] == "theirs"


async def test_a_request_is_sent_as_specified() -> None:
    noted = Noted()
    async with client_to(always(reply(201, b'{"x":[1]}', "X-Request-Id: r1\r\n")), observer=noted) as (client, server):
        request = VaultRequest(
            method="POST",
            path="odata.svc/Customers(id%201)",
            route="Customers",
            effect=Effect.WRITE,
            query=(("$filter", "id eq 1 or id eq 2"), ("$expand", "a/b,c"), ("q", "a&b=c+d?é")),
            json={"name": "Ünï"},
            headers={"X-Trace": "t", "Accept": "application/xml"},
        )
        answer = await client.send(request, call())
    (asked,) = server.asked
    assert asked.method == "POST"
    assert asked.target == (
        "/api/v1/odata.svc/Customers(id%201)"
        "?$filter=id%20eq%201%20or%20id%20eq%202&$expand=a/b,c&q=a%26b%3Dc%2Bd%3F%C3%A9"
    )
    assert asked.body == '{"name":"Ünï"}'.encode()
    assert asked.headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "application/xml",
        "accept-encoding": "gzip, deflate",
        "user-agent": "vaultgraph",
        "content-type": "application/json",
        "content-length": str(len(asked.body)),
        "x-trace": "t",
        "x-request-id": "req-1",
        "authorization": "Bearer abcdef",
    }
    assert (answer.status, answer.json(), answer.headers["x-request-id"]) == (201, {"x": [1]}, "r1")
    assert noted.calls == [("loanpro", "Customers", "ok")]


async def test_a_raw_query_is_sent_unchanged() -> None:
    named = "$skiptoken=a%2Fb+c%3D=&x=(1,2)"
    async with client_to(always(reply(200, b"[]"))) as (client, server):
        await client.send(VaultRequest(method="GET", path="api/list", route="list", raw_query=named), call())
    assert [asked.target for asked in server.asked] == [f"/api/v1/api/list?{named}"]


@pytest.mark.parametrize("status", [200, 204, 302, 400, 403, 404, 409, 422])
async def test_statuses_below_500_are_returned_and_redirects_not_followed(status: int) -> None:
    body = b"" if status == 204 else b"{}"
    async with client_to(always(reply(status, body, "Location: /elsewhere\r\n"))) as (client, server):
        assert (await client.send(GET, call())).status == status
        assert (await client.send(PUT, call())).status == status
    assert len(server.asked) == 2


TRUNCATED = b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{"a":'
GARBAGE = b"\x00\x01 not http at all\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("answer", [reply(500), reply(503), None, TRUNCATED, GARBAGE])
async def test_a_read_is_retried_and_then_unavailable(answer: Answer) -> None:
    async with client_to(always(answer), retries=2) as (client, server):
        with pytest.raises(VaultUnavailable) as caught:
            await client.send(GET, call())
    assert type(caught.value) is VaultUnavailable
    assert len(server.asked) == 3


@pytest.mark.parametrize("answer", [reply(500), reply(503), None, TRUNCATED, GARBAGE])
@pytest.mark.parametrize("request_", [POST, PUT])
async def test_a_write_is_sent_once_and_then_unknown(answer: Answer, request_: VaultRequest) -> None:
    async with client_to(in_turn(reply(), answer), retries=2) as (client, server):
        await client.send(GET, call())  # so that the write uses a keep-alive connection
        with pytest.raises(OutcomeUnknown):
            await client.send(request_, call())
    assert [asked.method for asked in server.asked] == ["GET", request_.method]


async def test_a_read_that_succeeds_on_retry_returns_the_reply() -> None:
    async with client_to(in_turn(reply(502), None, reply())) as (client, server):
        assert (await client.send(GET, call())).status == 200
    assert len(server.asked) == 3


async def test_a_silent_vault_times_out_at_the_deadline() -> None:
    loop = asyncio.get_running_loop()
    async with client_to(never, deadline_s=0.2, write_deadline_s=0.2) as (client, server):
        for request, error in ((GET, VaultTimeout), (POST, OutcomeUnknown)):
            began = loop.time()
            with pytest.raises(error):
                await client.send(request, call())
            assert loop.time() - began > 0.15
        with pytest.raises(VaultTimeout):
            await client.send(GET, call(0.05))
        with pytest.raises(VaultTimeout):
            await client.send(POST, call(-1))
    assert [asked.method for asked in server.asked] == ["GET", "POST", "GET"]


async def test_a_write_is_retried_after_a_refused_connection() -> None:
    async with raw_server(always(reply())) as server:
        url = server.url
    client = create_client("aloha", ProviderSettings(base_url=url), StaticHeaders({}))
    for request in (GET, POST):
        with pytest.raises(VaultUnavailable):
            await client.send(request, call())
    await client.close()


async def test_401_with_static_headers_is_final() -> None:
    async with client_to(always(reply(401))) as (client, server):
        with pytest.raises(VaultRefusedUs):
            await client.send(GET, call())
    assert len(server.asked) == 1


async def test_retry_after_applies_to_every_later_call() -> None:
    noted = Noted()
    async with client_to(always(reply(429, b"{}", "Retry-After: 7\r\n")), observer=noted) as (client, server):
        with pytest.raises(OutcomeUnknown) as unknown:
            await client.send(POST, call())
        assert isinstance(unknown.value.if_absent, VaultThrottled)
        assert unknown.value.if_absent.retry_after_s == 7
        with pytest.raises(VaultThrottled) as caught:
            await client.send(GET, call())
        assert 5 < (caught.value.retry_after_s or 0) <= 7
    assert len(server.asked) == 1
    assert [outcome for _, _, outcome in noted.calls] == ["unknown", "throttled"]


async def test_503_with_retry_after_is_not_retried() -> None:
    async with client_to(always(reply(503, b"{}", "Retry-After: 7\r\n"))) as (client, server):
        with pytest.raises(VaultUnavailable) as caught:
            await client.send(GET, call())
        assert caught.value.retry_after_s == 7
        with pytest.raises(VaultThrottled):
            await client.send(GET, call())
    assert len(server.asked) == 1


async def test_the_circuit_opens_and_one_probe_closes_it() -> None:
    breaker = BreakerSettings(minimum_calls=4, window_s=10, failure_ratio=0.5, open_for_s=60)
    answers = in_turn(*[reply(500)] * 4, reply())
    changes: list[str] = []
    async with client_to(answers, breaker=breaker, retries=0) as (client, server):
        client.breaker.on_change.append(changes.append)
        for _ in range(4):
            with pytest.raises(VaultUnavailable):
                await client.send(GET, call())
        assert client.circuit == "OPEN"
        for request in (GET, POST):
            with pytest.raises(CircuitOpen):
                await client.send(request, call())
        assert len(server.asked) == 4
        client.breaker._opened_at -= 60
        assert (await client.send(GET, call())).status == 200
    assert changes == ["OPEN", "HALF_OPEN", "CLOSED"]


async def test_client_errors_do_not_open_the_circuit() -> None:
    breaker = BreakerSettings(minimum_calls=2, failure_ratio=0.01)
    async with client_to(in_turn(reply(400), reply(404), reply(401), reply(429)), breaker=breaker) as (client, _):
        for _ in range(12):
            with suppress(VaultError):
                await client.send(GET, call())
        assert client.circuit == "CLOSED"


async def test_short_deadlines_do_not_open_the_circuit() -> None:
    async with client_to(never, breaker=BreakerSettings(minimum_calls=1), deadline_s=3) as (client, _):
        with pytest.raises(VaultTimeout):
            await client.send(GET, call(0.02))
        assert client.circuit == "CLOSED"


async def test_calls_over_the_concurrency_limit_are_rejected_unsent() -> None:
    seen = 0
    most = 0

    async def slow(asked: ReceivedRequest) -> Answer:
        nonlocal seen, most
        seen += 1
        most = max(most, seen)
        await asyncio.sleep(0.01)
        seen -= 1
        return reply()

    async with client_to(slow, concurrency=4, queue_limit=20, queue_wait_s=60) as (client, server):
        results = await asyncio.gather(*(client.send(GET, call()) for _ in range(100)), return_exceptions=True)
        assert (client.in_flight, client.waiting) == (0, 0)
    assert most == 4
    assert sum(isinstance(result, VaultThrottled) for result in results) == 76
    assert len(server.asked) == 24


async def test_cancelling_a_call_releases_its_slot_and_cancels_the_upstream_request() -> None:
    async with client_to(never, concurrency=1) as (client, server):
        task = asyncio.create_task(client.send(GET, call()))
        while not server.asked:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.in_flight == 0


@pytest.mark.parametrize("path", ["../x", "a/../../b", "a/%2e%2E/b", "/x", "//evil.example/x", "a?b=1", "a#b", "a\\b"])
async def test_a_path_that_leaves_the_base_is_refused_before_sending(path: str) -> None:
    async with client_to(always(reply())) as (client, server):
        with pytest.raises(InvalidRequest):
            await client.send(VaultRequest(method="GET", path=path, route="x"), call())
    assert server.connections == 0


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("a\r\nX-Evil: 1", {}),
        ("a b", {}),
        ("é", {}),
        ("a", {"X-Ref": "1\r\nX-Evil: 1"}),
        ("a", {"X-Ref": "1\nX-Evil: 1"}),
        ("a", {"X-Ref": "1\x00"}),
        ("a", {"X-Ref": "snow\u2603man"}),
        ("a", {"X Ref": "1"}),
        ("a", {"X-Ref:": "1"}),
    ],
)
async def test_header_injection_is_refused_before_sending(path: str, headers: dict[str, str]) -> None:
    async with client_to(always(reply())) as (client, server):
        with pytest.raises(InvalidRequest):
            await client.send(VaultRequest(method="GET", path=path, route="x", headers=headers), call())
    assert server.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://[x]/",
        "http://x:a/",
        "http://u:p@x/",
        "http://x/?a=1",
        "http://x/#f",
    ],
)
def test_an_unusable_base_url_is_rejected_immediately(url: str) -> None:
    with pytest.raises(SettingsError, match=r"caselle\.base_url") as caught:
        create_client("caselle", ProviderSettings(base_url=url), StaticHeaders({}))
    assert "u:p" not in str(caught.value)


async def test_a_closed_client_sends_nothing() -> None:
    async with client_to(always(reply())) as (client, server):
        await client.send(GET, call())
        await client.close()
        for request in (GET, POST):
            with pytest.raises(VaultUnavailable):
                await client.send(request, call())
    assert len(server.asked) == 1


class Scripted:
    """A transport that performs scripted steps, then replies 200."""

    def __init__(self, *steps: TransportError | VaultReply) -> None:
        self.steps = list(steps)
        self.sent = 0
        self.is_closed = False

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline_at: float
    ) -> VaultReply:
        self.sent += 1
        step = self.steps.pop(0) if self.steps else VaultReply(200, {}, b"{}")
        if isinstance(step, TransportError):
            raise step
        return step

    async def close(self) -> None:
        self.is_closed = True


def scripted_client(transport: Transport, **settings: Any) -> VaultHttpClient:
    wanted = ProviderSettings(base_url="http://vault.test/", **settings)
    return VaultHttpClient("aloha", wanted, StaticHeaders({}), transport)


@pytest.mark.parametrize("request_", [GET, POST])
async def test_an_unsent_request_is_retried_even_if_it_is_a_write(request_: VaultRequest) -> None:
    transport = Scripted(NotSent(Cause.CONNECT), NotSent(Cause.RESET))
    assert (await scripted_client(transport).send(request_, call())).status == 200
    assert transport.sent == 3


async def test_every_cause_maps_to_a_domain_error() -> None:
    for cause in Cause:
        for failure, effect in product((NotSent, MaybeSent), Effect):
            transport = Scripted(*[failure(cause)] * 3)
            request = VaultRequest(method="POST", path="x", route="x", effect=effect)
            with pytest.raises(VaultError) as caught:
                await scripted_client(transport).send(request, call())
            if cause is Cause.INVALID:
                assert type(caught.value) is InvalidRequest
            elif failure is MaybeSent and effect is Effect.WRITE:
                assert type(caught.value) is OutcomeUnknown
                assert transport.sent == 1
            else:
                assert type(caught.value) is (VaultTimeout if cause is Cause.TIMEOUT else VaultUnavailable)


async def test_retries_add_at_most_a_tenth_to_the_calls() -> None:
    transport = Scripted(*[MaybeSent(Cause.RESET)] * 1000)
    client = scripted_client(transport, breaker=BreakerSettings(minimum_calls=10_000))
    for group in range(10):
        results = await asyncio.gather(*(client.send(GET, call()) for _ in range(20)), return_exceptions=True)
        assert all(isinstance(result, VaultUnavailable) for result in results), group
    assert 200 < transport.sent <= 220


async def test_no_retry_starts_that_cannot_finish_before_the_deadline() -> None:
    transport = Scripted(*[MaybeSent(Cause.RESET)] * 3)
    with pytest.raises(VaultUnavailable):
        await scripted_client(transport).send(GET, call(0.01))
    assert transport.sent == 1


async def test_a_cancellation_after_a_full_deadline_counts_as_a_failure() -> None:
    async with client_to(never, breaker=BreakerSettings(minimum_calls=1), deadline_s=0.1, write_deadline_s=5) as (
        client,
        _,
    ):
        task = asyncio.create_task(client.send(POST, call()))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.circuit == "OPEN"


async def test_error_messages_contain_no_request_data() -> None:
    async with client_to(always(reply(500, b"4111111111111111"))) as (client, _):
        secret = VaultRequest(method="GET", path="customers/4111111111111111", route="customers/{id}")
        with pytest.raises(VaultUnavailable) as caught:
            await client.send(secret, call())
    assert str(caught.value) == "The vault answered 500."
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
