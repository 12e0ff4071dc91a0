"""Slow clients: every wait for a client has a timeout, and others are served meanwhile."""

import asyncio
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from starlette.routing import Route

from app.api.health import healthz
from app.api.response import HttpResponse
from app.api.router import GatewayApp
from app.server.addresses import TrustedProxies
from app.server.connections import ConnectionLimits
from tests.support.served import Served
from tests.support.small_graph import SmallKeeper, endpoint
from tests.support.waiting import eventually
from tests.support.wire import WireReply, exchange

HURRIED = {"head_timeout_s": 0.5, "body_timeout_s": 0.5, "send_timeout_s": 0.5, "keep_alive_s": 30}
QUERY = b'{"query":"{hello}"}'


def post(body: bytes = QUERY, *lines: str, token: str = "good", length: int | None = None) -> bytes:
    given = [f"authorization: Bearer {token}", "content-type: application/json", *lines]
    given.append(f"content-length: {len(body) if length is None else length}")
    return "\r\n".join(["POST /graphql HTTP/1.1", "host: localhost", *given, "", ""]).encode() + body


class Client:
    """One raw connection. Reads wait for the server and fail after 20 s, far beyond every deadline in use."""

    def __init__(self, url: str, receive_buffer: int | None = None) -> None:
        address = urlsplit(url)
        self.socket = socket.socket(socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect((address.hostname, address.port))

    def send(self, data: bytes) -> "Client":
        self.socket.sendall(data)
        return self

    def everything(self) -> WireReply:
        """All bytes until the server closes."""
        received = b""
        try:
            while chunk := self.socket.recv(65_536):
                received += chunk
        except ConnectionResetError:
            pass
        return WireReply(received)

    def answer(self, *, has_body: bool = False) -> WireReply:
        """The bytes received so far, at least a head; with `has_body` the body that it announces too."""
        received = b""
        while b"\r\n\r\n" not in received or (has_body and not _is_whole(received)):
            chunk = self.socket.recv(65_536)
            assert chunk, "the server closed the connection"
            received += chunk
        return WireReply(received)

    def is_reset(self, within_s: float = 60) -> bool:
        """True if the server resets the connection while nothing is read."""
        poll = select.poll()
        poll.register(self.socket, select.POLLERR | select.POLLHUP)
        return bool(poll.poll(within_s * 1000))

    def is_closed(self) -> bool:
        """True if the server has closed the connection; does not wait."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(65_536) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        finally:
            self.socket.settimeout(20)


def _is_whole(received: bytes) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = (line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length)


@pytest.fixture
def keeper() -> SmallKeeper:
    return SmallKeeper()


@pytest.fixture
def opened(keeper: SmallKeeper) -> Iterator[Any]:
    """``opened(limits, **endpoint_limits)`` serves a small gateway and returns its address."""
    with ExitStack() as running:

        def serving(limits: dict[str, Any], **more: Any) -> Served:
            async def never(_: Request) -> HttpResponse:
                await asyncio.Event().wait()
                raise AssertionError("unreachable")

            front = GatewayApp(endpoint(keeper, **more), [Route("/healthz", healthz), Route("/never", never)])
            return running.enter_context(Served(front, limits=ConnectionLimits(**limits)))

        yield serving


def is_well(server: Served) -> bool:
    return exchange(server.url, post(b'{"query":"{hello}"}', "connection: close")).status == 200


@pytest.mark.parametrize("first", [b"", b"G", b"POST /graphql HTTP/1.1\r\nhost: localhost\r\nx-half"])
def test_an_incomplete_head_times_out(first: bytes, opened: Any) -> None:
    reply = Client(opened(HURRIED).url).send(first).everything()
    assert (reply.status, reply.codes if first else []) == ((408, ["REQUEST_TIMEOUT"]) if first else (0, []))


def test_a_trickling_head_does_not_extend_its_timeout(opened: Any) -> None:
    client = Client(opened(HURRIED).url).send(b"POST /graphql HTTP/1.1\r\n")
    stop = threading.Event()

    def trickle() -> None:
        try:
            while not stop.wait(0.05):
                client.send(b"x: y\r\n")
        except OSError:
            return

    trickling = threading.Thread(target=trickle)
    trickling.start()
    reply = client.everything()
    stop.set()
    trickling.join()
    assert (reply.status, reply.codes) == (408, ["REQUEST_TIMEOUT"])


def test_an_incomplete_second_head_times_out_too(opened: Any) -> None:
    client = Client(opened(HURRIED).url)
    assert client.send(post()).answer().status == 200
    assert client.send(b"POST /graphql HT").everything().codes == ["REQUEST_TIMEOUT"]


def test_line_ends_after_a_request_are_ignored(opened: Any) -> None:
    """An extra response could be taken for that to the next request."""
    client = Client(opened(HURRIED).url)
    assert client.send(post()).answer().status == 200
    assert client.send(b"\r\n" + post()).answer().status == 200
    assert client.send(b"\r\n").everything().raw == b""


@pytest.mark.parametrize("body", [b"", b'{"que'])
@pytest.mark.parametrize("body_timeout_s", [0.2, 60], ids=["the endpoint", "the server"])
def test_a_missing_body_times_out(body_timeout_s: float, body: bytes, opened: Any) -> None:
    server = opened(HURRIED, body_timeout_s=body_timeout_s)
    reply = Client(server.url).send(post(body, length=100)).everything()
    assert (reply.status, reply.codes) == (408, ["REQUEST_TIMEOUT"])
    assert b"connection: close" in reply.head


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/graphql"])
def test_a_response_before_the_whole_body_closes_the_connection(method: str, path: str, opened: Any) -> None:
    """The rest is neither waited for nor parsed as a request."""
    client = Client(opened({**HURRIED, "body_timeout_s": 60}).url)
    client.send(f"{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\nx".encode())
    reply = client.answer()
    assert b"connection: close" in reply.head
    client.send(b"y")
    client.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
    assert client.everything().raw.count(b"HTTP/1.1") == 0


def test_an_unread_chunked_body_closes_the_connection_too(opened: Any) -> None:
    client = Client(opened(HURRIED).url)
    client.send(b"POST /nothing HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert b"connection: close" in client.everything().head


def test_a_body_in_two_parts_leaves_the_connection_open(opened: Any) -> None:
    client = Client(opened(HURRIED).url)
    client.send(post(QUERY[:5], length=len(QUERY)))
    time.sleep(0.1)  # so that it arrives in two parts
    reply = client.send(QUERY[5:]).answer()
    assert (reply.status, b"connection: close" in reply.head) == (200, False)
    assert client.send(post()).answer().status == 200


def test_trailers_are_bounded(opened: Any) -> None:
    client = Client(opened({**HURRIED, "body_timeout_s": 60}, body_timeout_s=60).url)
    head = post(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    client.send(head + b"13\r\n" + QUERY + b"\r\n0\r\nx: ")
    while not select.select([client.socket], [], [], 0)[0]:
        client.send(b"y" * 10_000)
    reply = client.everything()
    assert (reply.status, reply.codes) == (431, ["HEADER_LIMIT"])


def test_a_body_of_tiny_chunks_is_read(opened: Any) -> None:
    client = Client(opened({**HURRIED, "body_timeout_s": 60}).url)
    query = b'{"query":"{hello}"' + b" " * 30_000 + b"}"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in query) + b"0\r\n\r\n"
    head = post(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    assert client.send(head).send(chunks).answer().status == 200


def test_unread_pipelined_responses_hold_no_slot(opened: Any, keeper: SmallKeeper) -> None:
    """Two requests whose responses fill every buffer would otherwise occupy both slots forever."""
    server = opened({**HURRIED, "send_timeout_s": 1}, max_in_flight=2)
    long = b'{"query":"{long(size:3000000)}"}'
    greedy = [Client(server.url, receive_buffer=4096).send(post(long) * 8) for _ in range(2)]
    eventually(lambda: exchange(server.url, post(b'{"query":"{hello}"}', "connection: close")).status == 503)
    eventually(lambda: is_well(server))
    assert all(0 < client.everything().replies < 8 for client in greedy)


@pytest.mark.parametrize("close", [b"connection: close\r\n", b""])
def test_an_unread_response_times_out(close: bytes, opened: Any) -> None:
    server = opened({**HURRIED, "keep_alive_s": 0.2})
    client = Client(server.url, receive_buffer=4096)
    client.send(post(b'{"query":"{long(size:9000000)}"}').replace(b"\r\n\r\n", b"\r\n" + close + b"\r\n", 1))
    assert client.is_reset(), "the server gave up, though nothing was read"
    assert len(client.everything().raw) < 9_000_000
    assert is_well(server)


def test_too_many_pipelined_requests_are_refused_after_those_before(opened: Any) -> None:
    client = Client(opened(HURRIED).url)
    reply = client.send(b"GET /healthz HTTP/1.1\r\n\r\n" * 1_000).everything()
    assert (reply.raw.count(b"HTTP/1.1 200"), reply.replies) == (101, 102)
    assert b'"THROTTLED"' in reply.raw.rpartition(b"HTTP/1.1 429")[2]


@pytest.mark.parametrize(
    ("surplus", "status"),
    [(b"NONSENSE\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", 431), (b"GET / HT", 408)],
)
def test_surplus_bytes_are_refused_after_the_response(surplus: bytes, status: int, opened: Any) -> None:
    """An early refusal would be taken for the response to a write that was done."""
    reply = Client(opened(HURRIED).url).send(post(b'{"query":"{slow(seconds:0.2)}"}') + surplus).everything()
    first, _, second = reply.raw.removeprefix(b"HTTP/1.1 ").partition(b"HTTP/1.1 ")
    assert (first[:3], second[:3]) == (b"200", str(status).encode())
    assert b'"done"' in first


def test_a_pipelined_body_does_not_time_out_while_waiting(opened: Any) -> None:
    """The server stops reading while it answers the previous request."""
    long = b'{"query":"{hello}"' + b" " * 200_000 + b"}"
    server = opened({**HURRIED, "body_timeout_s": 1})
    reply = (
        Client(server.url).send(post(b'{"query":"{slow(seconds:1.5)}"}') + post(long, "connection: close")).everything()
    )
    assert reply.raw.count(b"HTTP/1.1 200") == 2


def upgrade(*lines: str, method: str = "GET") -> bytes:
    given = [
        "host: localhost", "connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol: graphql-transport-ws", *lines,
    ]  # fmt: skip
    return "\r\n".join([f"{method} /graphql HTTP/1.1", *given, "", ""]).encode()


@pytest.mark.parametrize("line", ["content-length: 5", "content-length: 100000", "transfer-encoding: chunked"])
def test_a_handshake_with_a_body_is_refused(line: str, opened: Any) -> None:
    reply = Client(opened({**HURRIED, "body_timeout_s": 60}).url).send(upgrade(line) + b"x").everything()
    assert (reply.status, reply.codes) == (400, ["BAD_REQUEST"])


def test_a_valid_handshake_is_accepted(opened: Any) -> None:
    server = opened(HURRIED)
    for request in (upgrade(), upgrade("content-length: 0"), upgrade().replace(b"/graphql ", b"/graphql/ ")):
        assert Client(server.url).send(request).answer().status == 101
    assert Client(server.url).send(upgrade().replace(b"/graphql ", b"/healthz ")).everything().codes == ["NOT_FOUND"]


@pytest.mark.parametrize(
    ("said", "instead", "status"),
    [
        (b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"", 400),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short", 400),
        (b"sec-websocket-version: 13", b"sec-websocket-version: 8", 400),
        (b"host: localhost", b"host: localhost\r\norigin: https://evil.example", 403),
    ],
)
def test_an_invalid_handshake_is_refused_in_json(said: bytes, instead: bytes, status: int, opened: Any) -> None:
    reply = Client(opened(HURRIED).url).send(upgrade().replace(said, instead)).everything()
    assert reply.status == status
    assert reply.codes == ["FORBIDDEN" if status == 403 else "BAD_REQUEST"]
    assert b"content-type: application/json" in reply.head


@pytest.mark.parametrize(
    "lines",
    [
        ["connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAU"],
        ["connection: Upgrade", "upgrade: websocket"],
        ["connection: keep-alive, Upgrade", "upgrade: TLS/1.2, h2c"],
        ["connection: upgrade", "upgrade: something-else"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("in_parts", [True, False])
def test_an_upgrade_with_a_post_is_ignored(lines: list[str], in_parts: bool, opened: Any) -> None:
    client = Client(opened({**HURRIED, "body_timeout_s": 20}).url)
    request = post(QUERY, *lines)
    if in_parts:
        cut = len(request) - len(QUERY)
        client.send(request[:cut])
        time.sleep(0.1)
        client.send(request[cut : cut + 3])
        time.sleep(0.1)
        client.send(request[cut + 3 :])
    else:
        client.send(request)
    reply = client.answer(has_body=True)
    assert (reply.status, reply.body["data"]) == (200, {"hello": "hello world"})
    assert client.send(post()).answer().status == 200, "the connection lives"


def test_an_upgrade_with_a_get_is_ignored(opened: Any) -> None:
    request = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    assert Client(opened(HURRIED).url).send(request * 2).answer().raw.startswith(b"HTTP/1.1 200")


def test_connect_is_refused(opened: Any) -> None:
    reply = Client(opened(HURRIED).url).send(b"CONNECT a.example:443 HTTP/1.1\r\nhost: a\r\n\r\n").everything()
    assert (reply.status, reply.codes) == (405, ["METHOD_NOT_ALLOWED"])
    assert b"allow: " in reply.head


def test_idle_connections_of_one_address_are_evicted(opened: Any) -> None:
    server = opened({"connections_per_address": 20})
    idle = [Client(server.url) for _ in range(60)]
    assert is_well(server)
    eventually(lambda: sum(not client.is_closed() for client in idle) <= 20)
    left = [client for client in idle if not client.is_closed()]
    assert left[-1].send(post()).answer().status == 200


def test_a_burst_from_one_address_is_served(opened: Any) -> None:
    """All connect before the first is read; a proxy that is not configured as trusted connects like this."""
    server = opened({"connections_per_address": 5})
    held = threading.Event()
    server.call_soon(held.wait)
    burst = [Client(server.url) for _ in range(60)]
    for client in burst:
        client.send(post())
    held.set()
    assert {client.answer().status for client in burst} == {200}


def test_authenticated_connections_do_not_count_for_their_address(opened: Any) -> None:
    server = opened({"connections_per_address": 5})
    known = [Client(server.url) for _ in range(1)]
    for _ in range(20):
        assert known[-1].send(post()).answer().status == 200
        known.append(Client(server.url))
    assert [client.is_closed() for client in known[:-1]] == [False] * 20


def test_idle_connections_of_one_caller_are_evicted(opened: Any, keeper: SmallKeeper) -> None:
    server = opened({"connections_per_caller": 5})
    other = Client(server.url).send(post(token="plain"))
    assert other.answer().status == 200
    idle = []
    for _ in range(20):
        idle.append(Client(server.url).send(post()))
        assert idle[-1].answer().status == 200
    eventually(lambda: sum(not client.is_closed() for client in idle) == 5)
    assert not other.is_closed()


def test_a_callers_next_connection_is_refused_if_none_is_idle(opened: Any) -> None:
    server = opened({"connections_per_caller": 2})
    slow = b'{"query":"{slow(seconds:60)}"}'
    busy = [Client(server.url).send(post(slow)) for _ in range(2)]
    eventually(lambda: Client(server.url).send(post()).answer().status == 429)
    assert Client(server.url).send(post()).answer(has_body=True).codes == ["THROTTLED"]
    assert Client(server.url).send(post(token="plain")).answer().status == 200
    busy[0].socket.close()
    eventually(lambda: is_well(server))


def test_a_connection_counts_for_the_caller_of_its_last_request(opened: Any) -> None:
    """A connection that a proxy keeps open carries requests of many callers."""
    server = opened({"connections_per_caller": 2})
    clients = [Client(server.url) for _ in range(4)]
    for token, pair in (("good", clients[:2]), ("plain", clients[2:]), ("plain", clients[:2])):
        assert {client.send(post(token=token)).answer().status for client in pair} == {200}
    eventually(lambda: [client.is_closed() for client in clients] == [False, False, True, True])


def test_a_trusted_proxy_connects_for_many(opened: Any) -> None:
    server = opened({"connections_per_address": 5, "trusted_proxies": TrustedProxies(["127.0.0.0/8"])})
    idle = [Client(server.url) for _ in range(20)]
    assert is_well(server)
    assert not any(client.is_closed() for client in idle)


@pytest.mark.parametrize("known", [True, False])
def test_all_connections_are_limited_and_idle_ones_are_evicted(known: bool, opened: Any) -> None:
    server = opened({"connections": 30, "connections_per_address": 1000})
    idle = [Client(server.url) for _ in range(30)]
    if known:
        assert {client.send(post()).answer().status for client in idle} == {200}
    for _ in range(30):
        assert is_well(server)
    more = [Client(server.url) for _ in range(40)]
    assert is_well(server)
    eventually(lambda: sum(not client.is_closed() for client in (*idle, *more)) <= 30)


def test_a_new_connection_is_refused_if_none_is_idle(opened: Any, keeper: SmallKeeper) -> None:
    server = opened({"connections": 10, "connections_per_address": 1000})
    busy = [Client(server.url).send(post(b'{"query":"{slow(seconds:60)}"}')) for _ in range(10)]
    reply = Client(server.url).everything()
    assert (reply.status, reply.codes, b"retry-after: 1" in reply.head) == (503, ["OVERLOADED"], True)
    busy[0].socket.close()
    eventually(lambda: is_well(server))


def test_an_addresss_new_connection_is_refused_if_none_is_idle(opened: Any) -> None:
    server = opened({"connections_per_address": 1})
    busy = Client(server.url).send(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n")
    eventually(
        lambda: (
            b"HTTP/1.1 429" in Client(server.url).send(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").everything().raw
        )
    )
    assert not busy.is_closed()
