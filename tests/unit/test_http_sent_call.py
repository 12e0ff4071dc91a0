"""Reads that `VaultHttpClient.begin` sends without a coroutine, over real connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from app.errors import VaultUnavailable
from app.http.auth import StaticHeaders
from app.http.client import VaultHttpClient, create_client
from app.http.message import Effect, FixedHeaders, VaultReply, VaultRequest
from app.http.sent_call import SentCall
from app.http.settings import BreakerSettings, ProviderSettings
from app.telemetry.tracing import SAMPLED
from app.vault.provider import Call
from tests.support.raw_server import Answer, RawServer, ReceivedRequest, raw_server, reply
from tests.unit.test_http_client import Noted, Trace, in_turn

JSON = FixedHeaders({"accept": "application/json"})
READ = VaultRequest(method="GET", path="things/1", route="things/{id}", query=(("a b", "c"),), headers=JSON)


@asynccontextmanager
async def warm_client(
    answer: Callable[[ReceivedRequest], Awaitable[Answer]], observer: Noted | None = None, **settings: Any
) -> AsyncIterator[tuple[VaultHttpClient, RawServer]]:
    """A client with one open connection, whose headers have been checked by a first call."""
    is_first = True

    async def say(asked: ReceivedRequest) -> Answer:
        nonlocal is_first
        if is_first:
            is_first = False
            return reply(200, b"first")
        return await answer(asked)

    async with raw_server(say) as server:
        wanted = ProviderSettings(base_url=f"{server.url}/api/v1", **{"retries": 1, "deadline_s": 20.0, **settings})
        client = create_client("loanpro", wanted, StaticHeaders({"Authorization": "Bearer abcdef"}), observer)
        try:
            await client.send(READ, call())
            yield client, server
        finally:
            await client.close()


def call(**other: Any) -> Call:
    return Call(asyncio.get_running_loop().time() + 60, "req-1", **other)


async def begun(client: VaultHttpClient, request: VaultRequest = READ, given: Call | None = None) -> SentCall:
    """A call that was begun and is done."""
    done: asyncio.Future[SentCall] = asyncio.get_running_loop().create_future()
    sent = client.begin(request, given or call(), done.set_result)
    assert sent is not None
    assert await done is sent
    return sent


async def final(client: VaultHttpClient, sent: SentCall) -> VaultReply:
    return client.finish(sent) or await client.send(sent.request, sent.call, sent)


async def test_a_begun_call_sends_what_send_sends() -> None:
    noted = Noted()
    async with warm_client(in_turn(reply(200, b"x")), noted) as (client, server):
        given = call(trace=Trace(tracestate="vendor=1"))
        request = VaultRequest(
            method="GET",
            path="a.b/(1)",
            route="r",
            query=(("$filter", "id eq 7"),),
            headers=JSON,
            own_headers={"x-request-id": "theirs"},
        )
        await client.send(request, given)
        sent = await begun(client, request, given)
        assert (client.finish(sent), client.in_flight) == (VaultReply(200, sent.reply.head, b"x"), 0)  # type: ignore[union-attr]
        assert given.meter.calls == 2
    one, other = server.asked[1:]
    assert (one.target, one.headers, one.connection) == (other.target, other.headers, other.connection)
    assert noted.calls[1:] == [("loanpro", "r", "ok")] * 2


async def test_an_unusual_reply_goes_on_in_send() -> None:
    noted = Noted()
    async with warm_client(in_turn(reply(503), reply(200, b"later")), noted) as (client, server):
        given = call()
        sent = await begun(client, given=given)
        assert client.finish(sent) is None
        assert (await client.send(READ, given, sent)).body == b"later"
        assert (client.retries, client.in_flight, given.meter.calls) == (1, 0, 2)
    assert len(server.asked) == 3
    assert noted.calls[1:] == [("loanpro", "things/{id}", "ok")]


@pytest.mark.parametrize(("answer", "status"), [(reply(404), 404), (reply(302), 302), (reply(204, b""), 204)])
async def test_other_statuses_are_returned(answer: bytes, status: int) -> None:
    noted = Noted()
    async with warm_client(in_turn(answer), noted) as (client, server):
        assert (await final(client, await begun(client))).status == status
    assert len(server.asked) == 2
    assert noted.calls[1:] == [("loanpro", "things/{id}", "ok" if status < 400 else "client_error")]


async def test_a_lost_reply_is_asked_for_again_and_then_unavailable() -> None:
    noted = Noted()
    async with warm_client(in_turn(None), noted) as (client, server):
        with pytest.raises(VaultUnavailable):
            await final(client, await begun(client))
        assert client.in_flight == 0
    assert len(server.asked) == 3
    assert noted.calls[1:] == [("loanpro", "things/{id}", "unavailable")]


async def test_failures_of_begun_calls_open_the_circuit() -> None:
    breaker = BreakerSettings(minimum_calls=3, failure_ratio=0.5)
    async with warm_client(in_turn(reply(500)), retries=0, breaker=breaker) as (client, _):
        for _ in range(2):
            with pytest.raises(VaultUnavailable):
                await final(client, await begun(client))
        assert client.circuit == "OPEN"
        assert client.begin(READ, call(), lambda _: None) is None


async def test_a_cancelled_call_frees_its_place_and_closes_its_connection() -> None:
    noted, asked = Noted(), asyncio.Event()

    async def late(_: ReceivedRequest) -> Answer:
        asked.set()
        await asyncio.sleep(60)
        return None

    async with warm_client(late, noted) as (client, _):
        given, heard = call(), list[SentCall]()
        sent = client.begin(READ, given, heard.append)
        assert sent is not None
        assert client.in_flight == 1
        await asked.wait()
        sent.cancel()
        sent.cancel()
        await asyncio.sleep(0)
        assert (heard, client.in_flight, client.connections) == ([], 0, (0, 0))
    assert noted.calls[1:] == [("loanpro", "things/{id}", "cancelled")]


async def test_begin_leaves_to_send_what_is_not_ordinary() -> None:
    async with warm_client(in_turn(reply())) as (client, server):

        def is_sent(request: VaultRequest = READ, given: Call | None = None) -> bool:
            return client.begin(request, given or call(), lambda _: None) is not None

        def other(**changes: Any) -> VaultRequest:
            return VaultRequest(**{**{name: getattr(READ, name) for name in READ.__struct_fields__}, **changes})

        assert not is_sent(other(effect=Effect.WRITE))
        assert not is_sent(other(method="POST"))
        assert not is_sent(other(json={}))
        assert not is_sent(other(body=b""))
        assert not is_sent(other(raw_query="page=2"))
        assert not is_sent(other(headers={"accept": "application/json"}))
        assert not is_sent(other(headers=FixedHeaders({"accept": "text/plain"})))  # not checked by a `send` yet
        assert not is_sent(other(own_headers={"never-checked": "1"}))
        assert not is_sent(other(own_headers={"authorization": "Bearer other"}))
        assert not is_sent(other(own_headers={"x-request-id": "a\r\nhost: b"}))
        assert not is_sent(other(path="../admin"))
        assert not is_sent(other(path="a b"))
        assert not is_sent(given=replace(call(), request_id="ä"))
        assert not is_sent(given=replace(call(), deadline_at=0.0))
        assert len(server.asked) == 1
        assert is_sent()
        assert not is_sent()  # no connection is free


async def test_on_the_other_transport_nothing_is_begun() -> None:
    async with warm_client(in_turn(reply()), transport="aiohttp") as (client, _):
        assert client.begin(READ, call(), lambda _: None) is None


class Span:
    """Stands for a vault call's span; `ended` are the arguments of `end`."""

    trace = Trace()

    def __init__(self) -> None:
        self.ended: list[tuple[int | None, str, int]] = []

    def end(self, status: int | None, outcome: str, retries: int) -> None:
        self.ended.append((status, outcome, retries))


class Sampled:
    """Stands for a sampled request."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def begin_call(self, vault: str, base_url: str, method: str, route: str) -> Span:
        self.spans.append(Span())
        return self.spans[-1]


async def test_a_begun_call_of_a_sampled_request_has_one_span() -> None:
    async with warm_client(in_turn(reply(200), reply(503), reply(200), reply(200), b"")) as (client, server):
        await client.send(READ, call(trace=Trace()))  # checks the header
        sampled: Any = Sampled()
        token = SAMPLED.set(sampled)
        try:
            await final(client, await begun(client))  # retried
            await final(client, await begun(client))
            sent = client.begin(READ, call(), lambda _: None)
            assert sent is not None
            sent.cancel()
        finally:
            SAMPLED.reset(token)
    assert [one.ended for one in sampled.spans] == [[(200, "ok", 1)], [(200, "ok", 0)], [(None, "cancelled", 0)]]
    assert all(asked.headers["traceparent"] == Span.trace.traceparent for asked in server.asked[1:])
