"""One server for the whole test session, shared by all workers: started by the first test that uses it.

The main process of the session owns the server (the controller of pytest-xdist, or pytest without workers); workers
request it over a Unix socket. A server that cannot start fails the first test that requests it and skips the others.
"""

import shutil
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Client, Listener
from typing import Any

import pytest

from tests.support.folders import short_folder


@dataclass(frozen=True)
class _Found:
    value: Any
    failure: str = ""
    is_first: bool = True


class SharedServer:
    """`start` is entered in a separate thread at the first request; its value must be picklable."""

    def __init__(self, name: str, start: Callable[[], AbstractContextManager[Any]]) -> None:
        self._name = name
        self._start = start
        self._folder = short_folder("vg-shared-")
        self.address = str(self._folder / "s")
        self._listener = Listener(self.address, family="AF_UNIX")
        self._thread = threading.Thread(target=self._serve, name=f"shared {name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with Client(self.address) as connection:
            connection.send("close")
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        """Runs until the end of the session: a server that dies with its parent dies when the parent's thread ends."""
        with self._listener, ExitStack() as stack:
            found: _Found | None = None
            while True:
                with self._listener.accept() as connection, suppress(OSError, EOFError):  # a worker was killed
                    if connection.recv() == "close":
                        return
                    found = replace(found, is_first=False) if found else self._enter(stack)
                    connection.send(found)

    def _enter(self, stack: ExitStack) -> _Found:
        try:
            return _Found(stack.enter_context(self._start()))
        except Exception as error:  # noqa: BLE001 - the test that requested the server reports it
            return _Found(None, f"{self._name} did not start: {error}")


def ask(address: str) -> Any:
    """The server's value. A server that cannot start fails the first test that requests it; later ones are skipped."""
    with Client(address) as connection:
        connection.send("start")
        found: _Found = connection.recv()
    if not found.failure:
        return found.value
    if found.is_first:
        pytest.fail(found.failure, pytrace=False)
    pytest.skip(f"{found.failure.splitlines()[0]} (see the test that failed for it)")
