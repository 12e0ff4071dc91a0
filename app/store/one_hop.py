"""SQLite for asyncio with one trip to the connection's thread for each statement.

aiosqlite runs a connection in a thread of its own, and each thing asked of it is a trip there and back: some 40 us,
nearly all of them the waking of two threads. SQLAlchemy asks four things for one statement (a cursor, the execution,
the rows, the closing), and at a connection's return to the pool a fifth, a rollback, though nothing may be open.
Here the cursor is made, run, read to its end and closed in one trip, and a commit or rollback with nothing to end is
none.
A statement's rows are therefore in memory as a whole, which they were before.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Self

import aiosqlite

_NONE: Final[Sequence[Any]] = ()


class Cursor:
    """What SQLAlchemy's adapter needs of an asyncio driver's cursor (`sqlalchemy.connectors.asyncio`)."""

    def __init__(self, connection: "Connection") -> None:
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
        """In the connection's thread, while the caller waits."""
        try:
            self.description = raw.description
            # Rows first: what a statement with RETURNING changed is counted when its last row has been read.
            self._rows = raw.fetchall() if raw.description else []
            self.rowcount, self.lastrowid = raw.rowcount, raw.lastrowid
        finally:
            raw.close()

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """For streams of rows, which are none here: the rows are in memory already."""
        size = size or self.arraysize
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    async def close(self) -> None:
        self._rows = []


class Connection(aiosqlite.Connection):
    """aiosqlite's connection and thread; only statements and the ends of transactions are shorter."""

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


def connect(database: str, **options: Any) -> Connection:
    """For SQLAlchemy's ``async_creator_fn``: to be awaited; `options` are those of `sqlite3.connect`."""
    connection = Connection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # as SQLAlchemy's own dialect does: a connection left open must not keep a process
    return connection
