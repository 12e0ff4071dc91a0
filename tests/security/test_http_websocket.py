"""graphql-transport-ws: the protocol's close codes, the same rules as over HTTP, and limits per socket."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from app.api.cors import OriginPolicy
from app.api.streams.websocket import SocketLimits
from app.server.addresses import TrustedProxies
from tests.support.served import Served
from tests.support.small_graph import SmallKeeper, endpoint
from tests.support.waiting import eventually

INIT = {"type": "connection_init", "payload": {"authorization": "Bearer good"}}
APP = "https://app.example"
Open = Callable[..., "Socket"]


class Socket:
    """A client that sends and receives JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, *messages: Any) -> None:
        for message in messages:
            self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def next(self, timeout: float = 60) -> Any:
        return json.loads(self.connection.recv(timeout))

    def close_code(self, timeout: float = 60) -> int:
        """The close code of the server, after any messages."""
        try:
            while True:
                self.connection.recv(timeout)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    def started(self, *messages: Any) -> "Socket":
        self.send(INIT)
        assert self.next() == {"type": "connection_ack"}
        self.send(*messages)
        return self


def subscribe(name: str, query: str, **members: Any) -> dict[str, Any]:
    return {"id": name, "type": "subscribe", "payload": {"query": query, **members}}


@pytest.fixture
def keeper() -> SmallKeeper:
    return SmallKeeper()


@pytest.fixture
def start(keeper: SmallKeeper) -> Iterator[Callable[..., Open]]:
    """``start(**socket_limits)`` serves the small schema and returns a function that opens sockets."""
    with ExitStack() as running:

        def serving(**limits: Any) -> Open:
            app = endpoint(keeper, origins=OriginPolicy([APP]), sockets=SocketLimits(**limits), json_depth=16)
            url = running.enter_context(Served(app)).url

            def opened(
                *, protocol: str | None = "graphql-transport-ws", origin: str | None = None, path: str = "", **more: Any
            ) -> Socket:
                address = url.replace("http", "ws") + "/graphql" + path
                chosen = [Subprotocol(protocol)] if protocol else None
                said = Origin(origin) if origin else None
                opening = connect(address, subprotocols=chosen, origin=said, open_timeout=10, **more)
                return Socket(running.enter_context(opening))

            return opened

        yield serving


def test_a_query_a_mutation_and_a_subscription(start: Any, keeper: SmallKeeper) -> None:
    socket = start()().started(subscribe("1", "query($n:String!){hello(name:$n)}", variables={"n": "you"}))
    answer = socket.next()
    assert (answer["id"], answer["type"], answer["payload"]["data"]) == ("1", "next", {"hello": "hello you"})
    assert answer["payload"]["extensions"]["requestId"]
    assert socket.next() == {"id": "1", "type": "complete"}
    socket.send(subscribe("1", 'mutation{write(value:"x")}'))
    assert socket.next()["payload"]["data"] == {"write": "x"}
    assert socket.next()["type"] == "complete"
    socket.send(subscribe("1", "subscription{count(to:3)}"))
    assert [socket.next()["payload"]["data"]["count"] for _ in range(3)] == [0, 1, 2]
    assert socket.next() == {"id": "1", "type": "complete"}
    assert keeper.seen.writes == ["x"]
    assert keeper.seen.streams_open == 0


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{nothing}", "GRAPHQL_VALIDATION_FAILED"),
        ("{" + "hello " * 500 + "}", "FIELD_LIMIT"),
        ("query($v:Int!){number(value:$v)}", "BAD_USER_INPUT"),
        ("subscription($v:Int!){count(to:$v)}", "BAD_USER_INPUT"),
        ("{__schema{types{name}}}", "INTROSPECTION_DISABLED"),
    ],
)  # fmt: skip
def test_a_refused_operation_is_an_error_and_the_socket_stays_open(query: str, code: str, start: Any) -> None:
    socket = start()()
    socket.send({"type": "connection_init", "payload": {"authorization": "Bearer plain"}})
    assert socket.next()["type"] == "connection_ack"
    socket.send(subscribe("a", query, variables={"v": "s3cret"}))
    answer = socket.next()
    assert (answer["id"], answer["type"]) == ("a", "error")
    assert [error["extensions"]["code"] for error in answer["payload"]] == [code]
    assert "s3cret" not in json.dumps(answer)
    socket.send({"type": "ping"})
    assert socket.next() == {"type": "pong"}


