"""`POST /mcp` with the official client: tools, reads, writes and their outcomes."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from tests.support.adding import adding, caselle_card
from tests.support.agents import DOCUMENTS, FOR_AGENTS, MODES, SCOPES, SET_DEFAULT, agent
from tests.support.gateways import StartGateway, each_vault, patient, upstream
from tests.support.partners import PartnerApp
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

RETRY = "vaultgraph/idempotencyKey"
ALEX = {"customer": "cus_alex"}


@pytest.fixture
def acme(start_gateway: StartGateway) -> PartnerApp:
    gateway = start_gateway(**patient(write_deadline_s=2.0, breaker={"minimum_calls": 10_000}))
    gateway.headers = {}
    return PartnerApp(gateway, "acme", scopes=SCOPES, documents=DOCUMENTS, agents=FOR_AGENTS)


def content(result: Any, tool: Any) -> dict[str, Any]:
    """The structured content, which fits the tool's schema and is repeated as text."""
    (text,) = result.content
    assert json.loads(text.text) == result.structured_content
    Draft202012Validator(tool.output_schema).validate(result.structured_content)
    return dict(result.structured_content)


async def tools_of(client: Client) -> dict[str, Any]:
    return {tool.name: tool for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("mode", MODES)
async def test_the_tools_are_the_callers_documents(acme: PartnerApp, mode: str) -> None:
    PartnerApp(acme.gateway, "other", documents={"mine": "query Mine { viewer { partner } }"})
    async with agent(acme.gateway.url, acme.headers, mode) as client:
        tools = await tools_of(client)
        assert client.session.server_info.name == "vaultgraph"
        assert client.session.protocol_version == ("2026-07-28" if mode == "auto" else "2025-11-25")
    page = acme.gateway.request("GET", "/metrics").raw
    assert b'vaultgraph_requests_total{caller="partner",outcome="ok",transport="mcp"}' in page
    assert [*tools] == ["Add", "Delete", "SetDefault", "Wallet"]  # Bin needs a scope, Hidden the flag
    wallet = tools["Wallet"]
    assert wallet.description == "The wallet of one customer."
    assert wallet.input_schema["required"] == ["customer"]
    assert wallet.input_schema["properties"]["first"]["default"] == 20
    assert wallet.input_schema["properties"]["withLinks"]["type"] == ["boolean", "null"]
    assert tools["SetDefault"].input_schema["properties"].keys() == {"customer", "method"}
    deleted = tools["Delete"].input_schema["$defs"]["DeletePaymentMethodInput"]
    assert deleted["properties"].keys() == {"id", "ifDefault", "replacementDefaultId"}
    assert "jpmRawCard" not in tools["Add"].input_schema["$defs"]["AddMethodInput"]["properties"]
    for tool in tools.values():
        Draft202012Validator.check_schema(tool.input_schema)
        Draft202012Validator.check_schema(tool.output_schema)
    shown = {
        name: (one.annotations.read_only_hint, one.annotations.destructive_hint, one.annotations.idempotent_hint)
        for name, one in tools.items()
    }
    assert shown == {
        "Wallet": (True, None, None),
        "SetDefault": (False, False, True),
        "Delete": (False, True, True),
        "Add": (False, False, False),
    }
    assert all(one.annotations.open_world_hint is False for one in tools.values())


async def test_scopes_callers_and_publications_decide_what_is_listed(acme: PartnerApp) -> None:
    url = acme.gateway.url
    small = PartnerApp(acme.gateway, "small", scopes=["customers:read"], documents=DOCUMENTS, agents=FOR_AGENTS)
    async with agent(url, small.headers) as client:
        assert await tools_of(client) == {}
        small.publish({"who": "query Who { viewer { partner } }"})
        assert [*await tools_of(client)] == ["Who"]
        small.publish({"who2": "query Who { viewer { partner scopes } }"})
        names = [*await tools_of(client)]
        assert (names[0], names[1][:4], len(names)) == ("Who", "Who_", 2)
        data = (await client.call_tool("Who")).structured_content["data"]
        assert data["viewer"]["scopes"] == ["customers:read"]  # the latest has the plain name
        assert (await client.call_tool(names[1])).structured_content["data"] == {"viewer": {"partner": "small"}}
        small.retire("who")
        assert [*await tools_of(client)] == ["Who"]
    async with agent(url, {"x-api-key": acme.key}) as client:
        acme.publish({"hidden": DOCUMENTS["hidden"]}, agents=["hidden"])
        eventually(lambda: acme.gateway.gateway.documents.catalogue.of("acme")["hidden"].for_agents)
        assert "Hidden" in await tools_of(client)
        refused = await client.call_tool("Hidden", {"input": {"id": "pm_none"}})
        found = refused.structured_content  # the document selects no reason: the outcome is known nevertheless
        assert (refused.is_error, found["outcome"], found["operations"]) == (True, "FAILED", [])
        assert found["data"] == {"deletePaymentMethod": {"deletedId": None}}
    async with agent(url, {"authorization": f"Bearer {acme.gateway.token()}"}) as client:
        assert await tools_of(client) == {}  # staff: only documents.own_client


async def test_callers_with_a_token_use_the_own_clients_documents(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**patient(), documents={"own_client": "acme"})
    name = "query Name($customer: ID!) { customer(id: $customer) { name } }"
    PartnerApp(gateway, "acme", scopes=SCOPES, documents={**DOCUMENTS, "name": name}, agents=FOR_AGENTS)
    async with agent(
        gateway.url, {"authorization": f"Bearer {gateway.token(['customers:read'], 'cus_sam')}"}
    ) as client:
        assert [*await tools_of(client)] == ["Name"]
        own = (await client.call_tool("Name", {"customer": "cus_sam"})).structured_content
        assert own["data"]["customer"]["name"].startswith("Sam ")
        foreign = (await client.call_tool("Name", ALEX)).structured_content
        assert foreign["data"] == {"customer": None}


@pytest.mark.parametrize("mode", MODES)
async def test_a_read_is_the_documents_response(acme: PartnerApp, mode: str) -> None:
    expected = acme.ask({**ALEX, "withLinks": True}, documentId="wallet").data
    async with agent(acme.gateway.url, acme.headers, mode) as client:
        tools = await tools_of(client)
        result = await client.call_tool("Wallet", {**ALEX, "withLinks": True})
        found = content(result, tools["Wallet"])
        assert (result.is_error, found["data"]) == (False, expected)
        assert found["extensions"]["cost"]["requested"] > 0
        fewer = content(await client.call_tool("Wallet", {**ALEX, "first": 1}), tools["Wallet"])
        assert len(fewer["data"]["customer"]["methods"]) == 1
        assert "links" not in fewer["data"]["customer"]
    metrics = acme.gateway.request("GET", "/metrics").raw.decode()
    assert 'vaultgraph_operations_total{operation="Wallet",outcome="ok",type="query"} 3.0' in metrics


@pytest.mark.parametrize("mode", MODES)
async def test_a_write_has_an_outcome_and_a_key_with_which_it_can_be_repeated(acme: PartnerApp, mode: str) -> None:
    method = acme.ask(ALEX, documentId="wallet").data["customer"]["methods"][1]["id"]
    arguments = {**ALEX, "method": method}
    async with agent(acme.gateway.url, acme.headers, mode) as client:
        tool = (await tools_of(client))["SetDefault"]
        result = await client.call_tool("SetDefault", arguments)
        first = content(result, tool)
        payload = first["data"]["setDefaultPaymentMethod"]
        assert (result.is_error, first["outcome"], payload["operation"]["state"]) == (False, "SUCCEEDED", "SUCCEEDED")
        assert payload["customer"]["defaultMethod"]["id"] == method
        assert first["operations"] == [
            {"field": "setDefaultPaymentMethod", "id": payload["operation"]["id"], "state": "SUCCEEDED"}
        ]
        key = first["idempotencyKey"]

        again = content(await client.call_tool("SetDefault", arguments, meta={RETRY: key}), tool)
        operation = again["data"]["setDefaultPaymentMethod"]["operation"]
        assert (again["idempotencyKey"], again["outcome"]) == (key, "SUCCEEDED")
        assert operation == {**payload["operation"], "replayed": True}
        other = content(await client.call_tool("SetDefault", arguments), tool)
        assert other["idempotencyKey"] != key
        assert other["data"]["setDefaultPaymentMethod"]["operation"]["id"] != payload["operation"]["id"]

        reused = await client.call_tool("SetDefault", {**arguments, "customer": "cus_sam"}, meta={RETRY: key})
        found = content(reused, tool)
        errors = found["data"]["setDefaultPaymentMethod"]["userErrors"]
        assert (reused.is_error, found["outcome"]) == (True, "FAILED")
        assert [one["code"] for one in errors] == ["IDEMPOTENCY_KEY_REUSED"]
        for wrong, status in ((5, "of _meta"), ("short", "$key")):
            refused = await client.call_tool("SetDefault", arguments, meta={RETRY: wrong})
            (error,) = content(refused, tool)["errors"]
            assert (refused.is_error, error["extensions"]["code"]) == (True, "BAD_USER_INPUT")
            assert status in error["message"]


async def test_a_write_whose_reply_is_lost_is_unknown_and_never_done_twice(
    acme: PartnerApp, sandbox: RunningSandbox
) -> None:
    wanted = adding(caselle_card(sandbox))
    del wanted["idempotencyKey"]
    path = "/api/customers/cus_88420/payment-methods"
    before = len(acme.ask(ALEX, documentId="wallet").data["customer"]["methods"])
    sandbox.fault("caselle", "delay", method="POST", path=path, delay_ms=2200, times=1)
    async with agent(acme.gateway.url, acme.headers) as client:
        tool = (await tools_of(client))["Add"]
        lost = await client.call_tool("Add", {"input": wanted})
        found = content(lost, tool)
        assert (lost.is_error, found["outcome"]) == (True, "UNKNOWN")
        key = found["idempotencyKey"]

        async def repeated() -> dict[str, Any]:
            return content(await client.call_tool("Add", {"input": wanted}, meta={RETRY: key}), tool)

        for _ in range(60):
            again = await repeated()
            if again["outcome"] not in ("UNKNOWN", "PENDING"):
                break
        assert again["outcome"] == "SUCCEEDED"
        first = found["data"]["addPaymentMethod"]["operation"]["id"]
        assert again["data"]["addPaymentMethod"]["operation"]["id"] == first
    assert len(acme.ask(ALEX, documentId="wallet").data["customer"]["methods"]) == before + 1


async def test_graphql_errors_are_tool_errors_beside_partial_data(start_gateway: StartGateway, sandbox: Any) -> None:
    gateway = start_gateway(**each_vault(fresh_for_s=0, stale_if_error_for_s=0))
    acme = PartnerApp(gateway, "acme", scopes=SCOPES, documents=DOCUMENTS, agents=FOR_AGENTS)
    for vault in ("loanpro", "aloha", "jpmorgan", "caselle"):
        sandbox.fault(vault, "status", status=500)
    async with agent(gateway.url, acme.headers) as client:
        tool = (await tools_of(client))["Wallet"]
        result = await client.call_tool("Wallet", ALEX)
        found = content(result, tool)
    assert (result.is_error, found["data"]["customer"]["name"]) == (True, "Alex Morales")
    assert found["data"]["customer"]["methods"] is None
    assert [one["extensions"]["code"] for one in found["errors"]] == ["SOURCES_UNAVAILABLE"]
    assert len(found["extensions"]["sources"]) == 4


BAD_ARGUMENTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "missing": ("Wallet", {}, "The call must include customer."),
    "type": ("Wallet", {"customer": 2718281828}, "The argument customer must be text."),
    "number": ("Wallet", {**ALEX, "first": "2718281828"}, "The argument first must be a whole number or null."),
    "range": ("Wallet", {**ALEX, "first": 2718281828459}, "The argument first must be a whole number of 32 bits."),
    "unknown": ("Wallet", {**ALEX, "x2718281828": 1}, "The call must not contain names that"),
    "nested": ("Delete", {"input": {}}, "The argument input must include id."),
    "key": ("Delete", {"input": {"id": "a", "idempotencyKey": "2718281828-2718281828"}}, "The argument input must not"),
    "enum": ("Delete", {"input": {"id": "a", "ifDefault": "2718281828"}}, "input.ifDefault must be one of ALLOW,"),
    "one of": ("Add", {"input": {"customerId": "a", "method": {}}}, "The argument input.method must have exactly one"),
}  # fmt: skip


