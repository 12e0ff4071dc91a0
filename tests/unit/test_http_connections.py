"""Both transports against a server that violates HTTP: a caller gets the body of its own request or an error."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from queue import Queue
from random import Random
from typing import Any, Final

import pytest
import uvloop
from aiohttp.base_protocol import BaseProtocol

from app.http.message import VaultReply
from app.http.transports.aiohttp_connection import AnswersOnly
from app.http.transports.aiohttp_transport import AiohttpTransport
from app.http.transports.base import MaybeSent, Transport, TransportError
from app.http.transports.choice import Kind, open_transport
from tests.support.certificates import certified
from tests.support.http_violations import Script, Step, ViolatingServer, answer, head, pieces, unasked
from tests.support.raw_server import reply
from tests.support.threaded_server import ThreadedServer
from tests.support.transports import BOTH

CASES_PER_LOOP: Final = 1_000  # on each of two loops
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=BOTH)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def on_loop(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main)

    return on_loop


async def send(transport: Transport, url: str, body: bytes | None = None, method: str = "POST") -> VaultReply:
    return await transport.send(method, url, {}, body, asyncio.get_running_loop().time() + 5)


async def outcome(sent: Awaitable[VaultReply]) -> VaultReply | TransportError:
    try:
        return await sent
    except TransportError as error:
        return error


def well_behaved(random: Random, own: bytes, foreign: bytes) -> Script:
    return Script(pieces(random, answer(random, own)))


def one_too_many_at_once(random: Random, own: bytes, foreign: bytes) -> Script:
    return Script(pieces(random, answer(random, own) + unasked(random, foreign), most=2), has_more=True)


def one_too_many_behind(random: Random, own: bytes, foreign: bytes) -> Script:
    return Script([*pieces(random, answer(random, own)), Step.PAUSE, unasked(random, foreign)], has_more=True)


def one_too_many_on_idle(random: Random, own: bytes, foreign: bytes) -> Script:
    return Script(pieces(random, answer(random, own)), idle=unasked(random, foreign))


def timed_out_on_idle(random: Random, own: bytes, foreign: bytes) -> Script:
    gone = head(408, "connection: close", f"content-length: {len(foreign)}") + foreign
    end = random.choice([[], [Step.END], [Step.PAUSE, Step.END]])
    return Script([answer(random, own), Step.PAUSE, gone, *end], has_more=True)


def split_across_two_requests(random: Random, own: bytes, foreign: bytes) -> Script:
    more = answer(random, foreign)
    cut = random.choice([random.randint(1, len(more) - 1), more.index(b"\r\n\r\n") + 4])
    where = random.randrange(3)
    first, half = answer(random, own), more[:cut]
    if where == 0:
        return Script([first + half], has_more=True, later=more[cut:])
    if where == 1:
        return Script([first, Step.PAUSE, half], has_more=True, later=more[cut:])
    return Script([first], idle=half, later=more[cut:])


def closed_early(random: Random, own: bytes, foreign: bytes) -> Script:
    whole = answer(random, own)
    return Script([*pieces(random, whole[: random.randrange(len(whole))]), random.choice([Step.END, Step.RESET])])


def too_short_a_length(random: Random, own: bytes, foreign: bytes) -> Script:
    """In one write: the surplus arrives together with the end."""
    return Script([head(200, f"content-length: {random.randrange(len(own))}") + own])


def too_long_a_length(random: Random, own: bytes, foreign: bytes) -> Script:
    length = len(own) + random.choice([1, 10, 10_000])
    return Script([head(200, f"content-length: {length}") + own, Step.PAUSE, Step.END])


def contradicting_lengths(random: Random, own: bytes, foreign: bytes) -> Script:
    length, shorter = f"content-length: {len(own)}", f"content-length: {random.randrange(len(own))}"
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(own), own)
    lines, body = random.choice(
        [
            ([length, shorter], own),
            ([shorter, length], own),
            ([length, length], own),
            ([f"{length}, {len(own)}"], own),
            ([shorter, "transfer-encoding: chunked"], chunked),
            (["transfer-encoding: chunked", shorter], chunked),
            (["transfer-encoding: chunked", "transfer-encoding: chunked"], chunked),
            (["content-length: -1"], own),
            (["content-length: 0x10"], own),
            ([f"content-length: +{len(own)}"], own),
            (["content-length: 99999999999999999999999"], own),
        ]
    )
    return Script([head(200, *lines) + body, Step.PAUSE, *random.choice([[], [Step.END]]), Step.PAUSE, Step.END])


def wrong_chunks(random: Random, own: bytes, foreign: bytes) -> Script:
    start = head(200, "transfer-encoding: chunked")
    size = b"%x" % len(own)
    body = random.choice(
        [
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(own) - 1, own),
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(own) + 1, own),
            b"%s\r\n%s\r\n0\r\n\r\n%s" % (size, own, foreign),
            b"%s\r\n%s\r\n0\r\n\r\n%s\r\n%s\r\n0\r\n\r\n" % (size, own, size, own),
            b"-%s\r\n%s\r\n0\r\n\r\n" % (size, own),
            b"fffffffffffffffff\r\n" + own,
            b"zz\r\n" + own,
        ]
    )
    return Script([start + body, Step.PAUSE, Step.END])


def odd_informational(random: Random, own: bytes, foreign: bytes) -> Script:
    before = random.choice(
        [
            head(100),
            head(100) * 7,
            head(103, "link: </x>") + head(102),
            head(101, "upgrade: x", "connection: upgrade"),
            head(100, f"content-length: {len(foreign)}") + foreign,
            head(199, "transfer-encoding: chunked") + b"0\r\n\r\n",
            b"HTTP/1.1 99 X\r\n\r\n",
        ]
    )
    return Script([*pieces(random, before + answer(random, own)), Step.PAUSE, Step.END])


def a_body_where_none_may_be(random: Random, own: bytes, foreign: bytes) -> Script:
    status = random.choice([204, 304])
    return Script(pieces(random, head(status, f"content-length: {len(foreign)}") + foreign, most=2), has_more=True)


def before_the_body_was_read(random: Random, own: bytes, foreign: bytes) -> Script:
    return Script([answer(random, own)])


CASES: Final = [
    well_behaved,
    one_too_many_at_once,
    one_too_many_behind,
    one_too_many_on_idle,
    timed_out_on_idle,
    split_across_two_requests,
    closed_early,
    too_short_a_length,
    too_long_a_length,
    contradicting_lengths,
    wrong_chunks,
    odd_informational,
    a_body_where_none_may_be,
    before_the_body_was_read,
]


def test_each_caller_gets_its_own_body_and_the_next_request_succeeds(kind: Kind, run: Run) -> None:
    """Seeded. After each violation a correct exchange must succeed on a clean connection."""
    random = Random(14)
    scripts: dict[str, Script] = {}

    async def main() -> None:
        server = ViolatingServer(lambda target: scripts[target])
        url = await server.start()
        transport = open_transport(kind, connections=random.randint(1, 3), max_body_bytes=100_000)
        ends: dict[str, set[type]] = {}
        previous = b"marker-none"
        for number in range(CASES_PER_LOOP):
            case = random.choice(CASES)
            own = b"marker-%d:" % number + b"x" * random.choice([0, 7, 300])
            is_early = case is before_the_body_was_read
            target = f"/{'early' if is_early else 'case'}-{number}"
            scripts[target] = case(random, own, previous)
            body = random.choice([b"", b"{}", bytes(6_000_000) if is_early and random.random() < 0.2 else b"[1]"])
            found = await outcome(send(transport, url + target, body))
            ends.setdefault(case.__name__, set()).add(type(found))
            if isinstance(found, VaultReply):
                assert found.body.rstrip(b"\r") == (b"" if found.status in (204, 304) else own), (number, case)
            await server.finish(random)
            scripts["/next"] = well_behaved(random, b"next-%d" % number, own)
            assert (await send(transport, url + "/next", b"{}")).body == b"next-%d" % number, (number, case)
            await server.finish(random)
            previous = own
        assert ends.keys() == {case.__name__ for case in CASES}
        assert set().union(*ends.values()) == {VaultReply, MaybeSent}
        assert ends["well_behaved"] == ends["one_too_many_on_idle"] == ends["timed_out_on_idle"] == {VaultReply}
        assert ends["closed_early"] == ends["too_long_a_length"] == ends["too_short_a_length"] == {MaybeSent}
        await transport.close()
        await server.close()

    run(main())


@pytest.mark.parametrize("more", [reply(408, b"foreign"), reply(200, b"foreign"), reply(200, b"foreign")[:20]])
def test_unsolicited_bytes_close_the_connection_over_tls(kind: Kind, run: Run, tmp_path: Path, more: bytes) -> None:
    """The connection closes when the bytes arrive, before the next request."""
    server, client = certified(tmp_path, "127.0.0.1")
    ends: Queue[bytes] = Queue()

    def handle(sock: socket.socket) -> None:
        asked = sock.recv(10_000)
        sock.sendall(reply(200, asked.split(b" ")[1]))
        sock.sendall(more)
        ends.put(sock.recv(10_000))

    async def main(url: str) -> None:
        transport = open_transport(kind, connections=1, max_body_bytes=1_000, tls=client)
        for own in ("/first", "/second", "/third"):
            found = await outcome(send(transport, url + own))
            if isinstance(found, VaultReply):  # otherwise the bytes arrived together with the reply
                assert found.body == own.encode()
            assert await asyncio.to_thread(ends.get, timeout=10) == b""
        await transport.close()

    with ThreadedServer(handle, server) as vault:
        run(main(vault.url))
        assert vault.connections == 3


async def test_aiohttp_uses_the_patched_connections() -> None:
    """Fails if a release of aiohttp creates connections differently or renames the private attributes in use."""
    server = ViolatingServer(lambda target: well_behaved(Random(1), b"own", b""))
    transport = AiohttpTransport(connections=1, max_body_bytes=100)
    await send(transport, await server.start() + "/x")
    assert transport._session is not None
    ((connection, _),) = next(iter(transport._session.connector._conns.values()))  # type: ignore[union-attr]
    assert type(connection) is AnswersOnly
    assert {"_parser", "_buffer", "_exception"} <= {*vars(connection), *BaseProtocol.__slots__}
    assert connection.is_connected()
    await transport.close()
    await server.close()
