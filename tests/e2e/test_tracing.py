"""Spans of a real gateway in a real collector: links, attributes, and nothing that must not leave the process."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from app.errors import SettingsError, VaultError
from app.telemetry.tracing import SPANS, start_tracing
from app.vault.enums import CustomerRef, ProviderName
from app.vault.provider import Call
from tests.support.adding import caselle_card
from tests.support.agents import MODES, SCOPES, agent
from tests.support.agents import WALLET as AGENTS_WALLET
from tests.support.gateway import RunningGateway
from tests.support.otlp import Collector, collecting, values
from tests.support.partners import PartnerApp
from tests.support.sandbox import RunningSandbox

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REMOTE = f"00-{TRACE}-{PARENT}"
WALLET = 'query WalletOf { customer(id: "cus_alex") { paymentMethods { id } } }'
ADD = """mutation AddCard($input: AddPaymentMethodInput!) {
  addPaymentMethod(input: $input) { userErrors { code } paymentMethod { id } } }"""

Start = Callable[..., RunningGateway]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def traced(collector: Collector, sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    def start(**given: str | Mapping[str, str]) -> RunningGateway:
        """Environment variables, and the settings of vaults."""
        vaults = {name: value for name, value in given.items() if not isinstance(value, str)}
        variables = {name: value for name, value in given.items() if isinstance(value, str)}
        for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **variables}.items():
            monkeypatch.setenv(name, value)
        return RunningGateway(sandbox.url, tmp_path, **vaults)

    return start


def hexes(span: Span) -> tuple[str, str, str]:
    return span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()


def test_a_query_is_a_server_span_with_a_span_for_each_vault_call(collector: Collector, traced: Start) -> None:
    with traced(
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test", OTEL_EXPORTER_OTLP_HEADERS="k=v"
    ) as gateway:
        gateway.query(WALLET, headers={"traceparent": f"{REMOTE}-01", "tracestate": "vendor=1"})
    server = collector.named("query WalletOf")
    assert hexes(server)[::2] == (TRACE, PARENT)
    assert server.trace_state == "vendor=1"
    assert server.kind == Span.SPAN_KIND_SERVER
    found = values(server.attributes)
    assert len(found.pop("graphql.document.id")) == 64
    assert len(found.pop("vaultgraph.request_id")) == 32
    assert found == {
        "http.request.method": "POST",
        "http.route": "/graphql",
        "http.response.status_code": 200,
        "graphql.operation.type": "query",
        "graphql.operation.name": "WalletOf",
    }
    below = collector.below(server)
    assert {span.kind for span in below} == {Span.SPAN_KIND_CLIENT}
    calls = {values(span.attributes).get("vaultgraph.vault"): span for span in below}
    assert {"loanpro", "aloha", "jpmorgan", "caselle"} <= calls.keys()
    aloha = values(calls["aloha"].attributes)
    assert calls["aloha"].name == f"GET {aloha['url.template']}"
    assert aloha["url.template"].endswith("v1/Customers/{id}/Payments")
    assert (aloha["http.request.method"], aloha["http.response.status_code"]) == ("GET", 200)
    port = urlsplit(gateway.settings.aloha.base_url).port
    assert (aloha["server.address"], aloha["server.port"]) == ("127.0.0.1", port)
    assert collector.resource["service.name"] == "vaultgraph"
    assert collector.resource["deployment.environment.name"] == "test"
    assert collector.headers["k"] == "v"
    for span in collector.spans:
        assert server.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano


@contextmanager
def recording_vault() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A vault that knows nothing: its address, and the headers that it receives."""
    seen: list[dict[str, str]] = []

    class Vault(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Vault)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("flag", ["01", "00"])
def test_the_vault_gets_the_context_of_its_calls_span(collector: Collector, traced: Start, flag: str) -> None:
    with recording_vault() as (url, seen), traced(aloha={"base_url": url}) as gateway:
        gateway.query(WALLET, headers={"traceparent": f"{REMOTE}-{flag}", "x-request-id": "from-the-client"})
    trace_id, span_id, sampled = seen[0]["traceparent"].split("-")[1:]
    assert seen[0]["x-request-id"] == "from-the-client"
    assert (trace_id, sampled) == (TRACE, flag)
    calls = [one for one in collector.spans if values(one.attributes).get("vaultgraph.vault") == "aloha"]
    assert [one.span_id.hex() for one in calls] == ([span_id] if flag == "01" else [])
    assert span_id != PARENT


def test_a_failed_call_and_a_refused_request_have_an_error_type(
    collector: Collector, traced: Start, sandbox: RunningSandbox
) -> None:
    sandbox.fault("caselle", "status", status=500)
    with traced() as gateway:
        gateway.query(WALLET)
        gateway.query("{ nonsense")
    below = collector.below(collector.named("query WalletOf"))
    (call,) = [one for one in below if values(one.attributes).get("vaultgraph.vault") == "caselle"]
    found = values(call.attributes)
    assert (found["http.response.status_code"], found["error.type"]) == (500, "unavailable")
    assert call.status.code == Status.STATUS_CODE_ERROR
    refused = values(collector.named("GraphQL").attributes)
    assert (refused["http.response.status_code"], refused["error.type"]) == (400, "GRAPHQL_PARSE_FAILED")


