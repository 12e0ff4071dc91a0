"""`@defer`: the fast vaults' methods arrive while a slow vault is still being read.

The slow vault answers only when the test lets it, so the order of what arrives proves the order of what is sent.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.support.gateway import RunningGateway
from tests.support.gateways import PROVIDERS, StartGateway, patient, sources
from tests.support.partners import PartnerApp
from tests.support.parts import IDS, PATHS, PartsReply, ask_in_parts
from tests.support.sandbox import RunningSandbox
from tests.support.slow_vault import FAST, SlowVault, providers
from tests.support.waiting import eventually

WALLET = """query Wallet($id: ID!, $defer: Boolean! = true) { customer(id: $id) {
  name
  fast: paymentMethods(filter: {providers: [ALOHA, JPMORGAN, CASELLE]}) { provider label }
  ... @defer(if: $defer, label: "slow") {
    slow: paymentMethods(filter: {providers: [LOANPRO]}) { provider label }
    sources { provider state }
  }
} }"""
ALEX = {"id": "cus_alex"}
ALL_OK = dict.fromkeys(PROVIDERS, "OK")


def in_parts(slow: SlowVault, accept: str = IDS) -> PartsReply:
    """The wallet, with the gate closed."""
    slow.close()
    return ask_in_parts(slow.gateway, WALLET, ALEX, accept)


@pytest.mark.parametrize(
    "accept", [IDS, PATHS, "multipart/mixed", "text/event-stream", "text/event-stream;incrementalSpec=v0.2"]
)
def test_a_slow_vault_follows_the_fast_ones(slow: SlowVault, accept: str) -> None:
    """Without a plan first, then with one: the same answer, and one call to each vault."""
    by_id = "v0.2" in accept
    for _ in range(2):
        with in_parts(slow, f"{accept}, application/json;q=0.9") as reply:
            first = reply.next()
            assert (reply.status, first["hasNext"]) == (200, True)
            assert first.get("pending") == ([{"id": "0", "path": ["customer"], "label": "slow"}] if by_id else None)
            customer = first["data"]["customer"]
            assert (customer["name"], providers(customer["fast"])) == ("Alex Morales", FAST)
            assert customer.keys() == {"name", "fast"}
            slow.gate.set()
            last = reply.next()
            assert reply.rest() == []
        assert last["hasNext"] is False
        (entry,) = last["incremental"]
        assert providers(entry["data"]["slow"]) == {"LOANPRO"}
        assert sources(entry["data"]) == ALL_OK
        assert entry["extensions"]["cost"]["actual"] == 4
        where = {"id": "0"} if by_id else {"path": ["customer"], "label": "slow"}
        assert {key: entry[key] for key in where} == where
        assert last.get("completed") == ([{"id": "0"}] if by_id else None)
        assert slow.calls() == dict.fromkeys(PROVIDERS, 1)


@pytest.mark.parametrize(
    ("accept", "variables"),
    [
        ("application/json", {}),
        ("*/*", {}),
        ("application/graphql-response+json, multipart/mixed;q=0.5", {}),
        ("multipart/mixed;subscriptionSpec=1.0, application/json", {}),
        ("multipart/mixed;deferSpec=20990101, application/json", {}),
        (f"{PATHS}, application/json", {"defer": False}),
    ],
)
def test_other_clients_get_one_response(demo_gateway: RunningGateway, accept: str, variables: Any) -> None:
    for _ in range(2):
        reply = demo_gateway.query(WALLET, {**ALEX, **variables}, headers={"accept": accept})
        assert "json" in reply.headers["content-type"]
        assert sources(reply.data["customer"]) == ALL_OK
        assert reply.body.keys() == {"data", "extensions"}
        assert providers(reply.data["customer"]["slow"]) == {"LOANPRO"}


def test_a_part_that_fails_affects_only_itself(slow: SlowVault, sandbox: RunningSandbox) -> None:
    slow.gate.set()
    sandbox.fault("loanpro", "status", status=500)
    for accept in (IDS, PATHS, IDS):
        with ask_in_parts(slow.gateway, WALLET, ALEX, accept) as reply:
            first, last = reply.next(), reply.next()
        assert "errors" not in first
        assert "sources" not in first["extensions"]
        assert providers(first["data"]["customer"]["fast"]) == FAST
        (entry,) = last["incremental"]
        assert entry["data"]["slow"] is None
        (error,) = entry["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["customer", "slow"], "SOURCES_UNAVAILABLE")
        assert sources(entry["data"]) == {**ALL_OK, "LOANPRO": "UNAVAILABLE"}
        assert [row["provider"] for row in entry["extensions"]["sources"]] == ["LOANPRO"]


def test_each_customer_of_a_list_and_nested_fragments(slow: SlowVault) -> None:
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Customer { ...Slow @defer(label: "outer") } } }
    fragment Slow on Customer { isComplete ... @defer(label: "inner") { paymentMethods { id provider } } }"""
    slow.gate.set()
    for _ in range(2):
        with ask_in_parts(slow.gateway, query, {"ids": ["cus_alex", "cus_none", "cus_alex"]}, PATHS) as reply:
            first, *parts = reply.rest()
        assert [one and one["id"] for one in first["data"]["nodes"]] == ["cus_alex", None, "cus_alex"]
        entries = [one for part in parts for one in part.get("incremental", ())]
        assert [(one["path"], one["label"]) for one in entries if one["label"] == "outer"] == [
            (["nodes", 0], "outer"),
            (["nodes", 2], "outer"),
        ]
        inner = [one for one in entries if one["label"] == "inner"]
        assert sorted(one["path"][1] for one in inner) == [0, 2]
        assert all(providers(one["data"]["paymentMethods"]) == set(PROVIDERS) for one in inner)


