"""One engine for SQLite and PostgreSQL: how connections are set up, and how reads and writes are begun.

A write is one transaction (`Tx`). What others must hear about it (changed keys, events) is collected while it runs
and written last, under the one row of `heads`: so the order of versions and event ids is the order of commits, and
whoever reads "everything after X" can never miss one that was numbered early and committed late.
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

from app.store import one_hop
from app.store.availability import Availability
from app.store.errors import StoreError
from app.store.outbox import Outbox
from app.store.prepared import Insert, Statement
from app.store.records import Change
from app.store.steady import SteadyConnection, read

BUSY_TIMEOUT_S: Final = 30
_CONNECT_WITHIN_S: Final = 10
_WAL_TRIES: Final = 200
_WAL_PAUSE_S: Final = 0.01

Clock = Callable[[], datetime]
OnChange = Callable[[Sequence[Change]], None]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Tx(Outbox):
    """A write transaction in progress, for callers that want several repositories to commit as one."""

    def __init__(self, conn: SteadyConnection, tenant: str) -> None:
        super().__init__(tenant)
        self.conn = conn


def _insert_of(dialect: str) -> Insert:
    """The dialect's own INSERT, which has ON CONFLICT: of two dialects only the one in use is loaded."""
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
        # Reads of SQLite run statement by statement. A write holds the write lock from its first moment, so it cannot
        # deadlock. Said here rather than by a listener on the engine, which would be asked at each statement.
        self._begin = "BEGIN IMMEDIATE" if self.is_sqlite else None
        # SQLite has one writer at a time. Queueing here is fair and costs nothing; its own busy handler polls.
        self._turn = asyncio.Lock()
        self._turn_of: asyncio.Task[Any] | None = None
        self._listeners: list[OnChange] = []

    @asynccontextmanager
    async def reading(self, tx: Tx | None = None) -> AsyncIterator[SteadyConnection]:
        """A connection for single statements: each sees what is committed, or what `tx` has written so far."""
        if tx is not None:
            yield tx.conn
            return
        conn = await SteadyConnection.open(self._reader, self.availability.reads)
        try:
            yield conn
        finally:
            await conn.close()

    async def rows(self, asked: Statement, tx: Tx | None = None) -> Sequence[Row[Any]]:
        """What one statement finds; `reading` is for several."""
        if tx is not None:
            return (await tx.conn.execute(*asked)).all()
        return await read(self._reader, *asked, self.availability.reads)

    @asynccontextmanager
    async def writing(self, tx: Tx | None = None) -> AsyncIterator[Tx]:
        """Join `tx`, or run a transaction of its own: committed at the end of the block, rolled back if it raises."""
        if tx is not None:
            yield tx
            return
        if not self.is_sqlite:
            async with self._transaction() as own:
                yield own
            return
        if self._turn_of is not None and self._turn_of is asyncio.current_task():
            raise StoreError("a write inside a transaction must be given its tx")  # it would wait for itself
        async with self._turn:
            self._turn_of = asyncio.current_task()
            try:
                async with self._transaction() as own:
                    yield own
            finally:
                self._turn_of = None

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Tx]:
        conn = await SteadyConnection.begun(self.engine, self._begin, self.availability.writes)
        own = Tx(conn, self.tenant)
        try:
            yield own
        except BaseException:
            await conn.close()
            raise
        await conn.end(lambda raw: own.flush(raw, self.now(), self.insert), then=lambda: self._tell(own.changes))

    def on_change(self, listener: OnChange) -> None:
        """Call `listener` after each commit of this process that changed something; it must not block or raise."""
        self._listeners.append(listener)

    def _tell(self, changes: Sequence[Change]) -> None:
        if changes:
            for listener in self._listeners:
                listener(changes)


def make_engine(url: str | URL) -> Engine:
    """An engine for ``sqlite+aiosqlite:///file`` or ``postgresql+asyncpg://...``; nothing is connected yet.

    A new SQLite file is readable by its owner only, for it holds names and e-mail addresses.
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
        parsed, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_S, "async_creator_fn": one_hop.connect}
    )
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _create_private(file: Path) -> None:
    """Make the file if there is none. One that exists must not even be opened here: closing it again would drop the
    locks that this process holds on it (SQLite, "How To Corrupt An SQLite Database File", 2.2)."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _set_up_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # The driver must not begin transactions by itself: `Database` does, so that writes take the lock at once.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    _use_wal(cursor)
    # A journalled write must survive a power cut, not only a crash of the process: WAL's usual NORMAL would lose it.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _use_wal(cursor: DBAPICursor) -> None:
    """Only the first connection ever has to switch; while it does, others are refused without any waiting."""
    for is_last in [*[False] * _WAL_TRIES, True]:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if is_last:
                raise
            time.sleep(_WAL_PAUSE_S)
