"""The log of a real process: a line for each request and each vault call, with the fields that the page lists."""

import hmac
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.support.agents import agent
from tests.support.command import Running, vaultgraph

PAGE = Path(__file__).parents[2] / "docs/operations/logs.md"
TRACE = "0af7651916cd43dd8448eb211c80319c"
WALLET = 'query WalletOf { customer(id: "cus_alex") { name paymentMethods { id } } }'
KEY = "8f14e45f-ceea-467f-9575-2f1a1a3d2f11"
EVENTS = 'subscription Changes { customerEvents(customerId: "cus_alex") { id } }'


class Dev:
    """`vaultgraph dev` that logs JSON."""

    def __init__(self, folder: Path, level: str) -> None:
        self.folder = folder
        self.running = Running(
            "dev", "--port", "0", "--sandbox-port", "0", "--data-dir", folder,
            VAULTGRAPH_LOG__FORMAT="json", VAULTGRAPH_LOG__LEVEL=level,
        )  # fmt: skip

    def __enter__(self) -> "Dev":
        self.running.__enter__()
        self.url = self.running.until(r"^Gateway +(http://\S+)/graphql")[1]
        self.running.until(r"^ +curl ")
        self.token = vaultgraph("token", "--data-dir", self.folder).stdout.strip()
        return self

    def __exit__(self, *error: Any) -> None:
        self.running.__exit__(*error)
        assert self.token not in self.running.text

    def ask(self, body: Mapping[str, Any] | list[Any], **headers: str) -> Any:
        sent = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with urlopen(Request(f"{self.url}/graphql", json.dumps(body).encode(), sent), timeout=30) as reply:
                return json.load(reply)
        except HTTPError as error:
            return json.load(error)

    def line(self, event: str = "request") -> dict[str, Any]:
        """The next line of this event."""
        return self.line_with(f'"event":"{event}"')

    def line_with(self, text: str) -> dict[str, Any]:
        self.running.until(rf"^\{{.*{text}")
        found: dict[str, Any] = json.loads(self.running.lines[-1])
        return found


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with Dev(tmp_path_factory.mktemp("dev"), "debug") as found:
        yield found


def listed(heading: str) -> list[str]:
    """The fields in the table below this heading."""
    section = PAGE.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    return [name for row in rows for name in re.findall("`([a-z_]+)`", row)]


def test_a_request_and_its_vault_calls_have_the_fields_of_the_page(dev: Dev) -> None:
    sent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "x_request_id": "my-request-1"}
    assert dev.ask({"query": WALLET}, **sent)["data"]["customer"]["name"]
    call = dev.line_with('"event":"vault_call","request_id":"my-request-1"')  # not the fetch of an access token
    line = dev.line()
    assert list(call) == listed("Vault calls")
    assert list(line) == listed("Requests")
    assert {call["request_id"], line["request_id"]} == {"my-request-1"}
    assert {call["trace_id"], line["trace_id"]} == {TRACE}
    assert (call["status"], call["outcome"], call["retries"]) == (200, "ok", 0)
    assert "88420" not in call["route"]
    assert line["transport"] == "http"
    assert (line["operation_name"], line["operation_type"]) == ("WalletOf", "query")
    assert line["document_id"] == sha256(WALLET.encode()).hexdigest()
    assert (line["status"], line["outcome"], line["code"]) == (200, "ok", None)
    assert line["caller_kind"] == "staff"
    assert re.fullmatch("[0-9a-f]{12}", line["caller_hash"])
    assert line["vault_calls"] >= 4
    assert line["price"] >= line["vault_calls"]
    assert 0 < line["duration_ms"] < 60_000


def test_the_page_shows_a_line_as_it_is(dev: Dev) -> None:
    shown = [json.loads(line) for line in PAGE.read_text("utf-8").splitlines() if line.startswith("{")]
    assert [list(one) for one in shown if one["event"] == "request"] == [listed("Requests")]
    assert [list(one) for one in shown if one["event"] == "vault_call"] == [listed("Vault calls")]


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({"query": "{ nonsense"}, {}, (400, "refused", "GRAPHQL_PARSE_FAILED", "staff", None)),
        ({"query": WALLET}, {"authorization": "Bearer nothing"}, (401, "refused", "UNAUTHENTICATED", None, None)),
        ({"query": WALLET}, {"x_request_id": "short", "host": "other"}, (403, "refused", "FORBIDDEN", None, None)),
        ({"documentId": "unknown"}, {}, (200, "ok", "PERSISTED_QUERY_NOT_FOUND", "staff", "unknown")),
    ],
)
def test_a_refused_request_says_why(dev: Dev, body: dict[str, Any], headers: dict[str, str], expected: Any) -> None:
    assert dev.ask(body, **headers)["errors"]
    line = dev.line()
    assert tuple(line[name] for name in ("status", "outcome", "code", "caller_kind", "document_id")) == expected
    assert line["vault_calls"] == line["price"] == 0
    assert line["trace_id"] is None


def test_a_refused_token_says_why_without_the_token(dev: Dev) -> None:
    head, body, _ = dev.token.split(".")
    forged = f"{head}.{body}.{'A' * 86}"
    assert dev.ask({"query": WALLET}, authorization=f"Bearer {forged}")["errors"]
    line = dev.line_with("a token was refused")
    assert (line["level"], line["logger"]) == ("info", "vaultgraph.auth")
    assert line["event"] == "a token was refused: signature: InvalidSignatureError"
    assert line["request_id"] == dev.line()["request_id"]
    assert forged not in dev.running.text


