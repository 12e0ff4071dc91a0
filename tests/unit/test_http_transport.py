"""Both transports: `NotSent` versus `MaybeSent`, and no automatic retries, redirects or cookies."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import aiohttp
import pytest
from aiohttp import client_exceptions

from app.http.message import VaultReply
from app.http.transports import aiohttp_transport
from app.http.transports.aiohttp_transport import CAUSES, AiohttpTransport, cause_of
from app.http.transports.base import Cause, MaybeSent, NotSent, Transport, TransportError
from app.http.transports.choice import Kind, open_transport
from tests.support.raw_server import Answer, RawServer, ReceivedRequest, raw_server, reply
from tests.support.transports import BOTH

Connects = Callable[..., AbstractAsyncContextManager[tuple[Transport, RawServer]]]


@pytest.fixture(params=BOTH)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def transport_to(kind: Kind) -> Connects:
    """``transport_to(answer)``: a transport and a raw server that sends this reply."""
    return partial(_transport_to, kind)


@asynccontextmanager
async def _transport_to(
    kind: Kind,
    answer: Callable[[ReceivedRequest], Awaitable[Answer]],
    connections: int = 4,
    max_body_bytes: int = 100_000,
) -> AsyncIterator[tuple[Transport, RawServer]]:
    async with raw_server(answer) as server:
        transport = open_transport(kind, connections=connections, max_body_bytes=max_body_bytes)
        try:
            yield transport, server
        finally:
            await transport.close()


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def get(transport: Transport, server: RawServer, path: str = "/x", seconds: float = 5.0) -> VaultReply:
    return await transport.send("GET", server.url + path, {}, None, soon(seconds))


def subclasses(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_every_aiohttp_exception_has_a_cause() -> None:
    ours = {kind for kind in subclasses(aiohttp.ClientError) if kind.__module__.startswith("aiohttp")}
    assert ours - set(CAUSES) == set()
    exported = {vars(client_exceptions)[name] for name in client_exceptions.__all__}
    assert {kind for kind in exported if issubclass(kind, aiohttp.ClientError)} <= set(CAUSES)


@pytest.mark.parametrize("kind", sorted(CAUSES, key=lambda kind: kind.__name__))
def test_the_cause_is_found_by_exception_class(kind: type[aiohttp.ClientError]) -> None:
    assert cause_of(kind.__new__(kind)) is CAUSES[kind]


def test_an_unknown_exception_class_inherits_its_parents_cause() -> None:
    class Newer(client_exceptions.ServerDisconnectedError):
        pass

    assert cause_of(Newer()) is Cause.RESET
    assert cause_of(TimeoutError()) is Cause.TIMEOUT
    assert cause_of(ConnectionResetError()) is Cause.RESET


def keeps_then_drops() -> Callable[[ReceivedRequest], Awaitable[Answer]]:
    """Replies to the first request of each connection and closes it after reading the second."""
    seen: dict[int, int] = {}

    async def answer(asked: ReceivedRequest) -> Answer:
        seen[asked.connection] = seen.get(asked.connection, 0) + 1
        return reply() if seen[asked.connection] == 1 else None

    return answer


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST", "PATCH"])
async def test_a_dead_keep_alive_connection_is_reported_and_not_retried(transport_to: Connects, method: str) -> None:
    async with transport_to(keeps_then_drops()) as (transport, server):
        await get(transport, server)
        body = None if method in ("GET", "DELETE") else b"{}"
        with pytest.raises(MaybeSent) as caught:
            await transport.send(method, server.url + "/y", {}, body, soon())
    assert caught.value.cause is Cause.RESET
    assert [asked.method for asked in server.asked] == ["GET", method]


async def test_plain_aiohttp_retries_on_a_dead_connection() -> None:
    """Control for the test above: without the patched setting, the server receives the PUT twice."""
    async with _transport_to("aiohttp", keeps_then_drops()) as (transport, server):
        assert isinstance(transport, AiohttpTransport)
        await get(transport, server)
        assert transport._session is not None
        transport._session._retry_connection = True
        await transport.send("PUT", server.url + "/y", {}, b"{}", soon())
    assert [asked.method for asked in server.asked] == ["GET", "PUT", "PUT"]


async def test_a_refused_connection_is_not_sent(kind: Kind, transport_to: Connects) -> None:
    async with transport_to(keeps_then_drops()) as (transport, server):
        pass
    transport = open_transport(kind, connections=1, max_body_bytes=10)
    with pytest.raises(NotSent) as caught:
        await get(transport, server)
    assert caught.value.cause is Cause.CONNECT
    assert str(server.port) not in str(caught.value)
    await transport.close()


async def test_a_name_that_does_not_resolve_is_not_sent(kind: Kind) -> None:
    transport = open_transport(kind, connections=1, max_body_bytes=10)
    with pytest.raises(NotSent):
        await transport.send("POST", "http://vault.invalid/x", {}, b"{}", soon())
    await transport.close()


async def test_nothing_is_sent_to_a_server_without_tls(kind: Kind) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 No\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    transport = open_transport(kind, connections=1, max_body_bytes=10, tls=ssl.create_default_context())
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(NotSent) as caught:
        await transport.send("POST", f"https://127.0.0.1:{port}/x", {}, b"{}", soon())
    assert caught.value.cause is Cause.CONNECT
    await transport.close()
    listener.close()


async def test_a_timeout_in_the_pool_is_not_sent_and_in_the_reply_may_be_sent(transport_to: Connects) -> None:
    async def silent(asked: ReceivedRequest) -> Answer:
        await asyncio.sleep(30)
        return None

    async with transport_to(silent, connections=1) as (transport, server):
        first = asyncio.create_task(get(transport, server, seconds=0.4))
        while not server.asked:
            await asyncio.sleep(0.005)
        with pytest.raises(NotSent) as unsent:
            await get(transport, server, seconds=0.1)
        with pytest.raises(MaybeSent) as sent:
            await first
    assert (unsent.value.cause, sent.value.cause) == (Cause.TIMEOUT, Cause.TIMEOUT)
    assert len(server.asked) == 1


async def test_a_deadline_in_the_past_opens_nothing(transport_to: Connects) -> None:
    async with transport_to(keeps_then_drops()) as (transport, server):
        with pytest.raises(NotSent):
            await get(transport, server, seconds=-0.1)
    assert server.connections == 0


CUT = b'HTTP/1.1 200 OK\r\ncontent-length: 50\r\nconnection: close\r\n\r\n{"half":'
CUT_CHUNKS = b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n8\r\n{"half":\r\n'
NOT_HTTP = b"SSH-2.0-OpenSSH_9.2\r\nconnection: close\r\n\r\n"
HUGE_HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\nx: " + b"a" * 100_000 + b"\r\n\r\n"
BOMB = reply(200, gzip.compress(bytes(50_000_000)), "content-encoding: gzip\r\n")
BAD_GZIP = reply(200, b"this is not gzip", "content-encoding: gzip\r\nconnection: close\r\n")


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (CUT, Cause.TRUNCATED),
        (CUT_CHUNKS, Cause.TRUNCATED),
        (NOT_HTTP, Cause.UNREADABLE),
        (HUGE_HEAD, Cause.UNREADABLE),
        (BAD_GZIP, Cause.TRUNCATED),
        (reply(200, b"x" * 5_000_000), Cause.TOO_LARGE),
        (BOMB, Cause.TOO_LARGE),
        (None, Cause.RESET),
    ],
)
async def test_unusable_replies(transport_to: Connects, answer: Answer, cause: Cause) -> None:
    async def say(asked: ReceivedRequest) -> Answer:
        return answer

    async with transport_to(say) as (transport, server):
        with pytest.raises(MaybeSent) as caught:
            await get(transport, server)
        assert caught.value.cause is cause
        with pytest.raises(TransportError):
            await get(transport, server)
    if answer is not BOMB:  # small until inflated, so it was read completely
        assert server.asked[0].connection != server.asked[1].connection  # the connection was not reused


async def test_bodies_are_complete_in_every_framing(transport_to: Connects) -> None:
    text = bytes(range(256)) * 300
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(text[i : i + 999]), text[i : i + 999]) for i in range(0, len(text), 999))
    answers = [
        reply(200, text),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked + b"0\r\n\r\n",
        reply(200, gzip.compress(text), "content-encoding: gzip\r\n"),
        reply(200, gzip.compress(text), "content-encoding: x-gzip\r\n"),
        reply(200, gzip.compress(text[:999]) + gzip.compress(text[999:]) + bytes(9), "content-encoding: gzip\r\n"),
        reply(200, zlib.compress(text), "content-encoding: deflate\r\n"),
        reply(200, zlib.compress(text, wbits=-zlib.MAX_WBITS), "content-encoding: deflate\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + reply(200, text),
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + text,
    ]
    left = list(answers)

    async def say(asked: ReceivedRequest) -> Answer:
        return left.pop(0)

    async with transport_to(say) as (transport, server):
        for _ in answers:
            assert (await get(transport, server)).body == text
    assert server.connections == 1


async def test_cookies_are_ignored_and_urls_unchanged(transport_to: Connects) -> None:
    async def say(asked: ReceivedRequest) -> Answer:
        return reply(302, b"", "Set-Cookie: tenant=1; Path=/\r\nLocation: /y\r\n")

    async with transport_to(say) as (transport, server):
        for _ in range(2):
            found = await transport.send("GET", server.url + "/a%2Fb%20c?$filter=x%27%2B", {"X-A": "1"}, None, soon())
            assert (found.status, found.headers["location"]) == (302, "/y")
    assert [asked.target for asked in server.asked] == ["/a%2Fb%20c?$filter=x%27%2B"] * 2
    host = f"127.0.0.1:{server.port}"
    assert [asked.headers for asked in server.asked] == [{"host": host, "x-a": "1"}] * 2


async def test_proxy_variables_are_ignored(transport_to: Connects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with transport_to(keeps_then_drops()) as (transport, server):
        assert (await get(transport, server)).status == 200


async def test_idle_connections_are_closed_before_common_servers_close_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert aiohttp_transport.KEEPALIVE_S < 5
    monkeypatch.setattr(aiohttp_transport, "KEEPALIVE_S", 0.5)

    async def say(asked: ReceivedRequest) -> Answer:
        return reply()

    async with _transport_to("aiohttp", say) as (transport, server):
        await get(transport, server)
        await get(transport, server)
        assert server.connections == 1
        await asyncio.sleep(0.7)
        await get(transport, server)
    assert server.connections == 2


async def test_cancelling_closes_a_half_read_connection(transport_to: Connects) -> None:
    async def slow(asked: ReceivedRequest) -> Answer:
        await asyncio.sleep(3600 if asked.target == "/first" else 0)
        return reply(200, asked.target.encode())

    async with transport_to(slow, connections=1) as (transport, server):
        first = asyncio.create_task(get(transport, server, "/first"))
        while not server.asked:
            await asyncio.sleep(0.005)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await get(transport, server, "/second")).body == b"/second"


async def test_closing_is_idempotent_and_final(kind: Kind) -> None:
    transport = open_transport(kind, connections=1, max_body_bytes=10)
    await transport.close()
    await transport.close()
    with pytest.raises(NotSent) as caught:
        await transport.send("GET", "http://127.0.0.1:1/", {}, None, soon())
    assert caught.value.cause is Cause.CLOSED
