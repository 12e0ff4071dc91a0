"""A head with the bytes of an earlier one on its connection is not parsed again; the request is served the same."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.server.connections import ConnectionLimits
from app.server.run import serve
from app.server.sockets import bind

HEAD = b"POST /echo?n=1 HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n"
OTHER = b"POST /other HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nX-More: 1\r\n\r\n"
GET = b"GET /echo HTTP/1.1\r\nHost: here\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nzzzz\r\n0\r\n\r\n"
LAST = b"POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlast"


class Echo:
    """Answers with what it was sent. At ``/wait`` it waits for the client to leave, after the body."""

    def __init__(self) -> None:
        self.has_body = asyncio.Event()
        self.has_left = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        body, message = b"", await receive()
        while message["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
            message = await receive()
        if scope["path"] == "/wait" and body == b"wait":
            self.has_body.set()
            assert (await receive())["type"] == "http.disconnect"
            self.has_left.set()
            return
        assert scope["state"].setdefault("seen", body) is body, "each request has a state of its own"
        shown = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
            "body": body.decode(),
        }
        answer = json.dumps(shown).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        if scope["query_string"] == b"at-once" and send.respond(200, lines, answer):
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stop: asyncio.Event) -> None:
        self.reader = reader
        self.writer = writer
        self.stop = stop

    async def answer(self) -> dict[str, Any]:
        """The next response: what the application was sent, and whether the connection stays open."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        shown = json.loads(await self.reader.readexactly(int(lines[b"content-length"])))
        return {**shown, "closes": lines.get(b"connection") == b"close"}

    async def ask(self, *parts: bytes) -> dict[str, Any]:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
        return await self.answer()


@asynccontextmanager
async def connected(app: Echo, limits: ConnectionLimits | None = None) -> AsyncIterator[Connection]:
    sock, stop, is_up = bind("127.0.0.1", 0, "--port"), asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(app, sock, stop, grace_s=5, limits=limits, on_started=is_up.set))
    await is_up.wait()
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    try:
        yield Connection(reader, writer, stop)
    finally:
        writer.close()
        stop.set()
        await serving
        sock.close()


def shown(body: str, path: str = "/echo", query: str = "n=1", *, closes: bool = False, **more: str) -> dict[str, Any]:
    headers = {"host": "here", "content-length": "4", **more}
    return {"method": "POST", "path": path, "query": query, "headers": headers, "body": body, "closes": closes}


async def test_repeated_heads_are_served_with_the_body_of_each_request() -> None:
    async with connected(Echo()) as client:
        for number in range(8):
            assert await client.ask(HEAD + b"%04d" % number) == shown(f"{number:04d}")


@pytest.mark.parametrize("cut", [1, 10, len(HEAD) - 2, len(HEAD), len(HEAD) + 1, len(HEAD) + 3])
async def test_a_repeated_head_may_come_in_parts(cut: int) -> None:
    async with connected(Echo()) as client:
        for number in range(8):
            sent = HEAD + b"%04d" % number
            parts = [sent] if number < 4 or number % 2 else [sent[:cut], sent[cut:]]
            assert await client.ask(*parts) == shown(f"{number:04d}")


@pytest.mark.parametrize(
    ("between", "answers"),
    [
        (OTHER + b"more", [shown("more", "/other", "", **{"x-more": "1"})]),
        (HEAD + b"one1" + HEAD + b"two2", [shown("one1"), shown("two2")]),
        (HEAD + b"one1" + OTHER + b"more", [shown("one1"), shown("more", "/other", "", **{"x-more": "1"})]),
        (HEAD + b"one1\r\n\r\n", [shown("one1")]),
        (b"\r\n" + HEAD + b"one1", [shown("one1")]),
        (HEAD.replace(b"4", b"5") + b"five5", [{**shown("five5"), "headers": {"host": "here", "content-length": "5"}}]),
    ],
)
async def test_other_bytes_between_repeated_heads_are_parsed(between: bytes, answers: list[dict[str, Any]]) -> None:
    async with connected(Echo()) as client:
        for _ in range(4):
            assert await client.ask(HEAD + b"same") == shown("same")
        for _ in range(3):
            client.writer.write(between)
            assert [await client.answer() for _ in answers] == answers
            assert await client.ask(HEAD + b"same") == shown("same")


@pytest.mark.parametrize("sent", [GET, CHUNKED])
async def test_heads_without_a_length_are_served_as_often_as_sent(sent: bytes) -> None:
    async with connected(Echo()) as client:
        answers = [await client.ask(sent) for _ in range(5)]
        assert answers[0]["body"] == ("zzzz" if sent is CHUNKED else "")
        assert answers == answers[:1] * 5
        assert await client.ask(LAST) == shown("last", "/echo", "", closes=True, connection="close")
        assert await client.reader.read() == b""


AT_ONCE = HEAD.replace(b"n=1", b"at-once")


async def test_a_response_sent_at_once_is_the_same() -> None:
    async with connected(Echo()) as client:
        for _ in range(5):
            assert await client.ask(AT_ONCE + b"same") == shown("same", query="at-once")
        client.writer.write(AT_ONCE + b"one1" + HEAD + b"two2" + AT_ONCE + b"3333")
        answers = [await client.answer() for _ in range(3)]
        assert [answer["body"] for answer in answers] == ["one1", "two2", "3333"]
        last = AT_ONCE.replace(b"Host", b"Connection: close\r\nHost")
        assert (await client.ask(last + b"last"))["closes"]
        assert await client.reader.read() == b""


async def test_a_response_to_head_has_no_body_even_at_once() -> None:
    async with connected(Echo()) as client:
        client.writer.write(AT_ONCE.replace(b"POST", b"HEAD") + b"same" + LAST)
        received = await client.reader.read()
        assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert received.count(b'{"method"') == 1


async def test_requests_after_many_repeated_ones_are_answered_in_order() -> None:
    async with connected(Echo()) as client:
        for _ in range(3):
            await client.ask(HEAD + b"same")
        for number in range(50):
            client.writer.write(HEAD + b"%04d" % number)
        assert [(await client.answer())["body"] for _ in range(50)] == [f"{number:04d}" for number in range(50)]


async def test_bytes_that_are_no_request_are_refused_after_the_answer() -> None:
    async with connected(Echo()) as client:
        for _ in range(3):
            await client.ask(HEAD + b"same")
        client.writer.write(HEAD + b"same" + b"surplus \x00\r\n\r\n")
        assert await client.answer() == shown("same")
        assert (await client.reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_a_stopping_server_answers_a_repeated_head_as_the_last_request() -> None:
    async with connected(Echo()) as client:
        for _ in range(3):
            assert await client.ask(HEAD + b"same") == shown("same")
        client.stop.set()
        while not (answer := await client.ask(HEAD + b"last"))["closes"]:
            assert answer == shown("last"), "the server has not noticed yet"
        assert answer == shown("last", closes=True)
        assert await client.reader.read() == b""


async def test_a_disconnect_reaches_an_application_that_waits_for_it() -> None:
    app, head = Echo(), HEAD.replace(b"/echo", b"/wait")
    async with connected(app) as client:
        for _ in range(4):
            assert await client.ask(head + b"same") == shown("same", "/wait")
        client.writer.write(head + b"wait")
        await app.has_body.wait()
        client.writer.close()
        await app.has_left.wait()


async def test_an_idle_connection_is_closed_after_a_while() -> None:
    async with connected(Echo(), ConnectionLimits(keep_alive_s=0.1, head_timeout_s=600)) as client:
        for _ in range(3):
            assert await client.ask(HEAD + b"same") == shown("same")
        assert await client.reader.read() == b""