def test_a_client_that_leaves_ends_the_rest(slow: SlowVault) -> None:
    metrics = slow.gateway.gateway.metrics
    with in_parts(slow) as reply:
        reply.next()
        assert metrics.in_flight() == 1
    eventually(lambda: metrics.in_flight() == 0)
    assert not slow.gate.is_set()
    assert 'outcome="disconnected"' in slow.gateway.request("GET", "/metrics").raw.decode()


def test_a_restarting_gateway_completes_what_it_began(slow: SlowVault) -> None:
    with in_parts(slow) as reply:
        assert reply.next()["hasNext"] is True
        slow.gateway.loop.call_soon_threadsafe(slow.gateway.gateway.begin_drain)
        slow.gate.set()
        assert [one["hasNext"] for one in reply.rest()] == [False]


def test_parts_share_the_deadline_of_the_request(slow: SlowVault) -> None:
    """The slow vault never answers: its part says so when the request's time is up."""
    slow.close()
    headers = {"accept": IDS, "x-deadline-ms": "3000"}
    body = {"query": WALLET, "variables": ALEX}
    with PartsReply(slow.gateway, "/graphql", body, headers) as reply:
        assert providers(reply.next()["data"]["customer"]["fast"]) == FAST
        (last,) = reply.rest()
    (entry,) = last["incremental"]
    assert sources(entry["data"])["LOANPRO"] == "TIMEOUT"


def test_parts_share_the_limit_of_a_response(start_gateway: StartGateway) -> None:
    gateway = start_gateway(**{**patient(), "gate": {"response_bytes": 10_000}})
    long = "a" * 2_000
    query = (
        '{ customer(id: "cus_alex") { name ... @defer { one: paymentMethods(first: 3) { LONG: id } }'
        " ... @defer { two: paymentMethods(first: 3) { LONG: id } } } }"
    ).replace("LONG", long)
    for _ in range(3):
        with ask_in_parts(gateway, query) as reply:
            first, *parts = reply.rest()
        assert first["data"] == {"customer": {"name": "Alex Morales"}}
        codes = [
            [error["extensions"]["code"] for error in ended.get("errors", ())]
            for part in parts
            for ended in part["completed"]
        ]
        assert sorted(codes) == [[], ["RESPONSE_TOO_LARGE"]]
        assert len([one for part in parts for one in part.get("incremental", ())]) == 1


def test_an_operation_is_charged_once(slow: SlowVault) -> None:
    with in_parts(slow) as reply:
        cost = reply.next()["extensions"]["cost"]
        slow.gate.set()
        (last,) = reply.rest()
    (entry,) = last["incremental"]
    whole = slow.gateway.query(WALLET, ALEX).body["extensions"]["cost"]
    assert cost["requested"] == entry["extensions"]["cost"]["requested"] == whole["requested"]
    assert cost["actual"] <= entry["extensions"]["cost"]["actual"] == 4


