"""Server-sent events: one operation per response, bounded, with a defined end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.api.streams.sse import send_events
from app.api.streams.websocket import SocketLimits
from tests.security.test_http_requests import GOOD, codes
from tests.support.asgi import call
from tests.support.small_graph import SmallKeeper, endpoint

GOOD_JSON = {**GOOD, "content-type": "application/json"}
EVENTS = {**GOOD, "content-type": "application/json", "accept": "text/event-stream"}


def result(raw: bytes) -> list[tuple[str, str]]:
    """Events with their data, without comments."""
    found = []
    for block in raw.decode().split("\n\n"):
        lines = dict(line.split(":", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            found.append((lines["event"].strip(), lines.get("data", "").strip()))
    return found


async def test_a_subscription_is_streamed() -> None:
    keeper = SmallKeeper()
    reply = await call(
        endpoint(keeper), "POST", "/graphql", json={"query": "subscription{count(to:2)}"}, headers=EVENTS
    )
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in reply.headers
    events = result(reply.body)
    assert [event for event, _ in events] == ["next", "next", "complete"]
    assert '"data":{"count":1}' in events[1][1]
    assert keeper.seen.streams_open == 0


async def test_a_query_and_a_mutation_may_be_streamed_too() -> None:
    keeper = SmallKeeper()
    for query, data in (("{hello}", '"hello":"hello world"'), ('mutation{write(value:"x")}', '"write":"x"')):
        reply = await call(endpoint(keeper), "POST", "/graphql", json={"query": query}, headers=EVENTS)
        (first, body), (last, _) = result(reply.body)
        assert (first, last) == ("next", "complete")
        assert data in body
    assert keeper.seen.writes == ["x"]


async def test_a_subscription_works_by_get_and_as_second_choice_in_accept() -> None:
    path = "/graphql?query=subscription{count(to:1)}"
    headers = {**GOOD, "accept": "application/graphql-response+json, text/event-stream;q=0.5"}
    reply = await call(endpoint(), "GET", path, headers=headers)
    assert [event for event, _ in result(reply.body)] == ["next", "complete"]
    plain = await call(endpoint(), "POST", "/graphql", json={"query": "{hello}"}, headers=headers)
    assert plain.headers["content-type"].startswith("application/graphql-response+json")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "BAD_REQUEST"),
        (b'{"query":"{"}', 400, "GRAPHQL_PARSE_FAILED"),
        (b'{"query":"subscription{a:count(to:1) b:count(to:1)}"}', 400, "GRAPHQL_VALIDATION_FAILED"),
        (b'[{"query":"{hello}"}]', 406, "NOT_ACCEPTABLE"),
    ],
)
async def test_a_refusal_is_not_a_stream(body: bytes, status: int, code: str) -> None:
    reply = await call(endpoint(), "POST", "/graphql", body=body, headers=EVENTS)
    assert (reply.status, codes(reply)) == (status, [code])
    assert reply.headers["content-type"] == "application/json; charset=utf-8"


async def test_the_source_ends_when_the_client_leaves() -> None:
    keeper = SmallKeeper()
    sent, stream = await opened(endpoint(keeper), "subscription{count(to:100000,seconds:0.01)}", leaves_after=3)
    await asyncio.wait_for(stream, 60)
    assert keeper.seen.streams_open == 0
    assert 3 <= len([one for one in sent if b"event: next" in one.get("body", b"")]) < 100


async def test_a_client_that_does_not_read_is_disconnected() -> None:
    keeper = SmallKeeper()
    sent, stream = await opened(endpoint(keeper, send_timeout_s=0.1), "subscription{flood}", blocks_after=3)
    await asyncio.wait_for(stream, 60)
    assert keeper.seen.streams_open == 0
    assert len(sent) == 4


async def test_draining_cuts_the_stream_off() -> None:
    """After ``complete`` no client would reconnect."""
    keeper = SmallKeeper()
    app = endpoint(keeper)
    sent, stream = await opened(app, "subscription{count(to:100000,seconds:0.01)}")
    while len(sent) < 4:
        await asyncio.sleep(0.01)
    app.begin_drain()
    await asyncio.wait_for(stream, 60)
    assert sent[-1]["body"].startswith(b"event: next")
    assert sent[-1]["more_body"]
    assert keeper.seen.streams_open == 0


async def test_no_stream_starts_during_shutdown() -> None:
    app = endpoint()
    app.begin_drain()
    reply = await call(app, "POST", "/graphql", json={"query": "subscription{count(to:1)}"}, headers=EVENTS)
    assert (reply.status, codes(reply), reply.headers["connection"]) == (503, ["OVERLOADED"], "close")
    assert (await call(app, "POST", "/graphql", json={"query": "{hello}"}, headers=GOOD_JSON)).status == 200


async def opened(
    app: Any, query: str, *, leaves_after: int | None = None, blocks_after: int | None = None
) -> tuple[list[Any], "asyncio.Task[None]"]:
    """A running stream: the messages sent so far, and its task."""
    sent: list[Any] = []
    inbox = [{"type": "http.request", "body": f'{{"query":"{query}"}}'.encode(), "more_body": False}]
    left = asyncio.Event()

    async def receive() -> Any:
        if inbox:
            return inbox.pop(0)
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if leaves_after is not None and len(sent) > leaves_after + 2:
            left.set()
        if blocks_after is not None and len(sent) > blocks_after:
            await asyncio.sleep(3600)

    headers = [(name.encode(), value.encode()) for name, value in EVENTS.items()]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
    return sent, asyncio.create_task(app(scope, receive, send))


async def test_streams_are_limited_per_caller_and_cause_no_load_shedding() -> None:
    app = endpoint(max_in_flight=1, sockets=SocketLimits(operations_per_caller=2))
    endless = "subscription{count(to:100000,seconds:0.01)}"
    started = [await opened(app, endless) for _ in range(2)]
    streams = [stream for _, stream in started]
    while not all(sent for sent, _ in started):
        await asyncio.sleep(0.01)
    refused = await call(app, "POST", "/graphql", json={"query": endless}, headers=EVENTS)
    assert (refused.status, codes(refused)) == (429, ["THROTTLED"])
    plain = await call(app, "POST", "/graphql", json={"query": "{hello}"}, headers={**EVENTS, "accept": "*/*"})
    assert plain.status == 200
    app.begin_drain()
    await asyncio.wait_for(asyncio.gather(*streams), 60)
    assert (await call(app, "POST", "/graphql", json={"query": "{hello}"}, headers=EVENTS)).status == 200


async def test_losing_access_ends_the_stream() -> None:
    welcome = [True, True, False]
    sent: list[Any] = []

    async def endless() -> AsyncIterator[dict[str, Any]]:
        while True:
            await asyncio.sleep(0.01)
            yield {"data": None}

    async def receive() -> Any:
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)

    async def is_still_welcome() -> bool:
        return welcome.pop(0)

    streaming = send_events(
        endless(), receive, send, [], asyncio.Event(),
        send_within_s=1, is_still_welcome=is_still_welcome, look_every_s=0.03,
    )  # fmt: skip
    await asyncio.wait_for(streaming, 60)
    assert welcome == []
    assert sent[-1]["body"].startswith(b"event: next")
    assert sent[-1]["more_body"], "cut off, not completed"
