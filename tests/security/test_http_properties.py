"""Random bytes, JSON and documents sent to the endpoint: never a 500, never a leak, always well-formed."""

import asyncio
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.asgi import Reply, call
from tests.support.gateway import RunningGateway
from tests.support.small_graph import SECRET, SmallKeeper, endpoint

ROOT = str(Path(__file__).parent.parent.parent).encode()
COMMON = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
APP = endpoint(SmallKeeper(), batch_items=5, max_in_flight=100)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
WORDS = st.sampled_from(
    [
        *"{}()[]:,!$@|&=#\n\\\x00",
        *("...", "query", "mutation", "subscription", "fragment", "on", "a", "hello", "number", "write", "count", "if"),
        *("__typename", "__schema", "__type", '"x"', '"""x"""', "1", "-1", "1.5", "true", "null", "$v", "@include"),
        *("@skip", "name", "value", "Query"),
    ]
)
HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)


def well(reply: Reply) -> None:
    assert reply.status in (200, 400, 401, 404, 405, 406, 408, 413, 415, 431), (reply.status, reply.body[:300])
    assert reply.headers["content-type"].split(";")[0] in ("application/json", "application/graphql-response+json")
    body = json.loads(reply.body)
    for one in body if isinstance(body, list) else [body]:
        assert "data" in one or one["errors"]
        for error in one.get("errors", []):
            assert isinstance(error["message"], str)
            assert len(error["message"]) < 1_000
            assert error["extensions"]["code"] != "INTERNAL_SERVER_ERROR", error
    for leak in (SECRET.encode(), b"Traceback", b"site-packages", b"object at 0x", ROOT):
        assert leak not in reply.body


def post(body: bytes, **headers: str) -> Reply:
    sent = {"authorization": "Bearer good", "content-type": "application/json", **headers}
    return asyncio.run(call(APP, "POST", "/graphql", body=body, headers=sent))


@COMMON
@given(st.binary(max_size=300))
def test_random_bytes(body: bytes) -> None:
    reply = post(body)
    assert reply.status == 400
    well(reply)


@COMMON
@given(VALUES)
def test_random_json(value: Any) -> None:
    well(post(json.dumps(value).encode()))


@COMMON
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("query", "variables", "operationName", "extensions", "documentId", "id"), VALUES),
    )
)
def test_requests_with_members_of_any_kind(value: dict[str, Any]) -> None:
    well(post(json.dumps(value).encode()))
    well(post(json.dumps([value]).encode()))


@COMMON
@given(st.lists(WORDS, max_size=40).map(" ".join), st.dictionaries(st.sampled_from("vwx"), VALUES, max_size=2))
def test_documents_of_graphql_words(query: str, variables: dict[str, Any]) -> None:
    well(post(json.dumps({"query": query, "variables": variables}).encode()))


@COMMON
@given(VALUES, st.sampled_from(["Int", "Int!", "[Int]", "String", "[String!]!", "Boolean", "ID", "Float"]))
def test_variables_of_any_value(value: Any, kind: str) -> None:
    text = f"query($v: {kind}) {{ hello(name: $v) number(value: $v) }}"
    well(post(json.dumps({"query": text, "variables": {"v": value}}).encode()))
    well(post(json.dumps({"query": f"query($v: {kind}) {{ hello }}", "variables": {"v": value}}).encode()))


@COMMON
@given(st.text(max_size=60))
def test_any_query_string(text: str) -> None:
    raw = "".join(f"%{byte:02x}" if byte > 0x7E or byte < 0x21 else chr(byte) for byte in text.encode())
    sent = {"authorization": "Bearer good"}
    reply = asyncio.run(call(APP, "GET", f"/graphql?query={raw.replace('#', '%23')}", headers=sent))
    well(reply)


@COMMON
@given(
    HEADER_TEXT,
    st.sampled_from(
        ["accept", "content-type", "content-length", "origin", "x-request-id", "accept-encoding", "host", "traceparent"]
    ),
)
def test_any_header(text: str, name: str) -> None:
    sent = {"authorization": "Bearer good", "content-type": "application/json", name: text}
    reply = asyncio.run(call(APP, "POST", "/graphql", body=b'{"query":"{hello}"}', headers=sent))
    well(reply)


@settings(COMMON, max_examples=40)
@given(VALUES)
def test_random_json_to_a_running_gateway(hostile: RunningGateway, value: Any) -> None:
    for body in (value, {"query": value}, {"query": "{viewer{partner}}", "variables": value}):
        reply = hostile.request("POST", "/graphql", json.dumps(body).encode(), {"content-type": "application/json"})
        well(Reply(reply.status, reply.headers, reply.raw))
