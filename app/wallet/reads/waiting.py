"""Waiting for several reads, each with its own deadline."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol


class PendingReads(Protocol):
    @property
    def task(self) -> "asyncio.Task[Any]": ...


class Waiting(Protocol):
    """A caller that waits for a task until `until`, on the loop's clock."""

    @property
    def flight(self) -> PendingReads: ...

    @property
    def until(self) -> float: ...


class _Countdown:
    """A future that completes when the given number of tasks are done."""

    __slots__ = ("future", "left")

    def __init__(self, left: int, future: "asyncio.Future[None]") -> None:
        self.left = left
        self.future = future

    def __call__(self, _: object) -> None:
        self.left -= 1
        if not self.left:
            self.wake()

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


async def wait_until_done(waiters: Sequence[Waiting]) -> None:
    """Wait until every read is done or its waiter's deadline has passed: `asyncio.wait` with one timeout per task."""
    loop = asyncio.get_running_loop()
    while True:
        now = loop.time()
        pending = [waiter for waiter in waiters if waiter.until > now and not waiter.flight.task.done()]
        if not pending:
            return
        tasks = {waiter.flight.task for waiter in pending}
        countdown = _Countdown(len(tasks), loop.create_future())
        for task in tasks:
            task.add_done_callback(countdown)
        timer = loop.call_at(min([waiter.until for waiter in pending]), countdown.wake)
        try:
            await countdown.future
        finally:
            timer.cancel()
            for task in tasks:
                task.remove_done_callback(countdown)