async def test_wrong_arguments_are_named_and_never_quoted(acme: PartnerApp, sandbox: RunningSandbox) -> None:
    sandbox.clear_calls()
    async with agent(acme.gateway.url, acme.headers) as client:
        tools = await tools_of(client)
        for name, arguments, message in BAD_ARGUMENTS.values():
            result = await client.call_tool(name, arguments)
            found = content(result, tools[name])
            assert (result.is_error, found["data"]) == (True, None)
            assert message in found["errors"][0]["message"]
            assert found["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
            assert "2718281828" not in str(result)
        with pytest.raises(MCPError) as caught:
            await client.call_tool("Hidden", {"input": {"id": "a"}})
        assert (caught.value.code, caught.value.data) == (-32602, {"code": "PERSISTED_QUERY_NOT_IN_LIST"})
    assert upstream(sandbox) == {}


async def test_a_call_costs_what_the_document_costs(start_gateway: StartGateway) -> None:
    budget = {"cost_per_s": 0.001, "cost_burst": 30, "requests_per_s": 1000, "requests_burst": 1000}
    gateway = start_gateway(**patient(), rate={"partner": budget})
    acme = PartnerApp(gateway, "acme", scopes=SCOPES, documents={"wallet": DOCUMENTS["wallet"], "set": SET_DEFAULT})
    async with agent(gateway.url, acme.headers) as client:
        tool = (await tools_of(client))["Wallet"]
        results = [await client.call_tool("Wallet", ALEX) for _ in range(8)]
    assert not results[0].is_error
    last = content(results[-1], tool)
    assert (results[-1].is_error, last["data"]) == (True, None)
    assert last["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert last["extensions"]["retryAfterSeconds"] >= 1
    assert acme.ask(ALEX, documentId="wallet").status == 429
