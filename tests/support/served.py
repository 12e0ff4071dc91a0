"""Any ASGI app on a real port with the gateway's server settings, in a thread; stopped at the end of the block."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop

from app.server.run import bind, serve, url_of


@dataclass(frozen=True)
class Served:
    url: str
    loop: asyncio.AbstractEventLoop

    def call_soon(self, work: Callable[[], object]) -> None:
        """Run it on the server's event loop."""
        self.loop.call_soon_threadsafe(work)


@contextmanager
def served(app: Any, **options: Any) -> Iterator[Served]:
    up = threading.Event()
    failure: list[BaseException] = []
    place: dict[str, Any] = {}

    async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def main() -> None:
        place["loop"], place["stop"] = asyncio.get_running_loop(), asyncio.Event()
        sock = bind("127.0.0.1", 0, "--port")
        place["url"] = url_of(sock)
        await serve(with_lifespan, sock, place["stop"], grace_s=1, on_started=up.set, **options)

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(main())
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            failure.append(error)
        finally:
            up.set()

    thread = threading.Thread(target=run, name="served", daemon=True)
    thread.start()
    assert up.wait(20)
    if failure:
        raise failure[0]
    try:
        yield Served(place["url"], place["loop"])
    finally:
        place["loop"].call_soon_threadsafe(place["stop"].set)
        thread.join(20)
        assert not thread.is_alive()
        if failure:
            raise failure[0]