def test_a_crash_is_masked(start: Any) -> None:
    socket = start()().started(subscribe("a", "{crash}"))
    (error,) = socket.next()["payload"]["errors"]
    assert (error["message"], error["extensions"]["code"]) == ("Unexpected error.", "INTERNAL_SERVER_ERROR")


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([subscribe("a", "{hello}")], 4401),
        ([INIT, INIT], 4429),
        ([{"type": "connection_init", "payload": {"authorization": "Bearer nobody"}}], 4403),
        ([{"type": "connection_init"}], 4403),
        ([{"type": "connection_init", "payload": "Bearer good"}], 4400),
        (["nonsense"], 4400),
        ([b"\x00\x01"], 4400),
        (["null"], 4400),
        (["[]"], 4400),
        (['{"type":"connection_init","type":"ping"}'], 4400),
        ([{"type": "unknown"}], 4400),
        ([{"type": 5}], 4400),
        ([{}], 4400),
        ([INIT, {"type": "subscribe", "payload": {"query": "{hello}"}}], 4400),
        ([INIT, {"type": "subscribe", "id": "", "payload": {"query": "{hello}"}}], 4400),
        ([INIT, {"type": "subscribe", "id": 5, "payload": {"query": "{hello}"}}], 4400),
        ([INIT, {"type": "subscribe", "id": "x" * 500, "payload": {"query": "{hello}"}}], 4400),
        ([INIT, {"type": "subscribe", "id": "a", "payload": []}], 4400),
        ([INIT, {"type": "subscribe", "id": "a"}], 4400),
        (['{"type":"ping","payload":' + '{"a":' * 50 + "1" + "}" * 50 + "}"], 4400),
        ([INIT, subscribe("a", "{slow(seconds:5)}"), subscribe("a", "{hello}")], 4409),
        (["x" * 400_000], 1009),
    ],
)  # fmt: skip
def test_breaches_of_the_protocol_close_with_its_codes(messages: list[Any], code: int, start: Any) -> None:
    socket = start()()
    socket.send(*messages)
    assert socket.close_code() == code


@pytest.mark.parametrize("protocol", [None, "graphql-ws", "chat"])
def test_another_subprotocol_is_not_acceptable(protocol: str | None, start: Any) -> None:
    assert start()(protocol=protocol).close_code() == 4406


def test_a_missing_connection_init_closes_the_socket(start: Any) -> None:
    socket = start(init_timeout_s=0.2)()
    socket.send({"type": "ping"})
    assert socket.next() == {"type": "pong"}
    assert socket.close_code() == 4408


@pytest.mark.parametrize("origin", ["https://evil.example", "null", APP + ".evil.example"])
def test_a_foreign_origin_is_refused_at_the_handshake(origin: str, start: Any) -> None:
    with pytest.raises(InvalidStatus) as refused:
        start()(origin=origin)
    assert refused.value.response.status_code == 403
    assert b'"FORBIDDEN"' in (refused.value.response.body or b"")


def test_listed_and_own_origins_are_accepted(start: Any) -> None:
    opened = start()
    assert opened(origin=APP).started()
    host = opened().connection.remote_address
    assert opened(origin=f"http://127.0.0.1:{host[1]}").started()


def test_unauthenticated_connections_are_limited_by_address(start: Any) -> None:
    opened = start(connections_per_address=2)
    first, _ = opened(), opened()
    with pytest.raises(InvalidStatus) as refused:
        opened()
    assert (refused.value.response.status_code, refused.value.response.headers["retry-after"]) == (429, "1")
    first.started()
    assert opened().started(), "who said so counts no more"


def test_authenticated_connections_are_limited_by_caller(start: Any, keeper: SmallKeeper) -> None:
    """Other callers behind the same address are not affected."""
    opened = start(connections_per_address=2, connections_per_caller=5)
    sockets = [opened().started() for _ in range(5)]
    surplus = opened()
    surplus.send(INIT)
    assert surplus.close_code() == 1013
    other = opened()
    other.send({"type": "connection_init", "payload": {"authorization": "Bearer plain"}})
    assert other.next() == {"type": "connection_ack"}
    sockets[0].connection.close()
    eventually(lambda: opened_again(opened))


def opened_again(opened: Open) -> bool:
    socket = opened()
    socket.send(INIT)
    try:
        return bool(socket.next() == {"type": "connection_ack"})
    except ConnectionClosed:
        return False


