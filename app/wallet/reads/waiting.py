"""Waiting for shared work. Cancelling the caller does not cancel what others wait for as well."""

import asyncio
from functools import partial
from typing import Any, TypeVar

Value = TypeVar("Value")


class Countdown:
    """`future` is done when `left` pieces of work are, or at `wake`."""

    __slots__ = ("future", "left")

    def __init__(self, future: "asyncio.Future[None]") -> None:
        self.future = future
        self.left = 0

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


async def wait_shared(shared: "asyncio.Future[Value]") -> Value:
    """The result of a future that others wait for as well. As `asyncio.shield`, with half of its calls."""
    if not shared.done():
        waiter: asyncio.Future[None] = shared.get_loop().create_future()
        shared.add_done_callback(partial(_wake, waiter))
        await waiter
    return shared.result()


def _wake(waiter: "asyncio.Future[None]", shared: "asyncio.Future[Any]") -> None:
    if not waiter.done():
        waiter.set_result(None)
    elif not shared.cancelled():
        shared.exception()  # the waiter is gone: mark the exception as retrieved, or asyncio logs it
