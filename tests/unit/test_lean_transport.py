"""The lean transport over real sockets, on both event loops: pooling, keep-alive, cancellation and wire format."""

import asyncio
import gc
import socket
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
import uvloop

from app.http.message import VaultReply
from app.http.transports.base import Cause, MaybeSent, NotSent
from app.http.transports.choice import KINDS, open_transport
from app.http.transports.lean import LeanTransport, connection, pool
from tests.support.raw_server import Answer, RawServer, ReceivedRequest, raw_server, reply
from tests.support.threaded_server import ThreadedServer

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine on this kind of event loop; unclosed sockets are errors."""

    def on_loop(main: Coroutine[Any, Any, None]) -> None:
        gc.collect()  # collect unclosed sockets of earlier tests first
        with warnings.catch_warnings(record=True) as caught, asyncio.Runner(loop_factory=request.param) as runner:
            warnings.simplefilter("always", ResourceWarning)
            runner.run(asyncio.wait_for(main, 60))
            gc.collect()
        assert [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)] == []

    return on_loop


@asynccontextmanager
async def lean_to(
    answer: Callable[[ReceivedRequest], Awaitable[Answer]], connections: int = 4
) -> AsyncIterator[tuple[LeanTransport, RawServer]]:
    async with raw_server(answer) as server:
        transport = LeanTransport(connections=connections, max_body_bytes=100_000)
        try:
            yield transport, server
        finally:
            await transport.close()


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def get(transport: LeanTransport, url: str, seconds: float = 5.0, method: str = "GET") -> VaultReply:
    return await transport.send(method, url + "/x", {}, None, soon(seconds))


def always(answer: Answer) -> Callable[[ReceivedRequest], Awaitable[Answer]]:
    async def say(asked: ReceivedRequest) -> Answer:
        return answer

    return say


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


StartServer = Callable[[Callable[[socket.socket], None]], ThreadedServer]


@pytest.fixture
def threaded() -> Iterator[StartServer]:
    with ExitStack() as opened:
        yield lambda handle: opened.enter_context(ThreadedServer(handle))


def answer_once(client: socket.socket) -> None:
    """Replies with keep-alive, then closes the connection."""
    client.recv(10_000)
    client.sendall(reply())


def test_an_unread_eof_is_detected(run: Run, threaded: StartServer) -> None:
    """The event loop is busy while the vault closes, so only the socket shows it before the next write."""
    server = threaded(answer_once)

    async def main() -> None:
        transport = LeanTransport(connections=4, max_body_bytes=1000)
        for _ in range(3):
            assert (await transport.send("POST", server.url + "/x", {}, b"{}", soon())).status == 200
            while server.closed < server.connections:
                time.sleep(0.001)  # blocks the loop: no callback may run
        await transport.close()

    run(main())
    assert server.connections == 3


def test_unsolicited_bytes_close_the_connection(run: Run, threaded: StartServer) -> None:
    gone, poisoned = threading.Event(), threading.Event()

    def handle(client: socket.socket) -> None:
        client.recv(10_000)
        client.sendall(reply(200, b"1"))
        time.sleep(0.02)
        client.sendall(reply(200, b"poison"))
        poisoned.set()
        while client.recv(10_000):
            pass
        gone.set()

    server = threaded(handle)

    async def main() -> None:
        transport = LeanTransport(connections=4, max_body_bytes=1000)
        assert (await get(transport, server.url)).body == b"1"
        await until(gone.is_set)
        poisoned.clear()
        assert (await get(transport, server.url)).body == b"1"
        assert poisoned.wait(60)  # blocks the loop: no callback may run
        assert (await get(transport, server.url)).body == b"1"
        await transport.close()

    run(main())
    assert server.connections == 3


def test_old_and_idle_connections_are_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with lean_to(always(reply())) as (transport, server):
            await get(transport, server.url)
            await get(transport, server.url)
            assert server.connections == 1
            await until(lambda: not server.tasks)  # closed without another call
            await get(transport, server.url)
            assert server.connections == 2

    monkeypatch.setattr(pool, "KEEPALIVE_S", 0.5)
    monkeypatch.setattr(connection, "KEEPALIVE_S", 0.5)
    run(main())
    monkeypatch.setattr(connection, "KEEPALIVE_S", 4.0)
    monkeypatch.setattr(pool, "KEEPALIVE_S", 4.0)
    monkeypatch.setattr(connection, "LIFETIME_S", 0.0)
    run(_every_request_is_on_its_own_connection())


async def _every_request_is_on_its_own_connection() -> None:
    async with lean_to(always(reply())) as (transport, server):
        for number in (1, 2, 3):
            await get(transport, server.url)
            assert server.connections == number


def test_keep_alive_is_shorter_than_that_of_common_servers() -> None:
    assert connection.KEEPALIVE_S < 5


def test_a_burst_stays_within_the_limit_and_is_served_completely(run: Run) -> None:
    busy, most = 0, 0

    async def slow(asked: ReceivedRequest) -> Answer:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.002)
        busy -= 1
        return reply(200, asked.target.encode(), "connection: close\r\n" if asked.target.endswith("7") else "")

    async def main() -> None:
        async with lean_to(slow, connections=3) as (transport, server):
            sends = [transport.send("GET", f"{server.url}/{number}", {}, None, soon()) for number in range(50)]
            found = await asyncio.gather(*sends)
            assert [one.body for one in found] == [b"/%d" % number for number in range(50)]
            order = [int(asked.target[1:]) for asked in server.asked]
            assert max(abs(place - number) for place, number in enumerate(order)) < 6  # FIFO

    run(main())
    assert most == 3


def test_cancelled_waiters_do_not_leak_connections(run: Run) -> None:
    async def slow(asked: ReceivedRequest) -> Answer:
        await asyncio.sleep(0.01)
        return reply()

    async def main() -> None:
        async with lean_to(slow, connections=2) as (transport, server):
            for turn in range(12):
                tasks = [asyncio.create_task(get(transport, server.url)) for _ in range(8)]
                await asyncio.sleep(turn * 0.002)
                for task in tasks[::2]:
                    task.cancel()
                kept = await asyncio.gather(*tasks, return_exceptions=True)
                for one in kept[1::2]:
                    assert isinstance(one, VaultReply)
            hurried = [get(transport, server.url, 0.015) for _ in range(20)]
            kinds = {type(one) for one in await asyncio.gather(*hurried, return_exceptions=True)}
            assert NotSent in kinds
            assert kinds <= {NotSent, MaybeSent, VaultReply}
            await asyncio.gather(*(get(transport, server.url) for _ in range(4)))

    run(main())


def test_a_cancelled_call_closes_its_connection_and_no_other(run: Run) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def answer(asked: ReceivedRequest) -> Answer:
            if asked.target == "/hang":
                await release.wait()
            return reply(200, asked.target.encode())

        async with lean_to(answer, connections=1) as (transport, server):
            hanging = asyncio.create_task(transport.send("POST", server.url + "/hang", {}, b"{}", soon()))
            await until(lambda: len(server.asked) == 1)
            hanging.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hanging
            assert (await transport.send("GET", server.url + "/next", {}, None, soon())).body == b"/next"
            assert server.connections == 2
            release.set()

    run(main())


def test_cancelling_after_the_reply_arrived_keeps_the_connection(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection may already carry another request when the cancelled task wakes up."""

    async def main() -> None:
        async with lean_to(always(reply()), connections=1) as (transport, server):
            first = asyncio.create_task(get(transport, server.url))
            second: list[asyncio.Task[VaultReply]] = []
            answered = connection.LeanConnection._answer

            def cancel_then(self: connection.LeanConnection, found: VaultReply, may_keep: bool) -> None:
                answered(self, found, may_keep)
                if not second:
                    second.append(asyncio.create_task(get(transport, server.url)))
                    first.cancel()

            monkeypatch.setattr(connection.LeanConnection, "_answer", cancel_then)
            with pytest.raises(asyncio.CancelledError):
                await first
            assert (await second[0]).status == 200
            assert server.connections == 1

    run(main())