def test_behind_a_trusted_proxy_clients_are_distinguished(start: Any) -> None:
    opened = start(connections_per_address=1, trusted_proxies=TrustedProxies(["127.0.0.1"]))

    def by(address: str) -> Socket:
        socket: Socket = opened(additional_headers={"x-forwarded-for": f"203.0.113.99, {address}"})
        return socket

    assert [by(address) for address in ("198.51.100.1", "198.51.100.2", "2001:db8::1")]
    for address in ("198.51.100.1", "2001:db8::2"):
        with pytest.raises(InvalidStatus) as refused:
            by(address)
        assert refused.value.response.status_code == 429


def test_forwarding_headers_of_others_are_ignored(start: Any) -> None:
    opened = start(connections_per_address=1, trusted_proxies=TrustedProxies(["10.0.0.0/8"]))
    opened(additional_headers={"x-forwarded-for": "198.51.100.1"})
    with pytest.raises(InvalidStatus):
        opened(additional_headers={"x-forwarded-for": "198.51.100.2"})


def test_the_path_may_contain_a_document_id(start: Any) -> None:
    opened = start()
    assert opened(path="/").started(subscribe("1", "{hello}")).next()["payload"]["data"] == {"hello": "hello world"}
    twice = opened(path="/some-id").started(subscribe("1", "{hello}", documentId="other-id")).next()
    assert (twice["type"], twice["payload"][0]["message"]) == ("error", "The document is named twice.")


def test_connections_are_bounded_in_all(start: Any) -> None:
    opened = start(connections=1)
    opened()
    with pytest.raises(InvalidStatus) as refused:
        opened()
    assert refused.value.response.status_code == 503


def test_operations_are_bounded_by_connection_and_by_caller(start: Any) -> None:
    opened = start(operations_per_connection=2, operations_per_caller=3)
    slow = "{slow(seconds:60)}"
    first = opened().started(*(subscribe(str(n), slow) for n in range(3)))
    refused = first.next()
    assert (refused["id"], refused["type"]) == ("2", "error")
    assert refused["payload"][0]["extensions"]["code"] == "THROTTLED"
    second = opened().started(subscribe("0", slow), subscribe("1", slow))
    assert second.next()["id"] == "1"
    first.send({"id": "0", "type": "complete"})

    def is_admitted() -> bool:
        second.send(subscribe("2", "{hello}"))
        return bool(second.next()["type"] == "next")

    eventually(is_admitted)


def test_complete_ends_an_operation_and_a_disconnect_ends_all(start: Any, keeper: SmallKeeper) -> None:
    socket = start()().started(
        subscribe("a", "{slow(seconds:30)}"),
        subscribe("b", "subscription{count(to:1000,seconds:0.2)}"),
        subscribe("c", 'mutation{write(value:"kept",seconds:0.3)}'),
    )
    assert socket.next()["id"] == "b"
    socket.send({"id": "a", "type": "complete"}, {"id": "unknown", "type": "complete"})
    eventually(lambda: keeper.seen.cancelled == 1)
    assert keeper.seen.streams_open == 1
    socket.connection.close()
    eventually(lambda: keeper.seen.streams_open == 0)
    eventually(lambda: keeper.seen.writes == ["kept"])  # a write completes after a disconnect


def test_a_socket_that_is_not_read_is_closed(start: Any, keeper: SmallKeeper) -> None:
    socket = start(send_timeout_s=0.3)(max_queue=1, close_timeout=0.1)
    socket.started(subscribe("a", "subscription{flood}"))
    eventually(lambda: keeper.seen.streams_open == 1)
    eventually(lambda: keeper.seen.streams_open == 0)
    assert keeper.seen.reads < 2_000  # the socket applied backpressure to the source; nothing was queued


def test_expired_credentials_close_the_connection(start: Any, keeper: SmallKeeper) -> None:
    socket = start(recheck_s=0.1)().started()
    keeper.good.clear()
    assert socket.close_code() == 4403


def test_draining_closes_as_going_away(keeper: SmallKeeper) -> None:
    app = endpoint(keeper)
    protocols = [Subprotocol("graphql-transport-ws")]
    with Served(app) as server, connect(server.url.replace("http", "ws") + "/graphql", subprotocols=protocols) as one:
        socket = Socket(one).started(subscribe("a", "subscription{count(to:1000,seconds:0.1)}"))
        assert socket.next()["id"] == "a"
        server.call_soon(app.begin_drain)
        assert socket.close_code() == 1001
        address = server.url.replace("http", "ws") + "/graphql"
        with pytest.raises(InvalidStatus) as refused, connect(address, subprotocols=protocols):
            pass
        assert refused.value.response.status_code == 503
    assert keeper.seen.streams_open == 0
