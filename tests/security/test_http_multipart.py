"""Subscriptions over multipart/mixed: the same stream as with server-sent events."""

import asyncio
import json
from typing import Any

import pytest

from app.api.negotiation import Accepted, AnswerType, Parts, PartsFormat, StreamType, accepted
from tests.security.test_http_requests import GOOD, codes
from tests.support.asgi import call
from tests.support.small_graph import SmallKeeper, endpoint

APOLLO = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json"
PARTS = {**GOOD, "content-type": "application/json", "accept": APOLLO}


def parts(raw: bytes) -> list[Any]:
    """The parts' bodies, parsed as the multipart specification says, without heartbeats."""
    preamble, *found, ending = (b"\r\n" + raw).split(b"\r\n--graphql")
    assert (preamble, ending) == (b"", b"--\r\n")
    bodies = []
    for part in found:
        head, _, body = part.partition(b"\r\n\r\n")
        assert head == b"\r\ncontent-type: application/json"
        bodies.append(json.loads(body))
    return [body["payload"] for body in bodies if body]


async def test_a_subscription_is_sent_as_multipart() -> None:
    keeper = SmallKeeper()
    query = {"query": "subscription{count(to:3)}"}
    reply = await call(endpoint(keeper), "POST", "/graphql", json=query, headers=PARTS)
    assert reply.status == 200
    assert reply.headers["content-type"] == 'multipart/mixed; boundary="graphql"; subscriptionSpec="1.0"'
    assert reply.headers["cache-control"] == "no-store"
    assert [body["data"] for body in parts(reply.body)] == [{"count": number} for number in range(3)]
    assert keeper.seen.streams_open == 0


async def test_a_query_is_json_unless_only_multipart_is_accepted() -> None:
    reply = await call(endpoint(), "POST", "/graphql", json={"query": "{hello}"}, headers=PARTS)
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    alone = {**PARTS, "accept": "multipart/mixed;subscriptionSpec=1.0"}
    reply = await call(endpoint(), "POST", "/graphql", json={"query": "{hello}"}, headers=alone)
    assert [body["data"] for body in parts(reply.body)] == [{"hello": "hello world"}]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"query":"subscription{"}', 400, "GRAPHQL_PARSE_FAILED"),
        (b'{"query":"subscription{nothing}"}', 400, "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_a_refusal_is_not_a_stream(body: bytes, status: int, code: str) -> None:
    headers = {**PARTS, "accept": "multipart/mixed;subscriptionSpec=1.0"}
    reply = await call(endpoint(), "POST", "/graphql", body=body, headers=headers)
    assert (reply.status, codes(reply)) == (status, [code])


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (APOLLO, Accepted(AnswerType.JSON, StreamType.MULTIPART)),
        ('Multipart/Mixed; subscriptionSpec="1.0"; boundary="graphql"', Accepted(None, StreamType.MULTIPART)),
        ("multipart/mixed;subscriptionSpec=1.0, text/event-stream", Accepted(None, StreamType.EVENTS)),
        ("text/event-stream, multipart/mixed;subscriptionSpec=1.0", Accepted(None, StreamType.EVENTS)),
        ("multipart/mixed;subscriptionSpec=1.0;q=0, application/json", Accepted(AnswerType.JSON)),
        ("multipart/mixed;deferSpec=20220824, application/json", Accepted(AnswerType.JSON)),
        ("multipart/mixed;subscriptionSpec=2.0", Accepted(None)),
        ("multipart/mixed;boundary=other;subscriptionSpec=1.0", Accepted(None)),
        ("multipart/mixed", Accepted(None)),
    ],
)
def test_accept_headers_for_multipart_subscriptions(accept: str, expected: Accepted) -> None:
    found = accepted(accept)
    assert (found.answer, found.stream) == (expected.answer, expected.stream)


URQL = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed"
BY_PATH, BY_ID = (Parts(StreamType.MULTIPART, format) for format in PartsFormat)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("multipart/mixed;deferSpec=20220824,application/json;q=0.9", BY_PATH),
        ('Multipart/Mixed; boundary="-"; deferSpec="20220824"', BY_PATH),
        ("multipart/mixed;incrementalSpec=v0.2,application/json;q=0.9", BY_ID),
        ("multipart/mixed;incrementalSpec=v0.2;q=0.5,multipart/mixed;deferSpec=20220824", BY_PATH),
        (URQL, BY_PATH),
        ("text/event-stream", Parts(StreamType.EVENTS, PartsFormat.PATHS)),
        ("text/event-stream;incrementalSpec=v0.2", Parts(StreamType.EVENTS, PartsFormat.IDS)),
        ("text/event-stream, multipart/mixed;q=0.5", Parts(StreamType.EVENTS, PartsFormat.PATHS)),
        ("application/json, multipart/mixed;q=0.9", None),
        ("*/*, multipart/mixed;q=0.9", None),
        ("multipart/mixed;q=0", None),
        ("multipart/mixed;deferSpec=20990101", None),
        ("multipart/mixed;incrementalSpec=v9", None),
        (APOLLO, None),
        ("*/*", None),
    ],
)
def test_accept_headers_for_parts(accept: str, expected: Parts | None) -> None:
    assert accepted(accept).parts == expected


async def test_a_client_that_accepts_parts_alone_gets_one_part() -> None:
    for accept in ("multipart/mixed;deferSpec=20220824", "multipart/mixed;incrementalSpec=v0.2"):
        headers = {**PARTS, "accept": accept}
        reply = await call(endpoint(), "POST", "/graphql", json={"query": "{hello}"}, headers=headers)
        assert (reply.status, reply.headers["content-type"]) == (
            200,
            f'multipart/mixed; boundary="graphql"; {accept[16:]}',
        )
        preamble, part, ending = (b"\r\n" + reply.body).split(b"\r\n--graphql")
        assert (preamble, ending) == (b"", b"--\r\n")
        body = json.loads(part.partition(b"\r\n\r\n")[2])
        assert (body["data"], body["hasNext"]) == ({"hello": "hello world"}, False)


async def test_a_subscription_needs_a_matching_accept_header() -> None:
    headers = {**PARTS, "accept": "multipart/mixed;deferSpec=20220824,application/json"}
    reply = await call(endpoint(), "POST", "/graphql", json={"query": "subscription{count(to:1)}"}, headers=headers)
    assert (reply.status, codes(reply)) == (406, ["NOT_ACCEPTABLE"])


async def test_draining_ends_with_an_error_and_no_payload() -> None:
    """After an error, Apollo Client's RetryLink subscribes again; after a plain end it would not."""
    app = endpoint()
    endless = {"query": "subscription{count(to:100000,seconds:0.01)}"}
    asking = asyncio.create_task(call(app, "POST", "/graphql", json=endless, headers=PARTS))
    await asyncio.sleep(0.1)
    app.begin_drain()
    reply = await asyncio.wait_for(asking, 60)
    *_, last, ending = reply.body.split(b"\r\n--graphql")
    assert ending == b"--\r\n"
    result = json.loads(last.partition(b"\r\n\r\n")[2])
    assert result["payload"] is None
    assert [error["extensions"]["code"] for error in result["errors"]] == ["OVERLOADED"]
