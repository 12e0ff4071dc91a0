"""Notifications of commits by other processes, through PostgreSQL's LISTEN.

The database's triggers send them (migration 0009). They only say that something is new, and one may be lost with the
connection: receivers read the store, and poll it as well. With SQLite there are none.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from app.errors import SettingsError
from app.store.database import Database
from app.telemetry.dependency import Dependency

if TYPE_CHECKING:
    import psycopg

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_CHECK_S: Final = 5.0
_TRIES: Final = 3  # failures in a row before one is logged: by then an outage of the whole store has been logged


class Signal(StrEnum):
    """The channels."""

    CHANGES = "vaultgraph_changes"  # new changes or events
    WORK = "vaultgraph_work"  # a process stopped: others can take over its operations


class Notifications:
    """One connection in a thread of its own, opened again with backoff."""

    def __init__(self, database: Database) -> None:
        self.is_connected = False
        self._database: Final = database
        self._state: Final = Dependency("store notifications", "changes of other processes are found by polling")
        self._is_stopping: Final = threading.Event()
        self._raw: psycopg.Connection[Any] | None = None
        self._thread: threading.Thread | None = None
        self._receive: Callable[[Signal], None] = lambda signal: None

    def start(self, receive: Callable[[Signal], None]) -> None:
        """Call `receive` on the event loop for each signal, and for each kind once connected (again)."""
        if self._database.engine.is_sqlite:
            return
        loop = asyncio.get_running_loop()

        def pass_on(signal: Signal) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(receive, signal)

        self._receive = pass_on
        self._thread = threading.Thread(target=self._run, name="vaultgraph-notifications", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        if self._thread is None:
            return
        self._is_stopping.set()
        if (raw := self._raw) is not None:
            with suppress(OSError, ValueError), socket.socket(fileno=os.dup(raw.fileno())) as own:
                own.shutdown(socket.SHUT_RDWR)
        await asyncio.to_thread(self._thread.join)
        self._thread = None

    def _run(self) -> None:
        import psycopg

        failures, pause_s = 0, _FIRST_PAUSE_S
        while not self._is_stopping.is_set():
            try:
                self._listen()
            except (psycopg.Error, OSError, SettingsError) as error:
                if self.is_connected:
                    failures, pause_s = 0, _FIRST_PAUSE_S
                self.is_connected = False
                failures += 1
                if failures >= _TRIES and self._database.availability.is_settled:
                    self._state.failed(type(error).__name__)
            self._is_stopping.wait(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _listen(self) -> None:
        """Until the connection is lost. Raises psycopg.Error and OSError."""
        from psycopg import sql

        from app.store.postgres import connect

        with connect(self._database.engine.address) as raw:
            self._raw = raw
            try:
                for signal in Signal:
                    raw.execute(sql.SQL("LISTEN {}").format(sql.Identifier(signal)))
                self.is_connected = True
                for signal in Signal:  # what was committed while it was not connected
                    self._receive(signal)
                while not self._is_stopping.is_set():
                    for one in raw.notifies(timeout=_CHECK_S):
                        if one.payload == self._database.tenant:
                            self._receive(Signal(one.channel))
                    self._state.worked()
            finally:
                self._raw = None
