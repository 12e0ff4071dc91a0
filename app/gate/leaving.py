"""Clients that go away take their work with them.

The server tells that a client left only to whoever listens, and listening costs a task. So a request pays for a set
insertion, and a sweep starts to listen for those few that have been running for a while.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from starlette.types import Receive

_SWEEP_EVERY_S: Final = 0.05


class Watched:
    """A request on its way. `is_gone` is set before its task is cancelled for that reason."""

    __slots__ = ("is_gone", "listener", "receive", "since", "task")

    def __init__(self, task: asyncio.Task[Any], receive: Receive, since: float) -> None:
        self.task = task
        self.receive = receive
        self.since = since
        self.listener: asyncio.Task[None] | None = None
        self.is_gone = False


class LeaveWatch:
    """Cancels the task of a request whose client has disconnected."""

    def __init__(self) -> None:
        self._watched: set[Watched] = set()
        self._sweeper: asyncio.Task[None] | None = None

    @contextmanager
    def over(self, receive: Receive) -> Iterator[Watched]:
        """Watch the running task while the block runs. The body must have been read: what arrives is thrown away."""
        task = asyncio.current_task()
        assert task is not None
        one = Watched(task, receive, asyncio.get_running_loop().time())
        self._watched.add(one)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._sweep())
        try:
            yield one
        finally:
            self._watched.discard(one)
            if one.listener is not None:
                one.listener.cancel()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while self._watched:
            await asyncio.sleep(_SWEEP_EVERY_S)
            for one in self._watched:
                if one.listener is None and loop.time() - one.since >= _SWEEP_EVERY_S:
                    one.listener = asyncio.create_task(self._listen(one))

    async def _listen(self, one: Watched) -> None:
        while (await one.receive())["type"] != "http.disconnect":
            pass
        if one in self._watched:
            one.is_gone = True
            one.task.cancel()
