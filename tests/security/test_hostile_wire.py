"""Hostile HTTP, byte by byte, against a real server: refused in JSON, in time, without a vault call."""

import gzip
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.security.hostile import refused
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway
from tests.support.wire import WireReply, exchange

BODY = b'{"query":"{viewer{partner}}"}'


def head(gateway: RunningGateway, *lines: str, length: int | None = len(BODY), target: str = "/graphql") -> bytes:
    sized = [] if length is None else [f"content-length: {length}"]
    given = [f"authorization: {gateway.headers['authorization']}", "content-type: application/json", *sized, *lines]
    return "\r\n".join([f"POST {target} HTTP/1.1", "host: localhost", *given, "", ""]).encode()


def well(gateway: RunningGateway) -> bool:
    return gateway.query("{viewer{partner}}").status == 200


def test_an_ordinary_request_is_accepted(hostile: RunningGateway) -> None:
    reply = exchange(hostile.url, head(hostile) + BODY)
    assert (reply.status, reply.replies) == (200, 1)


def test_ten_megabytes_are_refused_before_they_are_read(hostile: RunningGateway) -> None:
    body = b'{"query":"#' + b"x" * 10_000_000 + b'\\n{viewer{partner}}"}'
    announced = exchange(hostile.url, head(hostile, length=len(body)))
    assert (announced.status, announced.codes) == (413, ["BODY_LIMIT"])
    refused(hostile.request("POST", "/graphql", body, {"content-type": "application/json"}), 413, "BODY_LIMIT")


def test_ten_megabytes_in_chunks_are_refused_while_received(hostile: RunningGateway) -> None:
    def chunks() -> Iterator[bytes]:
        yield head(hostile, "transfer-encoding: chunked", length=None)
        for _ in range(160):
            yield b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        yield b"0\r\n\r\n"

    reply = exchange(hostile.url, chunks())
    assert (reply.status, reply.codes) == (413, ["BODY_LIMIT"])


def test_a_gzip_bomb_is_not_decompressed(hostile: RunningGateway) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    sent = {"content-type": "application/json", "content-encoding": "gzip"}
    refused(hostile.request("POST", "/graphql", bomb, sent), 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "lines",
    [["x-long: " + "x" * 40_000], [f"x-{n}: y" for n in range(200)], [f"x-{n}: {'y' * 1_000}" for n in range(40)]],
    ids=["one long", "two hundred", "forty kilobytes"],
)
def test_large_headers_are_refused(lines: list[str], hostile: RunningGateway) -> None:
    reply = exchange(hostile.url, head(hostile, *lines) + BODY)
    assert (reply.status, reply.codes) == (431, ["HEADER_LIMIT"])
    assert b"connection: close" in reply.head


def test_endless_headers_are_refused(hostile: RunningGateway) -> None:
    def endless() -> Iterator[bytes]:
        yield b"POST /graphql HTTP/1.1\r\nhost: localhost\r\nx-endless: "
        for _ in range(2_000):
            yield b"x" * 10_000

    reply = exchange(hostile.url, endless())
    assert reply.status in (0, 431)  # the reply may be lost if the client keeps sending
    assert well(hostile)


def test_an_endless_request_target_is_refused(hostile: RunningGateway) -> None:
    reply = exchange(hostile.url, head(hostile, target="/graphql?query=" + "x" * 50_000) + BODY)
    assert (reply.status, reply.codes) == (431, ["HEADER_LIMIT"])


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to a plain port
        b"GET / HTTP/9.9\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\nhost localhost\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\nhost: a\r\n b: folded\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n",
        b"GET /graphql HTTP/1.1\r\nhost : a\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 6\r\n\r\nhello",
        b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nhost: a\r\n\r\n",
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_not_http_is_refused_in_json(raw: bytes, hostile: RunningGateway) -> None:
    reply = exchange(hostile.url, raw)
    assert 400 <= reply.status < 500, reply.raw[:200]
    assert b"application/json" in reply.head
    assert reply.body["errors"][0]["extensions"]["code"]
    assert well(hostile)


@pytest.mark.parametrize(
    "lines",
    [
        ["transfer-encoding: chunked"],
        ["transfer-encoding: chunked, identity"],
        ["transfer-encoding : chunked"],
        ["Content-Length: 0"],
        ["content-length: +29"],
    ],
)
def test_two_lengths_are_never_two_requests(lines: list[str], hostile: RunningGateway) -> None:
    """What a proxy may parse as one request must not become two here."""
    smuggled = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\n\r\n"
    reply = exchange(hostile.url, head(hostile, *lines) + b"0\r\n\r\n" + smuggled)
    assert 400 <= reply.status < 500
    assert reply.replies == 1
    assert well(hostile)


@pytest.mark.parametrize(
    "lines",
    [
        ["authorization: Bearer x"],
        ["content-type: text/plain"],
        ["x-api-key: a", "x-api-key: b"],
        ["host: evil.example"],
    ],
)
def test_a_repeated_header_is_refused(lines: list[str], hostile: RunningGateway) -> None:
    reply = exchange(hostile.url, head(hostile, *lines) + BODY)
    assert (reply.status, reply.codes) == (400, ["BAD_REQUEST"])


def test_pipelined_requests_are_answered_in_order(hostile: RunningGateway) -> None:
    reply = exchange(hostile.url, (head(hostile) + BODY) * 3)
    assert reply.replies == 3
    assert reply.raw.count(b'"partner"') == 3


