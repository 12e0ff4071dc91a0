"""TLS on the lean transport: certificate checks, SNI, handshake timeouts and close_notify."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from app.http.message import VaultReply
from app.http.transports.base import Cause, MaybeSent, NotSent
from app.http.transports.lean import LeanTransport
from tests.support.certificates import certified
from tests.support.raw_server import reply
from tests.support.threaded_server import ThreadedServer

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    def on_loop(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(main, 60))

    return on_loop


async def ask(url: str, tls: ssl.SSLContext | None, times: int = 1, method: str = "GET") -> VaultReply:
    transport = LeanTransport(connections=1, max_body_bytes=100_000, tls=tls)
    try:
        for _ in range(times):
            deadline_at = asyncio.get_running_loop().time() + 5
            found = await transport.send(method, url + "/x", {}, None, deadline_at)
        return found
    finally:
        await transport.close()


def answer_all(client: socket.socket) -> None:
    while client.recv(10_000):
        client.sendall(reply(200, b"x" * 70_000))


Run = Callable[[Coroutine[Any, Any, Any]], Any]


def test_a_trusted_vault_gets_sni_and_its_connection_is_reused(run: Run, tmp_path: Path) -> None:
    server, client = certified(tmp_path, "localhost", "127.0.0.1")
    with ThreadedServer(answer_all, server) as vault:
        found = run(ask(vault.url.replace("127.0.0.1", "localhost"), client, times=3))
        assert (found.status, len(found.body)) == (200, 70_000)
        assert (vault.names, vault.connections) == (["localhost"], 1)
        assert run(ask(vault.url, client)).status == 200
        assert vault.names == ["localhost", None]  # no SNI for an IP address


@pytest.mark.parametrize("is_trusted", [True, False])
def test_nothing_is_sent_to_a_vault_without_a_valid_certificate(run: Run, tmp_path: Path, is_trusted: bool) -> None:
    heard: list[bytes] = []
    server, client = certified(tmp_path, "elsewhere.example")
    with ThreadedServer(lambda sock: heard.append(sock.recv(10)), server) as vault:
        with pytest.raises(NotSent) as caught:
            run(ask(vault.url, client if is_trusted else None, method="POST"))
        assert caught.value.cause is Cause.CONNECT
        assert str(vault.port) not in str(caught.value)
    assert heard in ([], [b""])


def test_a_stalled_handshake_is_not_sent(run: Run, tmp_path: Path) -> None:
    async def hurry(url: str) -> None:
        transport = LeanTransport(connections=1, max_body_bytes=10)
        for _ in range(2):  # twice: the slot was released
            with pytest.raises(NotSent) as caught:
                await transport.send("POST", url, {}, b"{}", asyncio.get_running_loop().time() + 0.1)
            assert caught.value.cause is Cause.TIMEOUT
        await transport.close()

    with ThreadedServer(lambda sock: time.sleep(0.5)) as vault:
        run(hurry(vault.url.replace("http:", "https:")))


def test_a_body_delimited_by_eof_requires_close_notify(tmp_path: Path) -> None:
    """Without it an attacker could truncate the body. asyncio's loop cannot distinguish the ends."""
    server, client = certified(tmp_path, "127.0.0.1")

    def politely(sock: socket.socket) -> None:
        assert isinstance(sock, ssl.SSLSocket)
        sock.recv(10_000)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        sock.unwrap()

    def rudely(sock: socket.socket) -> None:
        sock.recv(10_000)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf of")
        socket.socket(fileno=sock.detach()).close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        with ThreadedServer(politely, server) as vault:
            assert runner.run(ask(vault.url, client)).body == b"all of it"
        with ThreadedServer(rudely, server) as vault:
            with pytest.raises(MaybeSent) as caught:
                runner.run(ask(vault.url, client))
            assert caught.value.cause is Cause.TRUNCATED