@pytest.mark.parametrize("first_ends", ["answered", "cut"])
def test_a_connection_assigned_to_a_cancelled_waiter_goes_to_the_next(
    run: Run, monkeypatch: pytest.MonkeyPatch, first_ends: str
) -> None:
    """A free connection or a freed slot must be passed on; otherwise the third caller would wait for ever."""

    async def main() -> None:
        release = asyncio.Event()

        async def answer(asked: ReceivedRequest) -> Answer:
            await release.wait()
            return None if first_ends == "cut" and len(server.asked) == 1 else reply()

        async with lean_to(answer, connections=1) as (transport, server):
            first, second, third = (asyncio.create_task(get(transport, server.url)) for _ in range(3))
            await until(lambda: len(server.asked) == 1)
            woken = pool.Pool._wake_next

            def leave(self: pool.Pool, handed: connection.LeanConnection | None) -> bool:
                found = woken(self, handed)
                second.cancel()
                return found

            monkeypatch.setattr(pool.Pool, "_wake_next", leave)
            release.set()
            ends = await asyncio.gather(first, second, third, return_exceptions=True)
            assert [type(one) for one in ends[1:]] == [asyncio.CancelledError, VaultReply]
            assert server.connections == (2 if first_ends == "cut" else 1)

    run(main())


