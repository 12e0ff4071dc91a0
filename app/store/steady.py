"""Database work that a cancelled request cannot cut in two.

A cancelled statement leaves its driver in the middle of something: with SQLite a transaction that nobody ends, and
that locks out every writer; with PostgreSQL a connection that must be thrown away. So each step runs in a task of
its own, to its end; the cancellation is raised right after it, and the transaction is then rolled back in order.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, Row
from sqlalchemy.util import greenlet_spawn

from app.store.availability import Access

T = TypeVar("T")


async def steadily(work: Coroutine[Any, Any, T], access: Access | None = None) -> T:
    """Await `work` to its end, whatever happens to the caller; a cancellation meanwhile is raised afterwards.

    With `access`, raises StoreUnavailable where the driver's error means that.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        found = await asyncio.shield(task)
    except asyncio.CancelledError:
        await _ended(task)
        raise
    except Exception as error:
        if access is not None:
            access.failed(error)
        raise
    if access is not None:
        access.worked()
    return found


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
    """The few things that repositories do with a connection. Results are read whole before they are answered.

    It is SQLAlchemy's own connection, used as its `AsyncConnection` does: synchronous code in a greenlet, which leaves
    it to wait for the driver. A step may so be several of its calls, at the price of one; and SQLAlchemy's package for
    asyncio, which brings the ORM and 6 MB with it, is not loaded.
    """

    def __init__(self, raw: Connection, access: Access | None) -> None:
        self._raw = raw
        self._access = access

    @classmethod
    async def open(cls, engine: Engine, access: Access | None = None) -> "SteadyConnection":
        return await cls._opened(engine.connect, access)

    @classmethod
    async def begun(cls, engine: Engine, sql: str | None, access: Access | None = None) -> "SteadyConnection":
        """In a transaction, which `end` or `close` ends. `sql` begins it where the driver must not in its own way."""
        return await cls._opened(lambda: _begun(engine, sql), access)

    @classmethod
    async def _opened(cls, work: Callable[[], Connection], access: Access | None) -> "SteadyConnection":
        opening = asyncio.get_running_loop().create_task(greenlet_spawn(work))
        try:
            return cls(await asyncio.shield(opening), access)
        except asyncio.CancelledError:
            await _ended(opening)
            if not opening.cancelled() and opening.exception() is None:
                await steadily(greenlet_spawn(opening.result().close))
            raise
        except Exception as error:
            if access is not None:
                access.failed(error)
            raise

    async def execute(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        return await steadily(greenlet_spawn(self._raw.execute, statement, values), self._access)

    async def scalar(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        return await steadily(greenlet_spawn(self._raw.scalar, statement, values), self._access)

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        return await steadily(greenlet_spawn(work, self._raw), self._access)

    async def end(self, last: Callable[[Connection], None], then: Callable[[], None]) -> None:
        """Run `last`, commit, and close, whatever comes of it. `then` runs if and only if the commit succeeded, even
        when the caller was cancelled meanwhile."""
        await steadily(greenlet_spawn(_end, self._raw, last, then), self._access)

    async def close(self) -> None:
        """What is open is rolled back."""
        await steadily(greenlet_spawn(self._raw.close), self._access)


async def dispose(engine: Engine) -> None:
    """Close the pool's connections."""
    await steadily(greenlet_spawn(engine.dispose))


async def read(
    engine: Engine, statement: Executable, values: Mapping[str, Any], access: Access | None = None
) -> Sequence[Row[Any]]:
    """One statement with a connection of its own, as one step."""
    return await steadily(greenlet_spawn(_read, engine, statement, values), access)


def _read(engine: Engine, statement: Executable, values: Mapping[str, Any]) -> Sequence[Row[Any]]:
    with engine.connect() as raw:
        return raw.execute(statement, values).all()


def _begun(engine: Engine, sql: str | None) -> Connection:
    raw = engine.connect()
    try:
        raw.begin()
        if sql is not None:
            raw.exec_driver_sql(sql)
    except BaseException:
        raw.close()
        raise
    return raw


def _end(raw: Connection, last: Callable[[Connection], None], then: Callable[[], None]) -> None:
    with raw:
        last(raw)
        raw.commit()
        then()