def test_published_documents(slow: SlowVault) -> None:
    acme = PartnerApp(slow.gateway, "acme", documents={"slow-wallet": WALLET})
    for path, body in (
        (f"/graphql/slow-wallet?variables={json.dumps(ALEX).replace(' ', '')}", None),
        ("/graphql", {"documentId": "slow-wallet", "variables": ALEX}),
    ):
        slow.close()
        with PartsReply(slow.gateway, path, body, {**acme.headers, "accept": PATHS}) as reply:
            assert providers(reply.next()["data"]["customer"]["fast"]) == FAST
            slow.gate.set()
            (last,) = reply.rest()
        assert providers(last["incremental"][0]["data"]["slow"]) == {"LOANPRO"}
        whole = slow.gateway.request("GET", path, headers=acme.headers) if body is None else None
        assert whole is None or whole.status == 200


@pytest.fixture
def socket(slow: SlowVault) -> Iterator[ClientConnection]:
    url = f"{slow.gateway.url.replace('http', 'ws', 1)}/graphql"
    with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as opened:
        token = {"authorization": f"Bearer {slow.gateway.token()}"}
        opened.send(json.dumps({"type": "connection_init", "payload": token}))
        assert json.loads(opened.recv(5))["type"] == "connection_ack"
        yield opened


@pytest.mark.parametrize("spec", [None, "v0.2"])
def test_over_websocket(slow: SlowVault, socket: ClientConnection, spec: str | None) -> None:
    for name in ("1", "2"):
        slow.close()
        payload = {"query": WALLET, "variables": ALEX, "extensions": {"incrementalSpec": spec} if spec else {}}
        socket.send(json.dumps({"id": name, "type": "subscribe", "payload": payload}))
        first = json.loads(socket.recv(20))
        assert (first["type"], first["payload"]["hasNext"]) == ("next", True)
        assert providers(first["payload"]["data"]["customer"]["fast"]) == FAST
        slow.gate.set()
        last = json.loads(socket.recv(20))["payload"]
        assert (last["hasNext"], providers(last["incremental"][0]["data"]["slow"])) == (False, {"LOANPRO"})
        assert ("id" in last["incremental"][0]) is (spec is not None)
        assert json.loads(socket.recv(20)) == {"id": name, "type": "complete"}
    slow.close()
    socket.send(json.dumps({"id": "3", "type": "subscribe", "payload": {"query": WALLET, "variables": ALEX}}))
    assert json.loads(socket.recv(20))["payload"]["hasNext"] is True
    socket.send(json.dumps({"id": "3", "type": "complete"}))
    socket.send(json.dumps({"type": "ping"}))
    assert json.loads(socket.recv(20)) == {"type": "pong"}
    slow.gate.set()
    socket.send(json.dumps({"id": "3", "type": "subscribe", "payload": {"query": "{ viewer { partner } }"}}))
    assert "viewer" in json.loads(socket.recv(20))["payload"]["data"], "nothing more of the cancelled one"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            '{ viewer { ... @defer(label: "a") { partner } ... @defer(label: "a") { scopes } } }',
            "Defer/Stream directive label argument must be unique.",
        ),
        (
            "query ($l: String) { viewer { ... @defer(label: $l) { partner } } }",
            "Defer directive label argument must be a static string.",
        ),
        (
            'mutation { ... @defer { deletePaymentMethod(input: {paymentMethodId: "x", idempotencyKey: "y"}) '
            "{ deletedId } } }",
            "Defer directive cannot be used on root mutation type 'Mutation'.",
        ),
        (
            'subscription { customerEvents(customerId: "x") { ... @defer { id } } }',
            "Defer directive not supported on subscription operations. Disable `@defer` by setting the `if` argument "
            "to `false`.",
        ),
    ],
)
def test_invalid_uses(demo_gateway: RunningGateway, query: str, message: str) -> None:
    reply = demo_gateway.query(query)
    assert reply.codes[:1] == ["GRAPHQL_VALIDATION_FAILED"]
    assert reply.errors[0]["message"] == message


def test_a_label_is_no_card_number(demo_gateway: RunningGateway) -> None:
    label = "4111" + "1111" * 3
    query = f'{{ customer(id: "cus_alex") {{ name ... @defer(label: "{label}") {{ email }} }} }}'
    reply = demo_gateway.query(query, headers={"accept": IDS})
    assert reply.codes == ["PAN_NOT_ALLOWED"]
    assert label.encode() not in reply.raw