def test_the_deadline_covers_connecting_and_frees_the_slot(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async def never(*_: object, **__: object) -> socket.socket:
            await asyncio.sleep(60)
            raise AssertionError

        async with lean_to(always(reply()), connections=1) as (transport, server):
            with monkeypatch.context() as patched:
                patched.setattr("aiohappyeyeballs.start_connection", never)
                found = await asyncio.gather(
                    *(get(transport, server.url, 0.05) for _ in range(3)), return_exceptions=True
                )
            assert [type(one) for one in found] == [NotSent] * 3
            assert [str(one) for one in found] == ["timed out"] * 3
            assert (await get(transport, server.url)).status == 200

    run(main())


def test_a_vault_that_closes_immediately_is_not_sent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = connection.LeanConnection.connection_made

    def made_and_lost(self: connection.LeanConnection, transport: asyncio.BaseTransport) -> None:
        made(self, transport)
        self.eof_received()

    async def main() -> None:
        async with lean_to(always(reply()), connections=1) as (transport, server):
            with monkeypatch.context() as patched:
                patched.setattr(connection.LeanConnection, "connection_made", made_and_lost)
                for _ in range(3):
                    with pytest.raises(NotSent) as caught:
                        await get(transport, server.url)
                    assert caught.value.cause is Cause.CONNECT
            assert server.asked == []
            assert (await get(transport, server.url)).status == 200

    run(main())


def test_every_request_has_its_own_deadline(run: Run) -> None:
    async def answer(asked: ReceivedRequest) -> Answer:
        return b"" if asked.target == "/silent" else reply()

    async def main() -> None:
        async with lean_to(answer, connections=1) as (transport, server):
            assert (await get(transport, server.url, 30)).status == 200
            loop = asyncio.get_running_loop()
            for seconds in (0.05, 0.5, 0.1):  # shorter than the current timer, longer, shorter
                began = loop.time()
                with pytest.raises(MaybeSent) as caught:
                    await transport.send("GET", server.url + "/silent", {}, None, soon(seconds))
                assert caught.value.cause is Cause.TIMEOUT
                assert seconds - 0.01 <= loop.time() - began < 20  # far below the other deadlines
                assert (await get(transport, server.url, 60)).status == 200

    run(main())


@pytest.mark.parametrize("status", [204, 304])
def test_replies_without_a_body_keep_the_connection_reusable(run: Run, status: int) -> None:
    async def answer(asked: ReceivedRequest) -> Answer:
        return f"HTTP/1.1 {status} X\r\ncontent-type: x\r\n\r\n".encode() if asked.target == "/empty" else reply()

    async def main() -> None:
        async with lean_to(answer) as (transport, server):
            for _ in range(2):
                empty = await transport.send("GET", server.url + "/empty", {}, None, soon())
                assert (empty.status, empty.body) == (status, b"")
                assert (await get(transport, server.url)).body == b"{}"
            assert server.connections == 1

    run(main())


def test_a_reply_to_head_has_no_body(run: Run) -> None:
    async def answer(asked: ReceivedRequest) -> Answer:
        whole = reply(200, b"12345")
        return whole[:-5] if asked.method == "HEAD" else whole

    async def main() -> None:
        async with lean_to(answer) as (transport, server):
            found = await get(transport, server.url, method="HEAD")
            assert (found.status, found.headers["content-length"], found.body) == (200, "5", b"")
            assert (await get(transport, server.url)).body == b"12345"

    run(main())


def test_an_early_reply_closes_the_connection_with_unsent_data(run: Run, threaded: StartServer) -> None:
    def handle(client: socket.socket) -> None:
        client.recv(1000)
        client.sendall(reply(413, b"no"))
        time.sleep(0.3)

    server = threaded(handle)

    async def main() -> None:
        transport = LeanTransport(connections=1, max_body_bytes=1000)
        for _ in range(2):
            found = await transport.send("POST", server.url + "/x", {}, bytes(30_000_000), soon())
            assert (found.status, found.body) == (413, b"no")
        await transport.close()

    run(main())
    assert server.connections == 2


def test_closing_fails_requests_in_flight_and_waiting(run: Run) -> None:
    async def main() -> None:
        async with lean_to(always(b""), connections=1) as (transport, server):
            first = asyncio.create_task(get(transport, server.url))
            await until(lambda: len(server.asked) == 1)
            second = asyncio.create_task(get(transport, server.url))
            await asyncio.sleep(0.01)
            await transport.close()
            found = await asyncio.gather(first, second, return_exceptions=True)
            assert [(type(one), str(one)) for one in found] == [
                (MaybeSent, "closing down"),
                (NotSent, "closing down"),
            ]

    run(main())


def test_a_reset_during_the_body_is_truncated(run: Run, threaded: StartServer) -> None:
    def handle(client: socket.socket) -> None:
        client.recv(10_000)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")  # body delimited by EOF
        time.sleep(0.05)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async def main() -> None:
        transport = LeanTransport(connections=1, max_body_bytes=1000)
        with pytest.raises(MaybeSent) as caught:
            await get(transport, threaded(handle).url)
        assert caught.value.cause is Cause.TRUNCATED
        await transport.close()

    run(main())


@pytest.mark.parametrize(
    ("method", "headers", "body"),
    [
        ("GET", {}, None),
        ("DELETE", {"x-a": "1"}, None),
        ("POST", {"Content-Type": "a/b", "X-Caf": "caf\xe9"}, None),
        ("POST", {"content-type": "a/b"}, b""),
        ("PUT", {"content-type": "a/b", "authorization": "Bearer x"}, b'{"a": 1}'),
    ],
)
def test_both_transports_send_the_same_request(
    run: Run, method: str, headers: Mapping[str, str], body: bytes | None
) -> None:
    async def main() -> None:
        async with raw_server(always(reply())) as server:
            for kind in KINDS:
                transport = open_transport(kind, connections=1, max_body_bytes=100)
                await transport.send(method, server.url + "/a%2Fb/?q=%27#f", headers, body, soon())
                await transport.close()
        aiohttps, leans = server.asked
        assert (leans.method, leans.target, leans.headers, leans.body) == (
            aiohttps.method, aiohttps.target, aiohttps.headers, aiohttps.body,
        )  # fmt: skip

    run(main())


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/x", {"x": "a\r\nevil: 1"}),
        ("GET", "/x", {"x": "a\nevil: 1"}),
        ("GET", "/x", {"x\r\nevil": "1"}),
        ("GET", "/x", {"x ": "1"}),
        ("GET", "/x", {"": "1"}),
        ("GET", "/x", {"x": "a\x00"}),
        ("GET", "/x", {"x": "\u2028"}),
        ("GET", "/x y", {}),
        ("GET", "/x\r\nevil: 1", {}),
        ("GET", "/\xe9", {}),
        ("GET /y", "/x", {}),
        ("get", "/x", {}),
        ("CONNECT", "/x", {}),
        ("POST", "/x", {"Content-Length": "0"}),
        ("POST", "/x", {"transfer-encoding": "chunked"}),
        ("POST", "/x", {"HOST": "elsewhere"}),
        ("POST", "/x", {"Expect": "100-continue"}),
        ("POST", "/x", {"connection": "upgrade"}),
        ("POST", "/x", {"x": "1", "X": "2"}),
    ],
)
def test_request_splitting_is_refused(run: Run, method: str, path: str, headers: Mapping[str, str]) -> None:
    async def main() -> None:
        async with lean_to(always(reply())) as (transport, server):
            await transport.send("GET", server.url + "/x", {"x": "1"}, None, soon())  # caches the header name as safe
            with pytest.raises(NotSent) as caught:
                await transport.send(method, server.url + path, headers, None, soon())
            assert caught.value.cause is Cause.INVALID
            assert len(server.asked) == 1

    run(main())
