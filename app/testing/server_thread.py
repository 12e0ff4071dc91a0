"""A server in a thread with its own event loop, for tests."""

import asyncio
import http.client
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import uvloop


class ServerThread(ABC):
    """A context manager. Failures of the server are raised in the test's thread, at its start or end."""

    def __init__(self, name: str) -> None:
        self.url = ""
        self.loop: asyncio.AbstractEventLoop
        self._name = name
        self._stop: asyncio.Event
        self._is_up = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    async def serve_until(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set; set `url`, and call `started` once it accepts connections."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return uvloop.new_event_loop()

    def started(self) -> None:
        self._is_up.set()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._is_up.wait(30):
            raise TimeoutError(f"the {self._name} did not start")
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop like SIGINT, and wait; stopping again does nothing."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        if self._thread.is_alive():
            raise TimeoutError(f"the {self._name} did not stop")
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        async def main() -> None:
            self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await self.serve_until(self._stop)

        try:
            with asyncio.Runner(loop_factory=self.new_loop) as runner:
                runner.run(main())
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self._failure = error
        finally:
            self._is_up.set()

    def exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a new connection: status, headers by lower-case name, body."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)
        try:
            connection.request(method, path, body, dict(headers))
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            connection.close()
