"""SQLite with one thread round trip per statement: same results and errors, fewer round trips."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.store import make_engine, sqlite_driver


@pytest.fixture
async def trips(conn: AsyncConnection, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What went to the connection's thread, by the name of the function that ran there.

    Of this connection alone: gateways of other tests may run in this process, each with its own.
    """
    found: list[str] = []
    driver = (await conn.get_raw_connection()).driver_connection
    assert isinstance(driver, sqlite_driver.SqliteConnection)
    send = driver._execute

    async def noting(fn: Any, *args: Any, **options: Any) -> Any:
        found.append(fn.__name__)
        return await send(fn, *args, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(driver, "_execute", noting)
    return found


@pytest.fixture
async def conn(tmp_path: Path) -> AsyncIterator[AsyncConnection]:
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'vaultgraph.db'}")
    async with AsyncEngine(engine).connect() as conn:
        await conn.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT UNIQUE)"))
        yield conn
    await AsyncEngine(engine).dispose()


async def test_statement_is_one_trip(conn: AsyncConnection, trips: list[str]) -> None:
    await conn.execute(text("INSERT INTO t (word) VALUES ('one')"))
    assert len(trips) == 1
    rows = (await conn.execute(text("SELECT id, word FROM t"))).all()
    assert [tuple(row) for row in rows] == [(1, "one")]
    assert len(trips) == 2


async def test_nothing_to_end_is_no_trip(conn: AsyncConnection, trips: list[str]) -> None:
    await conn.execute(text("SELECT 1"))
    await conn.rollback()
    await conn.commit()
    assert len(trips) == 1


async def test_open_transaction_is_ended(conn: AsyncConnection, trips: list[str]) -> None:
    await conn.exec_driver_sql("BEGIN IMMEDIATE")
    await conn.execute(text("INSERT INTO t (word) VALUES ('gone')"))
    await conn.rollback()
    assert len(trips) == 3
    await conn.exec_driver_sql("BEGIN IMMEDIATE")
    await conn.execute(text("INSERT INTO t (word) VALUES ('kept')"))
    await conn.commit()
    assert (await conn.execute(text("SELECT word FROM t"))).scalars().all() == ["kept"]


async def test_changed_rows_are_counted(conn: AsyncConnection) -> None:
    many = [{"word": word} for word in ("a", "b", "c")]
    assert (await conn.execute(text("INSERT INTO t (word) VALUES (:word)"), many)).rowcount == 3
    assert (await conn.execute(text("UPDATE t SET word = word || '!' WHERE id > 1"))).rowcount == 2
    returned = await conn.execute(text("DELETE FROM t WHERE id < 3 RETURNING id"))
    assert sorted(returned.scalars()) == [1, 2]


async def test_error_is_the_drivers_and_leaves_the_connection_usable(conn: AsyncConnection) -> None:
    await conn.execute(text("INSERT INTO t (word) VALUES ('one')"))
    with pytest.raises(exc.IntegrityError):
        await conn.execute(text("INSERT INTO t (word) VALUES ('one')"))
    with pytest.raises(exc.OperationalError):
        await conn.execute(text("SELECT nothing FROM nowhere"))
    assert (await conn.execute(text("SELECT count(*) FROM t"))).scalar_one() == 1


async def test_empty_result_has_its_columns(conn: AsyncConnection) -> None:
    result = await conn.execute(text("SELECT id, word FROM t"))
    assert list(result.keys()) == ["id", "word"]
    assert result.all() == []


async def test_rows_can_be_read_in_parts(conn: AsyncConnection) -> None:
    await conn.execute(text("INSERT INTO t (word) VALUES (:word)"), [{"word": str(number)} for number in range(10)])
    result = await conn.stream(text("SELECT id FROM t ORDER BY id"))
    assert [row.id async for row in result] == list(range(1, 11))


async def test_closed_connection_says_so(tmp_path: Path) -> None:
    connection = await sqlite_driver.connect(str(tmp_path / "x.db"))
    await connection.close()
    with pytest.raises(ValueError, match="closed"):
        await connection.cursor().execute("SELECT 1")


async def test_connections_run_side_by_side(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'vaultgraph.db'}")

    async def ask(number: int) -> int:
        async with AsyncEngine(engine).connect() as conn:
            return int((await conn.execute(text("SELECT :number"), {"number": number})).scalar_one())

    assert await asyncio.gather(*[ask(number) for number in range(8)]) == list(range(8))
    await AsyncEngine(engine).dispose()
