"""Published documents over WebSocket and server-sent events: the same ids, the same refusals."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.e2e.test_documents_partners import ALEX, DOCUMENTS, FOUND, NAME, H, persisted
from tests.support.gateway import RunningGateway
from tests.support.partners import PartnerApp

IDS: dict[str, dict[str, Any]] = {
    "sha256Hash": persisted(H),
    "documentId": {"documentId": f"sha256:{H}"},
    "doc_id": {"doc_id": "wallet-name"},
    "id": {"id": H},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"documentId": "nowhere"}, "PERSISTED_QUERY_NOT_IN_LIST"),
    "text": ({"query": NAME}, "PERSISTED_QUERY_ID_REQUIRED"),
    "both": ({"query": NAME, "documentId": H}, "CANNOT_SEND_PQ_ID_AND_BODY"),
    "prefix": ({"documentId": "md5:1"}, "BAD_REQUEST"),
}


@pytest.fixture
def acme(demo_gateway: RunningGateway) -> PartnerApp:
    demo_gateway.headers = {}
    return PartnerApp(demo_gateway, "acme", documents=DOCUMENTS)


@pytest.fixture
def socket(acme: PartnerApp) -> Iterator[ClientConnection]:
    url = f"{acme.gateway.url.replace('http', 'ws', 1)}/graphql"
    with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as connection:
        connection.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {acme.key}"}}))
        assert json.loads(connection.recv(5)) == {"type": "connection_ack"}
        yield connection


def asked(socket: ClientConnection, **members: Any) -> Any:
    """The first response to one operation."""
    socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"variables": ALEX, **members}}))
    first = json.loads(socket.recv(5))
    if first["type"] == "next":
        assert json.loads(socket.recv(5)) == {"id": "1", "type": "complete"}
    return first


def test_ids_over_websocket(socket: ClientConnection) -> None:
    for members in IDS.values():
        answer = asked(socket, **members)
        assert (answer["type"], answer["payload"]["data"]) == ("next", FOUND)


def test_refusals_over_websocket(socket: ClientConnection) -> None:
    for members, code in REFUSED.values():
        answer = asked(socket, **members)
        assert answer["type"] == "error"
        assert [error["extensions"]["code"] for error in answer["payload"]] == [code]


@pytest.mark.parametrize("members", IDS.values(), ids=IDS)
def test_ids_as_events(acme: PartnerApp, members: dict[str, Any]) -> None:
    headers = {**acme.headers, "accept": "text/event-stream"}
    reply = acme.gateway.query(None, ALEX, headers=headers, **members)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert b"event: next" in reply.raw
    assert b'"name":"Alex Morales"' in reply.raw
    assert b"event: complete" in reply.raw


@pytest.mark.parametrize(("members", "code"), REFUSED.values(), ids=REFUSED)
def test_refusals_as_events(acme: PartnerApp, members: dict[str, Any], code: str) -> None:
    headers = {**acme.headers, "accept": "text/event-stream"}
    text, rest = members.get("query"), {key: value for key, value in members.items() if key != "query"}
    reply = acme.gateway.query(text, ALEX, headers=headers, **rest)
    assert (reply.status >= 400, reply.codes, reply.headers["cache-control"]) == (True, [code], "no-store")
