"""The engine for SQLite and PostgreSQL: connection setup, reads and write transactions.

A write is one transaction (`Tx`). Its changes and events are collected in the outbox and written last, under a lock on
the row in `heads`. So versions and event ids are in commit order, and a reader with a cursor never misses a row that
was numbered earlier but committed later.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Row, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor

from app.store import sqlite_driver
from app.store.availability import Availability
from app.store.cancel_safe import CancelSafeConnection, read
from app.store.errors import StoreError
from app.store.outbox import Outbox
from app.store.prepared import Insert, Statement
from app.store.records import ChangeNotice

BUSY_TIMEOUT_S: Final = 30
_CONNECT_WITHIN_S: Final = 10
_WAL_TRIES: Final = 200
_WAL_PAUSE_S: Final = 0.01

Clock = Callable[[], datetime]
OnChange = Callable[[Sequence[ChangeNotice]], None]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Tx(Outbox):
    """A write transaction, which several repositories can share."""

    def __init__(self, conn: CancelSafeConnection, tenant: str) -> None:
        super().__init__(tenant)
        self.conn = conn


def _insert_of(dialect: str) -> Insert:
    """The dialect's INSERT with ON CONFLICT support. Imports only the dialect in use."""
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
    return insert


class Database:
    """The engine, the tenant and the clock that all repositories share."""

    def __init__(self, engine: Engine, *, tenant: str = "default", clock: Clock = utc_now) -> None:
        self.engine = engine
        self.tenant = tenant
        self.now = clock
        self.availability = Availability()
        self.is_sqlite = engine.dialect.name == "sqlite"
        self.insert: Insert = _insert_of(engine.dialect.name)
        self._reader = engine if self.is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        # SQLite reads run without a transaction. A write takes the write lock at its start, so it cannot deadlock. An
        # engine listener could do the same, but would run for each statement.
        self._begin = "BEGIN IMMEDIATE" if self.is_sqlite else None
        # SQLite allows one writer at a time. This queue is fair and cheap; SQLite's busy handler polls.
        self._write_lock = asyncio.Lock()
        self._lock_holder: asyncio.Task[Any] | None = None
        self._listeners: list[OnChange] = []

    @asynccontextmanager
    async def reading(self, tx: Tx | None = None) -> AsyncIterator[CancelSafeConnection]:
        """A connection for single statements; each sees the committed state, or that of `tx`."""
        if tx is not None:
            yield tx.conn
            return
        conn = await CancelSafeConnection.open(self._reader, self.availability.reads)
        try:
            yield conn
        finally:
            await conn.close()

    async def rows(self, asked: Statement, tx: Tx | None = None) -> Sequence[Row[Any]]:
        """All rows of one statement; use `reading` for several statements."""
        if tx is not None:
            return (await tx.conn.execute(*asked)).all()
        return await read(self._reader, *asked, self.availability.reads)

    @asynccontextmanager
    async def writing(self, tx: Tx | None = None) -> AsyncIterator[Tx]:
        """Join `tx`, or run a new transaction: committed at the end of the block, rolled back if it raises."""
        if tx is not None:
            yield tx
            return
        if not self.is_sqlite:
            async with self._transaction() as own:
                yield own
            return
        if self._lock_holder is not None and self._lock_holder is asyncio.current_task():
            raise StoreError("a write inside a transaction must be given its tx")  # otherwise a deadlock
        async with self._write_lock:
            self._lock_holder = asyncio.current_task()
            try:
                async with self._transaction() as own:
                    yield own
            finally:
                self._lock_holder = None

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Tx]:
        conn = await CancelSafeConnection.begun(self.engine, self._begin, self.availability.writes)
        own = Tx(conn, self.tenant)
        try:
            yield own
        except BaseException:
            await conn.close()
            raise
        await conn.end(lambda raw: own.flush(raw, self.now(), self.insert), then=lambda: self._notify(own.changes))

    def on_change(self, listener: OnChange) -> None:
        """Call `listener` after each commit in this process that has changes; it must not block or raise."""
        self._listeners.append(listener)

    def _notify(self, changes: Sequence[ChangeNotice]) -> None:
        if changes:
            for listener in self._listeners:
                listener(changes)


def make_engine(url: str | URL) -> Engine:
    """An engine for ``sqlite+aiosqlite:///file`` or ``postgresql+asyncpg://...``, without connecting.

    A new SQLite file is readable only by its owner, because it holds names and e-mail addresses.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(
            parsed,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=20,
            pool_recycle=1800,
            pool_timeout=_CONNECT_WITHIN_S,
            connect_args={"timeout": _CONNECT_WITHIN_S},
        )
    if parsed.database:
        _create_private(Path(parsed.database))
    engine = create_engine(
        parsed,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_S, "async_creator_fn": sqlite_driver.connect},
    )
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _create_private(file: Path) -> None:
    """Create the file if it is missing. An existing one must not be opened: closing it would drop the process's locks.

    Source: SQLite, "How To Corrupt An SQLite Database File", 2.2.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _set_up_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # The driver must not begin transactions: `Database` does, so that writes take the lock immediately.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    _use_wal(cursor)
    # A journalled write must survive a power failure, not only a process crash; WAL's usual NORMAL could lose it.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _use_wal(cursor: DBAPICursor) -> None:
    """Switch to WAL, with retries: while the first connection switches, others fail immediately."""
    for is_last in [*[False] * _WAL_TRIES, True]:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if is_last:
                raise
            time.sleep(_WAL_PAUSE_S)
