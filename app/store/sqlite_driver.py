"""aiosqlite driver with one thread round trip per statement.

aiosqlite runs each connection in a thread, and each call is a round trip of about 40 us, mostly thread wake-ups.
SQLAlchemy makes four calls per statement (create cursor, execute, fetch, close), plus a rollback when a connection
returns to the pool. Here the cursor is created, executed, fetched and closed in one round trip, and a commit or
rollback without a transaction makes none. All rows of a statement are in memory, as before.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Self

import aiosqlite

_NONE: Final[Sequence[Any]] = ()


class Cursor:
    """The cursor interface of SQLAlchemy's asyncio adapter (`sqlalchemy.connectors.asyncio`)."""

    def __init__(self, connection: "SqliteConnection") -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = _NONE) -> None:
        await self._connection.trip(lambda raw: self._keep(raw.execute(sql, parameters)))

    async def executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        await self._connection.trip(lambda raw: self._keep(raw.executemany(sql, parameters)))

    def _keep(self, raw: sqlite3.Cursor) -> None:
        """Runs in the connection's thread."""
        try:
            self.description = raw.description
            # Fetch first: the row count of a statement with RETURNING is set after its last row is read.
            self._rows = raw.fetchall() if raw.description else []
            self.rowcount, self.lastrowid = raw.rowcount, raw.lastrowid
        finally:
            raw.close()

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return rows that are already in memory."""
        size = size or self.arraysize
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    async def close(self) -> None:
        self._rows = []


class SqliteConnection(aiosqlite.Connection):
    """aiosqlite's connection with fewer round trips for statements, commit and rollback."""

    async def trip(self, work: Callable[[sqlite3.Connection], None]) -> None:
        await self._execute(lambda: work(self._conn))  # type: ignore[no-untyped-call]

    def cursor(self) -> Cursor:  # type: ignore[override]  # an adapter's cursor, not aiosqlite's
        return Cursor(self)

    async def commit(self) -> None:
        if self.in_transaction:
            await super().commit()

    async def rollback(self) -> None:
        if self.in_transaction:
            await super().rollback()


def connect(database: str, **options: Any) -> SqliteConnection:
    """For SQLAlchemy's ``async_creator_fn``; await the result. `options` are those of `sqlite3.connect`."""
    connection = SqliteConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # like SQLAlchemy's dialect: an open connection must not block exit
    return connection
