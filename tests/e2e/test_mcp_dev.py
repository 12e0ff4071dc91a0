"""The client configuration of docs/agents.md, with the official client, on `vaultgraph dev` as its users start it."""

import json
import re
from pathlib import Path

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.command import Running, vaultgraph

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
DEMO = ["DeleteMethod", "FindCustomer", "QuotePayment", "SetDefault", "UpdateMethod", "Wallet", "WriteOutcome"]


async def test_the_documented_configuration_works(tmp_path: Path) -> None:
    (text,) = re.findall(r"```json\n(\{\n  \"mcpServers.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    configured = json.loads(text)["mcpServers"]["vaultgraph"]
    assert (configured["type"], configured["url"]) == ("http", "http://127.0.0.1:8000/mcp")
    with Running("dev", "--port", "0", "--sandbox-port", "0", "--data-dir", tmp_path) as running:
        url = running.until(r"^MCP +(http://\S+/mcp)")[1]
        token = vaultgraph("token", "--data-dir", tmp_path).stdout.strip()
        headers = {name: value.replace("TOKEN", token) for name, value in configured["headers"].items()}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert [*tools] == DEMO
            assert all(tool.description for tool in tools.values())
            wallet = (await client.call_tool("Wallet", {"customer": "cus_alex"})).structured_content["data"]["customer"]
            method = wallet["paymentMethods"][-1]["id"]
            chosen = {"customerId": "cus_alex", "paymentMethodId": method}
            done = await client.call_tool("SetDefault", {"input": chosen})
            assert (done.is_error, done.structured_content["outcome"]) == (False, "SUCCEEDED")
            operation = done.structured_content["data"]["setDefaultPaymentMethod"]["operation"]["id"]
            asked = (await client.call_tool("WriteOutcome", {"operation": operation})).structured_content
            assert asked["data"]["operation"]["state"] == "SUCCEEDED"
        running.until(r"transport=mcp operation_name=Wallet operation_type=query document_id=Wallet caller_kind=staff")
