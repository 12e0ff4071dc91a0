"""Database work that a cancelled request cannot cut in two.

A cancelled statement leaves its driver in the middle of something: with SQLite a transaction that nobody ends, and
that locks out every writer; with PostgreSQL a connection that must be thrown away. So each step runs in a task of
its own, to its end; the cancellation is raised right after it, and the transaction is then rolled back in order.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")


async def steadily(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` to its end, whatever happens to the caller; a cancellation meanwhile is raised afterwards."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _ended(task)
        raise


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait for the task through any further cancellation; its own error is no longer anybody's."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()


class SteadyConnection:
    """The few things that repositories do with a connection. Results are read whole before they are answered."""

    def __init__(self, raw: AsyncConnection) -> None:
        self._raw = raw

    @classmethod
    async def open(cls, engine: AsyncEngine) -> "SteadyConnection":
        opening = asyncio.get_running_loop().create_task(_connect(engine))
        try:
            return cls(await asyncio.shield(opening))
        except asyncio.CancelledError:
            await _ended(opening)
            if not opening.cancelled() and opening.exception() is None:
                await steadily(opening.result().close())
            raise

    async def execute(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        return await steadily(self._raw.execute(statement, values))

    async def scalar(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        return await steadily(self._raw.scalar(statement, values))

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        return await steadily(self._raw.run_sync(work))

    async def begin(self, sql: str | None) -> None:
        """`sql`: what begins the transaction where the driver must not do it its own way."""
        await steadily(_begin(self._raw, sql))

    async def commit(self, then: Callable[[], None]) -> None:
        """`then` runs if and only if the commit succeeded, even when the caller was cancelled meanwhile."""
        await steadily(_commit(self._raw, then))

    async def rollback(self) -> None:
        await steadily(self._raw.rollback())

    async def close(self) -> None:
        await steadily(self._raw.close())


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


async def _begin(raw: AsyncConnection, sql: str | None) -> None:
    await raw.begin()
    if sql is not None:
        await raw.exec_driver_sql(sql)


async def _commit(raw: AsyncConnection, then: Callable[[], None]) -> None:
    await raw.commit()
    then()
