"""Cancels queries on client disconnect and enforces body-read timeouts.

The server reports a disconnect only to a waiting `receive`, which needs a task, and a timeout needs a timer. To keep
short requests cheap, each one is only added to a set, and a periodic sweep handles those that take long.
"""

import asyncio
from typing import Any, Final

from msgspec import Struct
from starlette.types import Receive

_SWEEP_EVERY_S: Final = 0.05


class DisconnectWatch(Struct, eq=False):  # created in C, without a Python call: one per request
    """Watches the task of one request, and may cancel it. Call `end` before the response is sent.

    `within_s` is the timeout of reading the body, None at other times. While `is_cancelled_on_leaving`, a client
    disconnect cancels the task; the body must have been read before, because messages are discarded.
    """

    receive: Receive
    _task: "asyncio.Task[Any] | None"
    _others: "set[DisconnectWatch]"
    within_s: float | None = None
    is_cancelled_on_leaving: bool = False
    is_late: bool = False
    _has_cancelled: bool = False
    _has_left: bool = False
    _since: float | None = None
    _listener: "asyncio.Task[None] | None" = None

    def end(self) -> None:
        self._others.discard(self)
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None  # break the reference cycle between listener and this object

    def ended_it(self) -> bool:
        """True if the CancelledError just caught was raised by this object and by nothing else."""
        assert self._task is not None
        return self._has_cancelled and self._task.uncancel() == 0

    def look(self, now: float) -> None:
        """Check the timeout and listen for a disconnect. Called by the sweep."""
        if self._since is None:
            self._since = now
        elif self.within_s is not None:
            if now - self._since >= self.within_s:
                self.is_late = True
                self._cancel()
        elif self.is_cancelled_on_leaving:
            if self._has_left:
                self._cancel()
            elif self._listener is None:
                self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self._has_left = True
        if self.is_cancelled_on_leaving and self in self._others:
            self._cancel()

    def _cancel(self) -> None:
        self._others.discard(self)
        if self._task is not None:
            self._has_cancelled = True
            self._task.cancel()


class DisconnectWatcher:
    """The requests that are watched. Sweeps while there are any."""

    def __init__(self) -> None:
        self._watched: set[DisconnectWatch] = set()
        self._sweeper: asyncio.Task[None] | None = None

    def watch(self, receive: Receive) -> DisconnectWatch:
        """Watch the running task."""
        one = DisconnectWatch(receive, asyncio.current_task(), self._watched)
        self._watched.add(one)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep())
        return one

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while self._watched:
            await asyncio.sleep(_SWEEP_EVERY_S)
            now = loop.time()
            for one in tuple(self._watched):
                one.look(now)
