"""Waiting for several reads, each for as long as it may take."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol


class Landing(Protocol):
    @property
    def task(self) -> "asyncio.Task[Any]": ...


class Waiting(Protocol):
    """One who waits for a task, until a time on the loop's clock."""

    @property
    def flight(self) -> Landing: ...

    @property
    def until(self) -> float: ...


class _Countdown:
    """A future that is done once so many tasks are."""

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


async def over(seats: Sequence[Waiting]) -> None:
    """Until every flight has landed or its seat's time is over. `asyncio.wait`, with a time for each."""
    loop = asyncio.get_running_loop()
    while True:
        now = loop.time()
        pending = [seat for seat in seats if seat.until > now and not seat.flight.task.done()]
        if not pending:
            return
        tasks = {seat.flight.task for seat in pending}
        countdown = _Countdown(len(tasks), loop.create_future())
        for task in tasks:
            task.add_done_callback(countdown)
        timer = loop.call_at(min([seat.until for seat in pending]), countdown.wake)
        try:
            await countdown.future
        finally:
            timer.cancel()
            for task in tasks:
                task.remove_done_callback(countdown)
