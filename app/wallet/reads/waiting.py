"""Waiting for shared work. Cancelling the caller does not cancel what others wait for as well."""

import asyncio
from collections import deque
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


class Slots:
    """A semaphore that can be taken without a coroutine, if it is free. Waiters are served in order."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiters: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        if not self._free:
            return False
        self._free -= 1
        return True

    def release(self) -> None:
        """Pass the slot to the first waiter, or free it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    async def __aenter__(self) -> None:
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()  # the slot was passed on just before the cancellation
            raise

    async def __aexit__(self, *error: object) -> None:
        self.release()


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
