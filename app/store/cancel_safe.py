"""Database access that is safe to cancel.

Cancelling a statement in the driver leaves an open transaction that blocks all writers (SQLite) or a broken connection
(PostgreSQL). So each step runs to completion in a separate task; the cancellation is raised afterwards, and the
transaction is then rolled back.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, Row
from sqlalchemy.util import greenlet_spawn

from app.store.availability import Access

T = TypeVar("T")


async def run_to_completion(work: Coroutine[Any, Any, T], access: Access | None = None) -> T:
    """Run `work` to completion even if the caller is cancelled; the cancellation is raised afterwards.

    With `access`, raises StoreUnavailable if the driver's error is an outage.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        found = await asyncio.shield(task)
    except asyncio.CancelledError:
        await _wait_for(task)
        raise
    except Exception as error:
        if access is not None:
            access.failed(error)
        raise
    if access is not None:
        access.worked()
    return found


async def _wait_for(task: asyncio.Task[Any]) -> None:
    """Wait for the task, ignoring further cancellations and its exception."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()


class CancelSafeConnection:
    """A connection for the repositories. Results are fetched completely.

    Runs SQLAlchemy's synchronous connection in a greenlet, like its `AsyncConnection`. So one step can make several
    calls for the price of one, and `sqlalchemy.ext.asyncio`, which loads the ORM (6 MB), is not needed.
    """

    def __init__(self, raw: Connection, access: Access | None) -> None:
        self._raw = raw
        self._access = access

    @classmethod
    async def open(cls, engine: Engine, access: Access | None = None) -> "CancelSafeConnection":
        return await cls._opened(engine.connect, access)

    @classmethod
    async def begun(cls, engine: Engine, sql: str | None, access: Access | None = None) -> "CancelSafeConnection":
        """Open a connection in a transaction; finish it with `end` or `close`. `sql` replaces the driver's BEGIN."""
        return await cls._opened(lambda: _begun(engine, sql), access)

    @classmethod
    async def _opened(cls, work: Callable[[], Connection], access: Access | None) -> "CancelSafeConnection":
        opening = asyncio.get_running_loop().create_task(greenlet_spawn(work))
        try:
            return cls(await asyncio.shield(opening), access)
        except asyncio.CancelledError:
            await _wait_for(opening)
            if not opening.cancelled() and opening.exception() is None:
                await run_to_completion(greenlet_spawn(opening.result().close))
            raise
        except Exception as error:
            if access is not None:
                access.failed(error)
            raise

    async def execute(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        return await run_to_completion(greenlet_spawn(self._raw.execute, statement, values), self._access)

    async def scalar(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        return await run_to_completion(greenlet_spawn(self._raw.scalar, statement, values), self._access)

    async def run_sync(self, work: Callable[[Connection], T]) -> T:
        return await run_to_completion(greenlet_spawn(work, self._raw), self._access)

    async def end(self, last: Callable[[Connection], None], then: Callable[[], None]) -> None:
        """Run `last`, commit, and always close. `then` runs exactly if the commit succeeds, even after cancellation."""
        await run_to_completion(greenlet_spawn(_end, self._raw, last, then), self._access)

    async def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        await run_to_completion(greenlet_spawn(self._raw.close), self._access)


async def dispose(engine: Engine) -> None:
    """Close the connection pool."""
    await run_to_completion(greenlet_spawn(engine.dispose))


async def read(
    engine: Engine, statement: Executable, values: Mapping[str, Any], access: Access | None = None
) -> Sequence[Row[Any]]:
    """Run one statement on a new pooled connection, as one step."""
    return await run_to_completion(greenlet_spawn(_read, engine, statement, values), access)


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
