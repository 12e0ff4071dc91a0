"""`POST /mcp` refuses what is malformed, foreign, too large or without credentials, and never quotes it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import leaks
from tests.support.agents import DOCUMENTS, FOR_AGENTS, SCOPES, SET_DEFAULT, agent
from tests.support.gateway import GraphQLReply, RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.partners import PartnerApp

PAN = "4012888888881881"
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
NEWEST = "2026-07-28"
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
META = {
    "io.modelcontextprotocol/protocolVersion": NEWEST,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}
SETTING = {"customer": "a", "method": "b"}
METADATA = "/.well-known/oauth-protected-resource"


@pytest.fixture
def acme(start_gateway: StartGateway) -> Iterator[PartnerApp]:
    leaks.note(PAN)
    gateway = start_gateway(**patient())
    gateway.headers = {}
    yield PartnerApp(gateway, "acme", scopes=SCOPES, documents=DOCUMENTS, agents=FOR_AGENTS)
    gateway.headers = {"authorization": f"Bearer {gateway.token()}"}
    assert gateway.query("{ viewer { partner } }").status == 200  # still serving


def post(acme: PartnerApp, body: bytes, **headers: str) -> GraphQLReply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return acme.gateway.request("POST", "/mcp", body, {**JSON, **acme.headers, **named})


MESSAGES: dict[str, Any] = {
    "no object": [1],
    "a batch": [CALL],
    "null": None,
    "text": PAN,
    "empty": {},
    "another version": {**CALL, "jsonrpc": PAN},
    "no method": {"jsonrpc": "2.0", "id": 1},
    "a method with digits": {**CALL, "method": f"tools/{PAN}"},
    "a method as object": {**CALL, "method": {"a": PAN}},
    "a long method": {**CALL, "method": "a" * 10_000},
    "an unknown method": {**CALL, "method": "tools/forget"},
    "a method of others": {**CALL, "method": "resources/read", "params": {"uri": f"file:///{PAN}"}},
    "an id that is a card number": {**CALL, "id": PAN},
    "an id as number": {**CALL, "id": int(PAN)},
    "an id as object": {**CALL, "id": {"a": PAN}},
    "an id as true": {**CALL, "id": True},
    "a long id": {**CALL, "id": "a" * 10_000},
    "params as list": {**CALL, "params": [PAN]},
    "params as text": {**CALL, "params": PAN},
    "a response": {"jsonrpc": "2.0", "id": 1, "result": {"a": PAN}},
    "an error": {"jsonrpc": "2.0", "id": 1, "method": "ping", "error": {"code": 1, "message": PAN}},
    "no tool": {**CALL, "params": {}},
    "an unknown tool": {**CALL, "params": {"name": PAN}},
    "a tool as list": {**CALL, "params": {"name": [PAN]}},
    "a tool as document text": {**CALL, "params": {"name": "{ customer(id: 1) { name } }"}},
    "arguments as text": {**CALL, "params": {"name": "Wallet", "arguments": PAN}},
    "arguments as list": {**CALL, "params": {"name": "Wallet", "arguments": [PAN]}},
    "an argument's name": {**CALL, "params": {"name": "Wallet", "arguments": {PAN: 1, "customer": "a"}}},
    "a card number": {**CALL, "params": {"name": "Wallet", "arguments": {"customer": PAN}}},
    "a meta key": {**CALL, "params": {"name": "Delete", "arguments": {"input": {"id": "a"}}, "_meta": {PAN: PAN}}},
    "meta as text": {**CALL, "params": {"name": "Wallet", "_meta": PAN}},
    "a retry with a card number": {
        **CALL,
        "params": {"name": "SetDefault", "arguments": SETTING, "_meta": {"vaultgraph/idempotencyKey": [PAN]}},
    },
    "a retry with a card number as text": {
        **CALL,
        "params": {"name": "SetDefault", "arguments": SETTING, "_meta": {"vaultgraph/idempotencyKey": PAN}},
    },
    "a retry of a malformed call": {
        **CALL,
        "params": {"name": "SetDefault", "arguments": {}, "_meta": {"vaultgraph/idempotencyKey": PAN}},
    },
    "a cursor": {**CALL, "method": "tools/list", "params": {"cursor": {"a": PAN}}},
    "a version to start with": {**CALL, "method": "initialize", "params": {"protocolVersion": PAN}},
    "a task": {**CALL, "params": {"name": "Wallet", "task": PAN}},
}  # fmt: skip


def test_hostile_messages_are_refused_and_never_quoted(acme: PartnerApp) -> None:
    for name, message in MESSAGES.items():
        for version in (None, NEWEST, "2025-06-18", "1999-01-01", "2999-01-01"):
            headers = {} if version is None else {"mcp_protocol_version": version}
            if version == NEWEST and isinstance(message, dict) and isinstance(message.get("params"), dict):
                message = {**message, "params": {"_meta": META, **message["params"]}}
                headers |= {"mcp_method": "tools/call", "mcp_name": PAN}
            reply = post(acme, json.dumps(message).encode(), **headers)
            assert reply.status in (200, 202, 400, 404), (name, version)
            assert PAN not in reply.raw.decode(), (name, version)
            if reply.status != 202:
                body = reply.body
                assert body["jsonrpc"] == "2.0"
                is_error = "error" in body or body["result"].get("isError")
                assert is_error or name in ("a meta key", "a version to start with"), (name, version, body)
    for version in (PAN, "2026-07-28, 2025-11-25", "a" * 5_000, ""):
        assert post(acme, json.dumps({**CALL, "method": "ping"}).encode(), mcp_protocol_version=version).status == 400


BODIES = {
    "no JSON": b"{",
    "nothing": b"",
    "invalid UTF-8": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "a": "\xff"}',
    "NaN": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": NaN}}',
    "a member twice": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "method": "tools/list"}',
    "a member twice, below": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": 1, "a": 2}}',
    "nested deeply": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": '
    + b'{"a":' * 5_000
    + b"1"
    + b"}" * 5_001,
    "a huge number": b'{"jsonrpc": "2.0", "id": ' + b"9" * 10_000 + b', "method": "ping"}',
}


@pytest.mark.parametrize("version", [NEWEST, "2025-11-25"])
def test_a_body_that_is_no_strict_json_is_a_parse_error(acme: PartnerApp, version: str) -> None:
    for name, body in BODIES.items():
        reply = post(acme, body, mcp_protocol_version=version)
        assert (reply.status, reply.body["error"]["code"] in (-32700, -32600)) == (400, True), name


def test_the_rules_of_the_endpoint_hold(acme: PartnerApp) -> None:
    ping = json.dumps({**CALL, "method": "ping"}).encode()
    assert post(acme, ping).body == {"jsonrpc": "2.0", "id": 1, "result": {}}
    refused = [
        post(acme, b" " * 300_000),
        post(acme, ping, content_type="text/plain"),
        post(acme, ping, content_encoding="gzip"),
        post(acme, ping, origin="https://evil.example"),
        post(acme, ping, host="evil.example"),
        *(acme.gateway.request(method, "/mcp", headers=acme.headers) for method in ("GET", "DELETE", "PUT")),
    ]
    assert [(one.status, one.codes) for one in refused] == [
        (413, ["BODY_LIMIT"]),
        (415, ["UNSUPPORTED_MEDIA_TYPE"]),
        (415, ["UNSUPPORTED_MEDIA_TYPE"]),
        (403, ["FORBIDDEN"]),
        (403, ["FORBIDDEN"]),
        *[(405, ["METHOD_NOT_ALLOWED"])] * 3,
    ]
    assert refused[-1].headers["allow"] == "POST, OPTIONS"
    assert post(acme, ping, origin="http://localhost:6274").status == 200  # a local page, in development
    assert post(acme, ping, accept="text/html").status == 406
    asked = "authorization,content-type,mcp-protocol-version,mcp-method,mcp-name"
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": asked}
    allowed = acme.gateway.request("OPTIONS", "/mcp", headers={"origin": "http://localhost:6274", **preflight})
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (204, "http://localhost:6274")


def test_without_credentials_the_response_names_the_metadata(acme: PartnerApp) -> None:
    for headers in ({}, {"authorization": "Bearer vg_none"}, {"x-api-key": "none"}):
        reply = acme.gateway.request("POST", "/mcp", b"{}", {**JSON, **headers})
        assert (reply.status, reply.codes) == (401, ["UNAUTHENTICATED"])
        url = acme.gateway.url
        assert reply.headers["www-authenticate"] == (
            f'Bearer realm="vaultgraph", resource_metadata="{url}{METADATA}/mcp"'
        )
    described = acme.gateway.request("GET", f"{METADATA}/mcp").body
    assert described["resource"] == f"{acme.gateway.url}/mcp"
    assert described["bearer_methods_supported"] == ["header"]
    assert "payment_methods:read" in described["scopes_supported"]
    assert "authorization_servers" not in described  # the issuer of development is no server
    root = acme.gateway.request("GET", METADATA, headers={"x-forwarded-proto": "https"}).body
    assert root["resource"] == acme.gateway.url.replace("http:", "https:")
    assert acme.gateway.request("POST", METADATA, b"").status == 405


def test_the_clients_deadline_holds(acme: PartnerApp) -> None:
    call = json.dumps({**CALL, "params": {"name": "Wallet", "arguments": {"customer": "cus_alex"}}}).encode()
    result = post(acme, call, x_deadline_ms="soon").body["result"]
    assert (result["isError"], result["structuredContent"]["data"]) == (True, None)
    assert result["structuredContent"]["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    late = post(acme, call, x_deadline_ms="1").body["result"]["structuredContent"]
    assert {row["state"] for row in late["data"]["customer"]["sources"]} == {"TIMEOUT"}


def test_refusals_are_audited_and_counted(acme: PartnerApp) -> None:
    body = json.dumps({**CALL, "params": {"name": "Hidden"}}).encode()
    assert post(acme, body).body["error"]["data"] == {"code": "PERSISTED_QUERY_NOT_IN_LIST"}
    metrics = acme.gateway.request("GET", "/metrics").raw.decode()
    assert 'vaultgraph_refusals_total{caller="partner",code="PERSISTED_QUERY_NOT_IN_LIST"} 1.0' in metrics


async def test_settings_name_the_resource_and_its_issuers_or_turn_it_off(start_gateway: StartGateway) -> None:
    issuers = {"shop": {"issuer": "https://login.example", "audience": ["a"], "jwks_url": "https://login.example/keys"}}
    named = start_gateway(mcp={"url": "https://pay.example/mcp"}, auth={"issuers": issuers})
    described = named.request("GET", f"{METADATA}/mcp").body
    assert described["resource"] == "https://pay.example/mcp"
    assert described["authorization_servers"] == ["https://login.example"]
    reply = named.request("POST", "/mcp", b"{}", {"authorization": "", **JSON})
    assert f'resource_metadata="https://pay.example{METADATA}/mcp"' in reply.headers["www-authenticate"]
    off: RunningGateway = start_gateway(mcp={"enabled": False})
    for path in ("/mcp", METADATA, f"{METADATA}/mcp"):
        assert (off.request("POST", path, b"{}", JSON).status, off.request("GET", path).status) == (404, 404)


async def test_too_many_messages_are_429(start_gateway: StartGateway) -> None:
    budget = {"cost_per_s": 1000, "cost_burst": 1000, "requests_per_s": 0.001, "requests_burst": 5}
    gateway = start_gateway(rate={"partner": budget})
    acme = PartnerApp(gateway, "acme", documents={"wallet": DOCUMENTS["wallet"]})
    lists = json.dumps({**CALL, "method": "tools/list"}).encode()
    replies = [post(acme, lists) for _ in range(8)]
    assert [one.status for one in replies] == [200] * 5 + [429] * 3
    assert int(replies[-1].headers["retry-after"]) >= 1
    unknown = post(acme, json.dumps({**CALL, "params": {"name": "Wallet"}}).encode())  # it needs links:read
    assert (unknown.body["error"]["code"], unknown.body["error"]["data"]) == (-32000, {"code": "THROTTLED"})
    async with agent(gateway.url, {"authorization": f"Bearer {gateway.token()}"}) as client:
        assert (await client.list_tools()).tools == []


@pytest.mark.parametrize("message", [CALL, {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "Wallet"}}])
def test_calls_that_name_no_tool_or_want_no_answer_count_too(
    start_gateway: StartGateway, message: dict[str, Any]
) -> None:
    budget = {"cost_per_s": 1000, "cost_burst": 1000, "requests_per_s": 0.001, "requests_burst": 2}
    acme = PartnerApp(start_gateway(rate={"partner": budget}), "acme", documents={"wallet": DOCUMENTS["wallet"]})
    statuses = [post(acme, json.dumps(message).encode()).status for _ in range(3)]
    assert [one == 429 for one in statuses] == [False, False, True]


def test_a_throttled_repeat_does_not_say_that_the_write_failed(start_gateway: StartGateway) -> None:
    budget = {"cost_per_s": 1000, "cost_burst": 1000, "requests_per_s": 0.001, "requests_burst": 1}
    gateway = start_gateway(rate={"partner": budget})
    acme = PartnerApp(gateway, "acme", scopes=SCOPES, documents={"set": SET_DEFAULT}, agents=("set",))
    call = {"name": "SetDefault", "arguments": SETTING}
    post(acme, json.dumps({**CALL, "method": "ping"}).encode())
    outcomes = []
    for meta in ({}, {"vaultgraph/idempotencyKey": "2718281828-2718281828"}):
        found = post(acme, json.dumps({**CALL, "params": {**call, "_meta": meta}}).encode()).body["result"]
        assert found["structuredContent"]["errors"][0]["extensions"]["code"] == "THROTTLED"
        outcomes.append(found["structuredContent"]["outcome"])
    assert outcomes == ["FAILED", "UNKNOWN"]