def test_nothing_of_a_request_but_names_leaves_the_process(
    collector: Collector, traced: Start, sandbox: RunningSandbox
) -> None:
    with traced() as gateway:
        card = caselle_card(sandbox)
        sent = {"customerId": "cus_alex", "method": card, "idempotencyKey": "8f14e45f-ceea-467f-9575-2f1a1a3d2f11"}
        assert gateway.data(ADD, input=sent)["addPaymentMethod"]["paymentMethod"]
        bearer = gateway.headers["authorization"].split()[1]
    mutation = collector.named("mutation AddCard")
    found = [values(span.attributes) for span in collector.below(mutation)]
    store = [one for one in found if "db.system.name" in one]
    assert {one["db.operation.name"] for one in store} >= {"begin", "prepared", "commit"}
    assert {one["db.system.name"] for one in store} == {"sqlite"}
    for word in ("cus_alex", "8f14e45f", "addPaymentMethod", bearer, *_texts(card)):
        assert word.encode() not in collector.raw, word


@pytest.mark.parametrize("mode", MODES)
async def test_a_tool_call_is_one_server_span_with_its_calls(collector: Collector, traced: Start, mode: str) -> None:
    with traced() as gateway:
        gateway.headers = {}
        acme = PartnerApp(gateway, "acme", scopes=SCOPES, documents={"wallet": AGENTS_WALLET})
        headers = {**acme.headers, "traceparent": f"{REMOTE}-01"}
        async with agent(gateway.url, headers, mode) as client:
            assert not (await client.call_tool("Wallet", {"customer": "cus_alex"})).is_error
    server = collector.named("query Wallet")
    assert hexes(server)[::2] == (TRACE, PARENT)
    assert values(server.attributes)["http.route"] == "/mcp"
    calls = {values(span.attributes).get("vaultgraph.vault") for span in collector.below(server)}
    assert calls >= {"loanpro", "aloha", "jpmorgan", "caselle"}


def test_a_refused_document_id_is_redacted(collector: Collector, traced: Start) -> None:
    number = "4111" + "1111" * 3
    with traced() as gateway:
        assert gateway.request("GET", f"/graphql/{number}", headers=gateway.headers).status == 400
    found = values(collector.named("GraphQL").attributes)
    assert (found["http.route"], found["graphql.document.id"]) == ("/graphql/{document_id}", "[redacted]")
    assert number.encode() not in collector.raw


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, str) and len(value) >= 6:
        yield value


@pytest.mark.parametrize("ratio", ["1", "0"])
def test_a_call_without_a_request_begins_a_trace(collector: Collector, traced: Start, ratio: str) -> None:
    async def read(gateway: RunningGateway) -> None:
        call = Call(asyncio.get_running_loop().time() + 10, "background")
        await gateway.gateway.providers[ProviderName("jpmorgan")].wallets([CustomerRef("EGQSGO")], call)

    sampler = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
    with (
        recording_vault() as (url, seen),
        traced(jpmorgan={"token_url": f"{url}/token"}, **sampler) as gateway,
        pytest.raises(VaultError),
    ):
        gateway.on_loop(read(gateway))
    assert seen[0]["x-request-id"]
    _, trace_id, span_id, flags = seen[0]["traceparent"].split("-")
    roots = [span for span in collector.spans if values(span.attributes).get("url.template") == "/token"]
    assert int(flags, 16) & 1 == int(ratio)
    assert [hexes(span) for span in roots] == ([(trace_id, span_id, "")] if ratio == "1" else [])


def test_an_unsampled_trace_passes_through_without_spans(collector: Collector, traced: Start) -> None:
    with traced() as gateway:
        gateway.query(WALLET, headers={"traceparent": f"{REMOTE}-00"})
    assert [span for span in collector.spans if hexes(span)[0] == TRACE] == []


def test_the_sampler_is_the_environments(collector: Collector, traced: Start) -> None:
    with traced(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0") as gateway:
        gateway.query(WALLET)
        gateway.query(WALLET, headers={"traceparent": f"{REMOTE}-01"})
    assert {hexes(span)[0] for span in collector.spans} == {TRACE}


def test_the_sdks_limits_apply(collector: Collector, traced: Start) -> None:
    with traced(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="7", OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="5") as gateway:
        gateway.query(WALLET)
    found = [values(span.attributes) for span in collector.spans]
    assert max(map(len, found)) == 7
    assert {len(text) for one in found for text in one.values() if isinstance(text, str)} <= {1, 2, 3, 4, 5}


def test_a_collector_that_fails_is_logged_once(
    sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting(status=400) as failing:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", failing.url)
        with RunningGateway(sandbox.url, tmp_path) as gateway:
            gateway.query(WALLET)
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in warned] == ["trace collector: a batch was not accepted; spans are lost"]


@pytest.mark.parametrize("variables", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_it_is_off_on_demand(collector: Collector, traced: Start, variables: dict[str, str]) -> None:
    with traced(**variables) as gateway:
        gateway.query(WALLET)
        assert SPANS.tracer is None
    assert collector.spans == []


def test_what_is_not_supported_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"^OTEL_TRACES_EXPORTER: Expected one of otlp, console, none$"):
        start_tracing({"OTEL_TRACES_EXPORTER": "zipkin"})
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL: Expected http/protobuf$"):
        start_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_off_it_imports_nothing() -> None:
    code = (
        "import sys, app.main; from app.telemetry.tracing import start_tracing; assert start_tracing({}) is None; "
        "assert not [one for one in sys.modules if one.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