@pytest.fixture
def hurried(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(gate={"head_timeout_s": 0.3, "body_timeout_s": 0.3})


def test_a_trickling_body_times_out(hurried: RunningGateway) -> None:
    reply = exchange(hurried.url, [head(hurried), BODY[:5]])
    assert (reply.status, reply.codes) == (408, ["REQUEST_TIMEOUT"])
    assert b"connection: close" in reply.head


def test_a_trickling_head_times_out(hurried: RunningGateway) -> None:
    def trickle() -> Iterator[bytes]:
        yield b"POST /graphql HTTP/1.1\r\n"
        for number in range(20):
            yield f"x-{number}: y\r\n".encode()

    reply = exchange(hurried.url, trickle(), pause_s=0.05)
    assert (reply.status, reply.codes) == (408, ["REQUEST_TIMEOUT"])


@pytest.mark.parametrize(
    ("path", "lines", "status"),
    [
        ("/webhooks/nobody/x", [], 404),
        ("/webhooks/caselle/x", ["x-webhook-signature: sha256=00", "x-webhook-timestamp: NOW"], 404),
        ("/webhooks/caselle/ACCOUNT", [], 401),
        ("/webhooks/caselle/ACCOUNT", ["x-webhook-timestamp: NOW"], 401),
        ("/webhooks/caselle/ACCOUNT", ["x-webhook-signature: sha256=00", "x-webhook-timestamp: 5"], 401),
        ("/webhooks/caselle/ACCOUNT", ["x-webhook-signature: sha256=" + "00" * 32, "x-webhook-timestamp: NOW"], 408),
    ],
)
def test_an_unknown_webhook_is_refused_before_its_body_is_read(
    path: str, lines: list[str], status: int, start_gateway: StartGateway
) -> None:
    """The last one looks valid up to its body, which has a short timeout."""
    gateway = start_gateway(gate={"body_timeout_s": 0.3} if status == 408 else {"body_timeout_s": 60})
    named = {"ACCOUNT": gateway.settings.caselle.payment_account_uid, "NOW": str(int(time.time()))}
    text = "\r\n".join([f"POST {path} HTTP/1.1", "host: a", *lines, "content-length: 5000", "", "{"])
    for word, value in named.items():
        text = text.replace(word, value)
    reply = exchange(gateway.url, text.encode())
    assert (reply.status, b"connection: close" in reply.head) == (status, True)


def test_a_connection_without_a_request_is_closed(hurried: RunningGateway) -> None:
    assert exchange(hurried.url, b"", timeout_s=5).raw == b""


def test_a_keep_alive_connection_can_be_idle_and_be_used_again(hurried: RunningGateway) -> None:
    """The timeout for a head starts with its first byte: pauses between requests have the keep-alive timeout."""
    reply = exchange(hurried.url, [head(hurried) + BODY, head(hurried) + BODY], pause_s=0.6)
    assert reply.replies == 2


@pytest.mark.parametrize("path", ["//graphql", "/graphql/../metrics/", "/%67raphql/x", "/.env", "/graphiql/../../x"])
def test_other_paths_are_not_found(path: str, hostile: RunningGateway) -> None:
    reply = hostile.request("POST", path, BODY, {"content-type": "application/json"})
    assert reply.status in (400, 404, 405)


def test_assets_allow_no_path_traversal(hostile: RunningGateway) -> None:
    for path in (
        "/graphiql/../pyproject.toml",
        "/graphiql/%2e%2e/keeper.py",
        "/graphiql/..%2fkeeper.py",
        "/graphiql//etc/passwd",
    ):
        reply = hostile.request("GET", path)
        assert reply.status == 404, path


def test_many_slow_bodies_do_not_slow_others(start_gateway: StartGateway) -> None:
    gateway = start_gateway()
    replies: list[WireReply] = []

    begun, go_on = threading.Semaphore(0), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield head(gateway)
        yield BODY[:10]
        begun.release()
        go_on.wait(20)
        yield BODY[10:]

    def slow() -> None:
        replies.append(exchange(gateway.url, pieces()))

    threads = [threading.Thread(target=slow) for _ in range(50)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert begun.acquire(timeout=20)
    assert well(gateway)
    assert replies == []
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert [reply.status for reply in replies] == [200] * 50


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/graphql", "GET, POST, OPTIONS"),
        ("/graphql/some-id", "GET, POST, OPTIONS"),
        ("/webhooks/caselle/x", "POST"),
    ],
)
def test_a_refused_method_lists_the_allowed_ones(path: str, allowed: str, hostile: RunningGateway) -> None:
    for method in ("DELETE", "PATCH"):
        reply = hostile.request(method, path)
        assert (reply.status, reply.headers["allow"]) == (405, allowed)


def test_health_pages_accept_only_get_and_head(hostile: RunningGateway) -> None:
    for method, status in (("GET", 200), ("HEAD", 200), ("POST", 405), ("DELETE", 405)):
        reply: Any = hostile.request(method, "/healthz")
        assert reply.status == status


@pytest.mark.parametrize("path", ["/", "/healthz", "/webhooks/caselle/x", "/graphiql/graphiql.js"])
def test_websockets_exist_only_below_graphql(path: str, hostile: RunningGateway) -> None:
    asked = "\r\n".join(
        [
            f"GET {path} HTTP/1.1", "host: localhost", "connection: Upgrade", "upgrade: websocket",
            "sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "", "",
        ]
    )  # fmt: skip
    reply = exchange(hostile.url, asked.encode())
    assert (reply.status, reply.codes) == (404, ["NOT_FOUND"])