def test_the_fetch_of_an_access_token_is_a_vault_call(dev: Dev) -> None:
    dev.ask({"query": WALLET})
    dev.line()
    lines = [json.loads(line) for line in dev.running.lines if '"event":"vault_call"' in line]
    fetched = [one for one in lines if one["route"].endswith("oauth2/token")]
    assert {one["vault"] for one in fetched} == {"jpmorgan", "caselle"}
    assert {(one["method"], one["status"], one["outcome"], one["trace_id"]) for one in fetched} == {
        ("POST", 200, "ok", None)
    }
    assert all(list(one) == listed("Vault calls") for one in fetched)


def test_a_refused_api_key_says_why_without_the_key(dev: Dev) -> None:
    key = f"vg_{'A' * 43}"
    assert dev.ask({"query": WALLET}, authorization=f"Bearer {key}")["errors"]
    line = dev.line_with("an API key was refused")
    assert (line["level"], line["event"]) == ("info", "an API key was refused: unknown")
    assert line["request_id"] == dev.line()["request_id"]
    assert key not in dev.running.text


async def test_a_refused_tool_call_names_its_document(dev: Dev) -> None:
    async with agent(dev.url, {"authorization": f"Bearer {dev.token}"}) as client:
        assert (await client.call_tool("Wallet", {"customer": 5})).is_error
    line = dev.line_with('"code":"BAD_USER_INPUT"')
    assert (line["transport"], line["document_id"], line["outcome"]) == ("mcp", "Wallet", "refused")


def test_each_webhook_of_a_vault_is_a_line(dev: Dev) -> None:
    body, now = b'{"id": "evt_1", "event_type": "payment.unheard_of", "data": {}}', str(int(time.time()))
    signed = hmac.new(b"whsec_sandbox_100001", now.encode() + b"." + body, sha256).hexdigest()
    found = []
    for path, signature in (("caselle/pa_7Qm2", signed), ("caselle/pa_7Qm2", "0" * 64), ("other", signed)):
        headers = {"x-webhook-timestamp": now, "x-webhook-signature": f"sha256={signature}"}
        with suppress(HTTPError):
            urlopen(Request(f"{dev.url}/webhooks/{path}", body, headers), timeout=30).close()
        line = dev.line("webhook")
        assert line["duration_ms"] >= 0
        found.append(tuple(line[name] for name in ("level", "vault", "delivery_id", "status", "reason")))
    assert found == [
        ("info", "caselle", "evt_1", 200, None),
        ("info", "caselle", None, 401, "The signature does not match."),
        ("info", None, None, 404, "No such sender."),
    ]


def test_a_card_number_is_in_no_line(dev: Dev) -> None:
    card = "4111" + "1111" * 3
    for body in ({"query": f"query A{card} {{ __typename }}"}, {"query": "{ __typename }", "operationName": card}):
        dev.ask(body, x_request_id=card)
        assert dev.line()["code"] == "PAN_NOT_ALLOWED"
    assert card not in dev.running.text


def test_an_operation_over_a_socket_is_one_line_at_its_end(dev: Dev) -> None:
    address = dev.url.replace("http://", "ws://") + "/graphql"
    with connect(address, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {dev.token}"}}))
        assert json.loads(socket.recv(10))["type"] == "connection_ack"
        for name, query in (("1", EVENTS), ("2", WALLET)):
            socket.send(json.dumps({"id": name, "type": "subscribe", "payload": {"query": query}}))
        line = dev.line()
        assert (line["transport"], line["operation_name"], line["status"]) == ("websocket", "WalletOf", 200)
        socket.send(json.dumps({"id": "1", "type": "complete"}))
        line = dev.line()
    assert (line["transport"], line["operation_name"], line["operation_type"]) == (
        "websocket", "Changes", "subscription",
    )  # fmt: skip
    assert line["outcome"] == "disconnected"


def test_a_mutation_a_stream_and_a_batch_are_lines_too(dev: Dev) -> None:
    text = "mutation Make($input: CreateCustomerInput!) { createCustomer(input: $input) { userErrors { code } } }"
    made = {"externalId": "a-new-one", "businessName": "Ann Ltd", "idempotencyKey": KEY}
    assert dev.ask({"query": text, "variables": {"input": made}})["data"]
    line = dev.line()
    assert (line["operation_name"], line["operation_type"], line["code"]) == ("Make", "mutation", None)
    sent = {"content-type": "application/json", "authorization": f"Bearer {dev.token}", "accept": "text/event-stream"}
    urlopen(Request(f"{dev.url}/graphql", json.dumps({"query": WALLET}).encode(), sent), timeout=30).read()
    line = dev.line()
    assert (line["transport"], line["operation_name"], line["outcome"]) == ("sse", "WalletOf", "ok")
    deferred = WALLET.replace("paymentMethods { id }", "... @defer { paymentMethods { id } }")
    sent["accept"] = "multipart/mixed"
    urlopen(Request(f"{dev.url}/graphql", json.dumps({"query": deferred}).encode(), sent), timeout=30).read()
    line = dev.line()
    assert (line["transport"], line["operation_name"], line["outcome"]) == ("multipart", "WalletOf", "ok")
    assert line["status"] == 200
    assert dev.ask([{"query": "{ __typename }"}])["errors"]
    line = dev.line()
    assert (line["operation_type"], line["code"]) == (None, "BATCH_LIMIT")


def test_above_info_no_request_is_logged(tmp_path: Path) -> None:
    with Dev(tmp_path, "warning") as quiet:
        quiet.ask({"query": WALLET})
        quiet.running.stop()
        assert not [line for line in quiet.running.lines if line.startswith("{")]
