"""Cancels queries on client disconnect and enforces body-read timeouts.

The server reports a disconnect only to a waiting `receive`, which needs a task, and a timeout needs a timer. To keep
short requests cheap, each one is only added to a set, and a periodic sweep handles those that take long.
"""

import asyncio
from types import TracebackType
from typing import Any, Final

from starlette.types import Receive

_SWEEP_EVERY_S: Final = 0.05


class DisconnectScope:
    """A context manager around a part of the running task, which may cancel it. A flag is set before it does.

    `receive`, if given, cancels the part on client disconnect; the body must have been read before, as messages are
    discarded. `within_s`, if given, is the part's timeout.
    """

    __slots__ = ("_receive", "_since", "_task", "_watch", "_within_s", "is_gone", "is_late", "listener")

    def __init__(self, watch: "DisconnectWatcher", receive: Receive | None, within_s: float | None) -> None:
        self._watch = watch
        self._receive = receive
        self._within_s = within_s
        self._task: asyncio.Task[Any] | None = None
        self._since = 0.0
        self.listener: asyncio.Task[None] | None = None
        self.is_gone = False
        self.is_late = False

    def __enter__(self) -> "DisconnectScope":
        self._watch.add(self)
        return self

    def begin(self, task: "asyncio.Task[Any] | None", now: float) -> None:
        self._task = task
        self._since = now

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.discard(self)
        if self.listener is not None:
            self.listener.cancel()
            self.listener = None  # break the reference cycle between listener and this object

    def ended_it(self) -> bool:
        """True if the CancelledError just caught was raised by this object and by nothing else."""
        assert self._task is not None
        return (self.is_gone or self.is_late) and self._task.uncancel() == 0

    def look(self, now: float) -> None:
        """Check the timeout and listen for a disconnect. Called by the sweep."""
        if self._within_s is not None and now - self._since >= self._within_s:
            self.is_late = True
            self._cancel()
        elif self._receive is not None and self.listener is None and now - self._since >= _SWEEP_EVERY_S:
            self.listener = asyncio.create_task(self._listen(self._receive))

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if self._watch.holds(self):
            self.is_gone = True
            self._cancel()

    def _cancel(self) -> None:
        self._watch.discard(self)
        if self._task is not None:
            self._task.cancel()


class DisconnectWatcher:
    """The watched parts. Sweeps while there are any."""

    def __init__(self) -> None:
        self._watched: set[DisconnectScope] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.Task[None] | None = None

    def for_leaving(self, receive: Receive) -> DisconnectScope:
        return DisconnectScope(self, receive, None)

    def for_time(self, within_s: float) -> DisconnectScope:
        return DisconnectScope(self, None, within_s)

    def add(self, one: DisconnectScope) -> None:
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()  # cached: a gateway runs on one event loop
        one.begin(asyncio.current_task(loop), loop.time())
        self._watched.add(one)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep())

    def discard(self, one: DisconnectScope) -> None:
        self._watched.discard(one)

    def holds(self, one: DisconnectScope) -> bool:
        return one in self._watched

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while self._watched:
            await asyncio.sleep(_SWEEP_EVERY_S)
            now = loop.time()
            for one in tuple(self._watched):
                one.look(now)
