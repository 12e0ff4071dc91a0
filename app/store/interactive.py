"""Transactions whose functions are sent to the connection's thread one by one.

For callers that are not yet one plain function: each call is a hop to the thread, and the connection waits in between.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

from app.store.connection import Clock, Driver
from app.store.outbox import Transaction

if TYPE_CHECKING:
    from app.store.database import Database

T = TypeVar("T")


class _RolledBack(Exception):
    pass


class _NoDriver:
    pass


_Step = tuple[Callable[[], Any], "asyncio.Future[Any]"] | None


class Tx(Transaction):
    def __init__(self, tenant: str, clock: Clock) -> None:
        super().__init__(_NoDriver(), tenant, clock)  # type: ignore[arg-type]
        self._loop: Final = asyncio.get_running_loop()
        self._steps: SimpleQueue[_Step] = SimpleQueue()
        self._is_kept = False
        self.begun: asyncio.Future[None] = self._loop.create_future()

    async def run(self, step: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._steps.put((lambda: step(self, *args, **kwargs), future))
        return await settled(future)

    def end(self, *, is_kept: bool) -> None:
        self._is_kept = is_kept
        self._steps.put(None)

    def serve(self, driver: Driver) -> None:
        """On the connection's thread: from begin to commit."""
        self._driver = driver  # type: ignore[misc]
        driver.begin()
        try:
            self._loop.call_soon_threadsafe(self.begun.set_result, None)
            while (item := self._steps.get()) is not None:
                step, future = item
                try:
                    found, error = step(), None
                except BaseException as raised:  # noqa: BLE001 - raised in the caller
                    found, error = None, raised
                self._loop.call_soon_threadsafe(_finish, future, found, error)
            if not self._is_kept:
                raise _RolledBack
            self.flush()
            driver.commit()
        except BaseException:
            driver.rollback()
            raise


def _finish(future: "asyncio.Future[Any]", found: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(found)
    else:
        future.set_exception(error)


async def settled(work: "asyncio.Future[T]") -> T:
    """The result of `work`, waited for even if the caller is cancelled; the cancellation is raised afterwards."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()
        raise


@asynccontextmanager
async def begun(database: "Database") -> AsyncIterator[Tx]:
    tx = Tx(database.tenant, database.now)
    running = asyncio.get_running_loop().create_task(database.run_interactive(tx))
    try:
        await asyncio.wait([running, tx.begun], return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        tx.end(is_kept=False)
        with suppress(asyncio.CancelledError, _RolledBack):
            await settled(running)
        raise
    if running.done():
        running.result()
    try:
        yield tx
    except BaseException:
        tx.end(is_kept=False)
        with suppress(_RolledBack):
            await settled(running)
        raise
    tx.end(is_kept=True)
    await settled(running)
