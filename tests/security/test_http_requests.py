"""Valid and invalid requests to the endpoint, in process, on a small schema."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from tests.support.asgi import HOST, call
from tests.support.small_graph import SECRET, SmallKeeper, endpoint
from tests.support.small_requests import GOOD, JSON, PLAIN, codes, get, post


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "BAD_REQUEST"),
        (b"{{{", "BAD_REQUEST"),
        (b"null", "BAD_REQUEST"),
        (b"1", "BAD_REQUEST"),
        (b'"x"', "BAD_REQUEST"),
        (b"true", "BAD_REQUEST"),
        (b"{}", "BAD_REQUEST"),
        (b"[]", "BAD_REQUEST"),
        (b"[1,2]", "BATCH_LIMIT"),
        (b'[{"query":"{hello}"}]', "BATCH_LIMIT"),
        (b'{"query":5}', "BAD_REQUEST"),
        (b'{"query":""}', "GRAPHQL_PARSE_FAILED"),
        (b'{"query":"{hello}","query":"mutation{write(value:1)}"}', "BAD_REQUEST"),
        (b'{"query":"{hello}","qu\\u0065ry":"mutation{write(value:1)}"}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":1,"a":2}}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":[{"b":{"c":1,"d":2,"c":3}}]}}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":NaN}}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":Infinity}}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":-Infinity}}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":1e999}}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":"\\ud800"}}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":{"a":"\xff"}}', "BAD_REQUEST"),
        (b'\xef\xbb\xbf{"query":"{hello}"}', "BAD_REQUEST"),
        ('{"query":"{hello}"}'.encode("utf-16"), "BAD_REQUEST"),
        (b'{"query":"{hello}"} {"query":"{hello}"}', "BAD_REQUEST"),
        (b'{"query":"{hello}",}', "BAD_REQUEST"),
        (b"{'query':'{hello}'}", "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", "VARIABLES_LIMIT"),
        (b'{"query":"{hello}","variables":{"a":' + b"[" * 100_000 + b"}}", "VARIABLES_LIMIT"),
        (b"[" * 100_000, "VARIABLES_LIMIT"),
        (b'{"query":"{hello}","variables":[]}', "BAD_REQUEST"),
        (b'{"query":"{hello}","variables":"{}"}', "BAD_REQUEST"),
        (b'{"query":"{hello}","extensions":1}', "BAD_REQUEST"),
        (b'{"query":"{hello}","operationName":{"a":"s3cret-value"}}', "BAD_REQUEST"),
        (b'{"query":"query a{hello} query b{hello}"}', "OPERATION_RESOLUTION_FAILURE"),
        (b'{"query":"query a{hello}","operationName":"s3cret-value"}', "OPERATION_RESOLUTION_FAILURE"),
        (b'{"query":"fragment f on Query{hello}"}', "GRAPHQL_VALIDATION_FAILED"),
        (b'{"query":"{hello}","documentId":"a","id":"b"}', "BAD_REQUEST"),
        (b'{"query":"subscription{count(to:1)}"}', "NOT_ACCEPTABLE"),
        (b'{"query":"type Query{a:Int}"}', "GRAPHQL_VALIDATION_FAILED"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else value,
)
async def test_malformed_requests_are_refused_in_json(raw: bytes, code: str) -> None:
    keeper = SmallKeeper()
    reply = await post(raw, endpoint(keeper))
    assert codes(reply) == [code]
    assert 400 <= reply.status < 500
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["x-request-id"] == reply.json()["extensions"]["requestId"]
    assert "data" not in reply.json()
    assert b"s3cret" not in reply.body
    assert keeper.seen.reads == 0
    assert keeper.seen.writes == []


@pytest.mark.parametrize("open_bracket", [b'{"a":', b"["])
async def test_deep_json_is_refused_at_once_even_with_misleading_escapes(open_bracket: bytes) -> None:
    raw = b'{"query":"{hello}","variables":{"x":"' + b'\\"' * 50_000 + b'","y":' + open_bracket * 20_000
    reply = await asyncio.wait_for(post(raw), 2)
    assert reply.status == 400


async def test_brackets_within_strings_do_not_count_as_nesting() -> None:
    raw = json.dumps({"query": "query($n:String!){hello(name:$n)}", "variables": {"n": "[{" * 500 + '\\"'}}).encode()
    assert (await post(raw)).status == 200


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json+x",
        "application/graphql",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "text/plain, application/json",
        "text/plain; application/json",
    ],
)
async def test_only_json_in_utf_8_is_read(content_type: str | None) -> None:
    keeper = SmallKeeper()
    headers = {**GOOD} if content_type is None else {**GOOD, "content-type": content_type}
    body = b'{"query":"mutation{write(value:\\"x\\")}"}'
    reply = await call(endpoint(keeper), "POST", "/graphql", body=body, headers=headers)
    assert (reply.status, codes(reply)) == (415, ["UNSUPPORTED_MEDIA_TYPE"])
    assert keeper.seen.writes == []


@pytest.mark.parametrize("content_type", ["application/json;charset=UTF-8", 'Application/JSON; charset="utf-8"'])
async def test_json_may_declare_its_charset(content_type: str) -> None:
    assert (await post({"query": "{hello}"}, headers={"content-type": content_type})).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity"])
async def test_compressed_bodies_are_refused(encoding: str) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    reply = await post(bomb, headers={"content-encoding": encoding})
    assert (reply.status, codes(reply)) == (415, ["UNSUPPORTED_MEDIA_TYPE"])


async def test_a_body_over_the_limit_is_refused_by_its_content_length() -> None:
    app = endpoint(body_bytes=2_000)
    reply = await post(b"", app, {"content-length": "2001"})
    assert (reply.status, codes(reply)) == (413, ["BODY_LIMIT"])
    assert (await post(b"", app, {"content-length": "9" * 5000})).status == 413
    assert (await post({"query": "{hello}"}, app, {"content-length": "19"})).status == 200


async def test_a_body_over_the_limit_is_refused_while_it_streams() -> None:
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b"x" * 1_000, "more_body": True}

    replied = await raw_call(endpoint(body_bytes=2_500), receive)
    assert replied[0]["status"] == 413
    assert sent == 3


async def test_a_missing_body_times_out() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    replied = await raw_call(endpoint(body_timeout_s=0.02), receive)
    assert replied[0]["status"] == 408
    assert (b"connection", b"close") in replied[0]["headers"]


async def test_a_disconnect_during_the_body_gets_no_response() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert await raw_call(endpoint(), receive) == []


async def raw_call(app: Any, receive: Any) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in JSON.items()]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "HEAD", "PROPFIND", "get"])
async def test_other_methods_are_refused(method: str) -> None:
    reply = await call(endpoint(), method, "/graphql?query={hello}", headers=JSON)
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, POST, OPTIONS"
    if method == "HEAD":
        assert reply.body == b""
    else:
        assert codes(reply) == ["METHOD_NOT_ALLOWED"]


async def test_a_mutation_by_get_is_refused() -> None:
    keeper = SmallKeeper()
    reply = await get("query=mutation{write(value:%22x%22)}", endpoint(keeper))
    assert (reply.status, codes(reply), reply.headers["allow"]) == (405, ["METHOD_NOT_ALLOWED"], "POST")
    named = "query=query%20a{hello}%20mutation%20b{write(value:%22x%22)}&operationName=b"
    assert (await get(named, endpoint(keeper))).status == 405
    assert keeper.seen.writes == []


@pytest.mark.parametrize(
    "query",
    [
        "query={hello}&query={__typename}",
        "query={hello}&variables={",
        "query={hello}&variables=[]",
        "query={hello}&variables=1",
        "query={hello}&extensions=x",
        "query={hello}&variables={%22a%22:1,%22a%22:2}",
        "query=%ff",
        "operationName=x",
        "",
        "&".join(f"a{n}=1" for n in range(60)),
    ],
)
async def test_malformed_gets_are_refused(query: str) -> None:
    reply = await get(query)
    assert (reply.status, codes(reply)) == (400, ["BAD_REQUEST"])


async def test_a_get_is_answered() -> None:
    reply = await get("query=query($n:String!){hello(name:$n)}&variables={%22n%22:%22you%22}")
    assert reply.json()["data"] == {"hello": "hello you"}
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("accept", ["text/html", "text/plain", "image/png, text/*", "application/xml;q=0.9", ",", ";"])
async def test_unsupported_media_types_are_not_acceptable(accept: str) -> None:
    reply = await post({"query": "{hello}"}, headers={"accept": accept})
    assert (reply.status, codes(reply)) == (406, ["NOT_ACCEPTABLE"])


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("application/graphql-response+json", "application/graphql-response+json"),
        ("application/graphql-response+json, application/json;q=0.9", "application/graphql-response+json"),
        ("application/json;q=0.5, application/graphql-response+json", "application/graphql-response+json"),
        ("application/json, application/graphql-response+json", "application/json"),
        ("application/graphql-response+json;q=0, application/json", "application/json"),
        ("application/json;q=0, */*", "application/graphql-response+json"),
        ("application/json; charset=utf-8", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("multipart/mixed, application/graphql-response+json", "application/graphql-response+json"),
    ],
)
async def test_negotiation(accept: str | None, content_type: str) -> None:
    reply = await post({"query": "{hello}"}, headers={} if accept is None else {"accept": accept})
    assert (reply.status, reply.headers["content-type"]) == (200, f"{content_type}; charset=utf-8")


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{", {}),
        ("{nothing}", {}),
        ("query($v:Int!){number(value:$v)}", {"v": "s3cret"}),
        ('{number(value:"s3cret")}', {}),
    ],
)
async def test_a_refused_documents_status_depends_on_the_media_type(query: str, variables: dict[str, Any]) -> None:
    for accept, status in (
        ("application/json", 200),
        ("*/*", 400),
        ("application/graphql-response+json", 400),
    ):
        reply = await post({"query": query, "variables": variables}, headers={"accept": accept})
        assert reply.status == status, accept
        assert "data" not in reply.json()
        assert b"s3cret" not in reply.body


async def test_a_partial_answer_is_200_with_its_data() -> None:
    reply = await post({"query": "{hello maybeCrash}"}, headers={"accept": "application/graphql-response+json"})
    assert reply.status == 200
    assert reply.json()["data"] == {"hello": "hello world", "maybeCrash": None}


@pytest.mark.parametrize(
    ("document", "name", "message"),
    [
        ("query a{hello} query b{hello}", None, "The document contains several operations: name one of them."),
        ("query a{hello} query b{hello}", "c", "The document contains no operation of this name."),
        ("query a{hello}", "c", "The document contains no operation of this name."),
        ("{hello}", "c", "The document contains no operation of this name."),
    ],
)
async def test_errors_of_the_operation_name(document: str, name: str | None, message: str) -> None:
    reply = await post({"query": document, "operationName": name})
    assert codes(reply) == ["OPERATION_RESOLUTION_FAILURE"]
    assert reply.json()["errors"][0]["message"] == message


async def test_headers_that_must_not_be_repeated() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b'{"query":"{hello}"}', "more_body": False}

    for name in ("authorization", "content-type", "host", "x-api-key"):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        pairs = [(key.encode(), value.encode()) for key, value in JSON.items()]
        headers = [*pairs, (name.encode(), b"application/json"), (name.encode(), b"x")]
        scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
        await endpoint()(scope, receive, send)
        assert sent[0]["status"] == 400, name


@pytest.mark.parametrize("given", ["abcd-1234_EF", "x" * 128])
async def test_a_plain_request_id_is_kept(given: str) -> None:
    reply = await post({"query": "{hello}"}, headers={"x-request-id": given})
    assert reply.headers["x-request-id"] == given
    assert reply.json()["extensions"]["requestId"] == given


@pytest.mark.parametrize(
    "given", ["short", "x" * 129, "abcd 12345", "abcd\r\nset-cookie: a=b", "<script>alert</script>", "ä" * 20]
)
async def test_a_malformed_request_id_is_replaced(given: str) -> None:
    sent = given.encode("utf-8").decode("latin-1")
    reply = await post({"query": "{hello}"}, headers={"x-request-id": sent})
    assert reply.headers["x-request-id"] != sent
    assert len(reply.headers["x-request-id"]) == 32


async def test_a_batch_runs_only_if_batches_are_enabled() -> None:
    keeper = SmallKeeper()
    app = endpoint(keeper, batch_items=3)
    three = [{"query": "{hello}"}, {"query": 5}, {"query": 'mutation{write(value:"a")}'}]
    reply = await post(three, app)
    assert reply.status == 200
    first, second, third = reply.json()
    assert first["data"] == {"hello": "hello world"}
    assert [error["extensions"]["code"] for error in second["errors"]] == ["BAD_REQUEST"]
    assert third["data"] == {"write": "a"}
    assert len(keeper.admitted) == 2  # each item passes limits, cost and rate by itself


async def test_a_batch_over_its_limit_runs_nothing() -> None:
    keeper = SmallKeeper()
    reply = await post([{"query": 'mutation{write(value:"a")}'}] * 4, endpoint(keeper, batch_items=3))
    assert (reply.status, codes(reply)) == (400, ["BATCH_LIMIT"])
    assert keeper.seen.writes == []


async def test_an_invalid_batch_is_a_bad_request() -> None:
    reply = await post([1, 2], endpoint(batch_items=3))
    assert reply.status == 400
    assert [one["errors"][0]["extensions"]["code"] for one in reply.json()] == ["BAD_REQUEST", "BAD_REQUEST"]


async def test_introspection_is_refused_in_every_form() -> None:
    query = "{__schema{types{name}}}"
    keeper = SmallKeeper()
    app = endpoint(keeper, batch_items=3)
    assert codes(await post({"query": query}, app, PLAIN)) == ["INTROSPECTION_DISABLED"]
    assert codes(await get(f"query={query}", app, PLAIN)) == ["INTROSPECTION_DISABLED"]
    streamed = await post({"query": query}, app, {**PLAIN, "accept": "text/event-stream"})
    assert codes(streamed) == ["INTROSPECTION_DISABLED"]
    (item,) = (await post([{"query": query}], app, PLAIN)).json()
    assert item["errors"][0]["extensions"]["code"] == "INTROSPECTION_DISABLED"
    assert (await post({"query": query}, app)).json()["data"]["__schema"]["types"]


async def test_nothing_is_suggested_outside_development() -> None:
    for query in ("{helo}", "{number(valu:1)}", "mutation{writ}", "{...on Quer{hello}}", "{hello{a}}", "{number}"):
        reply = await post({"query": query})
        assert codes(reply)[0] == "GRAPHQL_VALIDATION_FAILED"
        assert b"Did you mean" not in reply.body, query


async def test_a_crash_is_masked_and_logged_without_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    reply = await post({"query": "{hello crash}"}, headers={"x-request-id": "request-one"})
    assert reply.status == 200
    (error,) = reply.json()["errors"]
    assert error["message"] == "Unexpected error."
    assert error["path"] == ["crash"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "request-one"}
    assert "request-one" in caplog.text
    assert "RuntimeError" in caplog.text
    assert "4111111111111111" not in caplog.text
    for leak in (SECRET, "10.1.2.3", "4111", "RuntimeError", "Traceback"):
        assert leak.encode() not in reply.body


async def test_a_bug_in_the_endpoint_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = SmallKeeper()

    async def broken(*_: object) -> None:
        raise RuntimeError(f"{SECRET} at /srv/app/secret.py")

    monkeypatch.setattr(keeper, "document", broken)
    reply = await post({"query": "{hello}"}, endpoint(keeper))
    assert (reply.status, codes(reply)) == (500, ["INTERNAL_SERVER_ERROR"])
    assert SECRET.encode() not in reply.body
    assert b"/srv" not in reply.body


async def test_lone_surrogates_in_a_response_are_encoded() -> None:
    reply = await post({"query": "{odd}"})
    assert reply.status == 200
    assert b"\\ud800" in reply.body


async def test_over_the_limit_requests_are_shed_at_once_and_it_recovers() -> None:
    app = endpoint(max_in_flight=2)
    slow = [asyncio.create_task(post({"query": "{slow(seconds:1)}"}, app)) for _ in range(2)]
    while app.in_flight < 2:
        await asyncio.sleep(0)
    shed = await post({"query": "{hello}"}, app)
    assert not any(task.done() for task in slow), "it was not queued"
    assert (shed.status, codes(shed), shed.headers["retry-after"]) == (503, ["OVERLOADED"], "1")
    assert [reply.status for reply in await asyncio.gather(*slow)] == [200, 200]
    assert (await post({"query": "{hello}"}, app)).status == 200


async def test_a_query_ends_when_its_client_leaves_and_a_mutation_does_not() -> None:
    async def leave_after(body: bytes, seconds: float) -> list[Any]:
        inbox = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if inbox:
                return inbox.pop(0)
            await asyncio.sleep(seconds)
            return {"type": "http.disconnect"}

        return await raw_call(app, receive)

    keeper = SmallKeeper()
    app = endpoint(keeper)
    assert await asyncio.wait_for(leave_after(b'{"query":"{slow(seconds:30)}"}', 0.05), 60) == []
    assert keeper.seen.cancelled == 1
    await leave_after(b'{"query":"mutation{write(value:\\"kept\\",seconds:0.2)}"}', 0.05)
    assert keeper.seen.writes == ["kept"]


async def test_only_large_query_responses_are_compressed() -> None:
    app = endpoint()
    taken = {"accept-encoding": "br, gzip"}
    long = await post({"query": "{long(size:5000)}"}, app, taken)
    assert long.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(long.body))["data"] == {"long": "x" * 5000}
    assert int(long.headers["content-length"]) == len(long.body) < 1000
    assert "accept-encoding" in long.headers["vary"]
    for query, headers in (
        ("{hello}", taken),
        ("{long(size:5000)}", {}),
        ("{long(size:5000)}", {"accept-encoding": "gzip;q=0, br"}),
        ("{long(size:5000)}", {"accept-encoding": "identity"}),
        ('mutation{write(value:"' + "x" * 5000 + '")}', taken),
    ):
        assert "content-encoding" not in (await post({"query": query}, app, headers)).headers, (query[:20], headers)
    huge = await post({"query": "{long(size:400000)}"}, app, taken)
    assert len(json.loads(gzip.decompress(huge.body))["data"]["long"]) == 400_000


async def test_unauthenticated_callers_learn_nothing_about_the_document() -> None:
    for body in (b'{"query":"{hello}"}', b'{"query":"{"}', b"{"):
        reply = await post(body, headers={"authorization": "Bearer nobody"})
        assert (reply.status, codes(reply)) == (401, ["UNAUTHENTICATED"])


async def test_trace_and_debug_headers_change_nothing() -> None:
    plain = (await post({"query": "{hello}"})).json()
    for name in ("apollo-federation-include-trace", "apollo-tracing", "x-debug", "x-apollo-tracing"):
        traced = (await post({"query": "{hello}"}, headers={name: "ftv1"})).json()
        assert traced["extensions"].keys() == plain["extensions"].keys()


def test_the_test_callers_host_is_as_assumed() -> None:
    assert HOST == "sandbox.test"
