"""Waiting for shared work: several futures, each with its own deadline. Cancelling the caller cancels none of them."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

Pending = tuple["asyncio.Future[Any]", float]
"""A future, and until when its caller waits for it, on the loop's clock."""


class _Countdown:
    """A future that completes when the given number of futures are done."""

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


async def wait_until_done(waited: Sequence[Pending]) -> None:
    """Wait until each future is done or its deadline has passed: `asyncio.wait` with one timeout per future."""
    loop = asyncio.get_running_loop()
    while True:
        now = loop.time()
        pending = [one for one in waited if one[1] > now and not one[0].done()]
        if not pending:
            return
        futures = {future for future, _ in pending}
        countdown = _Countdown(len(futures), loop.create_future())
        for future in futures:
            future.add_done_callback(countdown)
        timer = loop.call_at(min([until for _, until in pending]), countdown.wake)
        try:
            await countdown.future
        finally:
            timer.cancel()
            for future in futures:
                future.remove_done_callback(countdown)


async def wait_all(futures: Iterable["asyncio.Future[Any]"]) -> None:
    """Wait until all are done, whatever their results."""
    pending = [one for one in futures if not one.done()]
    if not pending:
        return
    countdown = _Countdown(len(pending), asyncio.get_running_loop().create_future())
    for future in pending:
        future.add_done_callback(countdown)
    try:
        await countdown.future
    except asyncio.CancelledError:
        for future in pending:
            future.add_done_callback(_retrieve)
        raise


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Mark an exception as retrieved, or asyncio logs it: nobody waits any more."""
    if not future.cancelled():
        future.exception()
