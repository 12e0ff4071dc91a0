"""Start and stop of a process: startup errors are raised; requests that take too long get a retryable error."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from app.errors import SettingsError
from app.server.run import serve
from app.server.sockets import PortTaken, bind, url_of


class Application:
    """``/now`` answers, ``/never`` does not, ``/stream`` begins to; `order` tells what happened when."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.order: list[str] = []
        self.is_asked = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self.is_asked.set()
        headers = [(b"content-type", b"text/plain")]
        if scope["path"] != "/never":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            more = scope["path"] == "/stream"
            await send({"type": "http.response.body", "body": b"begun ", "more_body": more})
        if scope["path"] != "/now":
            await asyncio.Event().wait()

    async def _live(self, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        if self.failure is not None:
            raise self.failure
        self.order.append("started")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.order.append("stopped")
        await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def running(app: Any, grace_s: float = 1) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Task[None]]]:
    sock, stop, is_up = bind("127.0.0.1", 0, "--port"), asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(app, sock, stop, grace_s=grace_s, on_started=is_up.set))
    waiting = asyncio.create_task(is_up.wait())
    try:
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        yield url_of(sock) if is_up.is_set() else "", stop, serving
    finally:
        waiting.cancel()
        stop.set()
        await asyncio.gather(serving, return_exceptions=True)
        sock.close()


async def test_it_starts_serves_and_stops() -> None:
    app = Application()
    async with running(app) as (url, stop, serving), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/now") as reply:
            assert (reply.status, await reply.text()) == (200, "begun ")
        assert app.order == ["started"]
        stop.set()
        await serving
        assert app.order == ["started", "stopped"]


async def test_what_a_start_raises_is_raised() -> None:
    async with running(Application(SettingsError("missing settings: id_key"))) as (url, _, serving):
        with pytest.raises(SettingsError, match="id_key"):
            await serving
        assert url == "", "nothing was announced"


async def test_an_application_that_ends_at_once_is_an_error() -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        return None

    async with running(nothing) as (_, _, serving):
        with pytest.raises(RuntimeError, match="before its startup completed"):
            await serving


async def test_a_stop_signal_during_the_start_announces_nothing() -> None:
    app, stop = Application(), asyncio.Event()
    announced: list[bool] = []
    stop.set()
    sock = bind("127.0.0.1", 0, "--port")
    await serve(app, sock, stop, grace_s=1, on_started=lambda: announced.append(True))
    assert (announced, app.order) == ([], ["started", "stopped"])


async def test_a_request_that_takes_too_long_gets_a_retryable_error() -> None:
    app = Application()
    async with running(app) as (url, stop, serving), aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.get(f"{url}/never"))
        await app.is_asked.wait()
        stop.set()
        reply = await asking
        assert (reply.status, reply.headers["retry-after"], reply.headers["connection"]) == (503, "1", "close")
        await asyncio.wait_for(serving, 60)
        assert app.order == ["started", "stopped"]


async def test_an_answer_that_has_begun_ends_as_it_is() -> None:
    app = Application()
    async with running(app) as (url, stop, serving), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/stream") as reply:
            stop.set()
            assert await reply.text() == "begun "
        await asyncio.wait_for(serving, 60)


async def test_a_port_that_is_taken_names_the_option() -> None:
    sock = bind("127.0.0.1", 0, "--port")
    port = sock.getsockname()[1]
    with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{port} .*; choose another with --sandbox-port"):
        bind("127.0.0.1", port, "--sandbox-port")
    sock.close()
