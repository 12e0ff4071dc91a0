"""Migrations: complete, packaged, and safe for concurrent process starts."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store import Store, make_engine, migrate, migrations_are_current
from app.store.migrating import newest_revision
from app.store.schema import NEWEST_REVISION
from app.store.tables import metadata

_START = """
import asyncio, sys
from app.store import Store, migrate
async def start():
    store = Store.open(sys.argv[1])
    await migrate(store.engine)
    await store.directory.create(external_id=sys.argv[2])
    await store.close()
asyncio.run(start())
"""


async def test_migrations_produce_exactly_the_tables(store: Store) -> None:
    def differences(connection: Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with AsyncEngine(store.engine).connect() as conn:
        assert await conn.run_sync(differences) == []


def test_the_revision_that_is_expected_is_the_newest_script() -> None:
    assert newest_revision() == NEWEST_REVISION


async def test_migrating_again_changes_nothing(store: Store) -> None:
    await store.directory.create(external_id="user-1")
    await migrate(store.engine)
    assert await migrations_are_current(store.engine)
    assert await store.directory.customer_by_external_id("user-1") is not None


async def test_an_empty_or_older_database_is_not_current(store: Store, tmp_path: Path) -> None:
    empty = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")
    assert not await migrations_are_current(empty)
    await AsyncEngine(empty).dispose()
    async with AsyncEngine(store.engine).begin() as conn:
        await conn.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    assert not await migrations_are_current(store.engine)


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database; for SQLite a missing file."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'fresh' / 'vaultgraph.db'}"
    url: str = request.getfixturevalue("postgres_url")
    asyncio.run(_wipe(url))
    return url


async def test_processes_can_migrate_concurrently(empty_url: str, tmp_path: Path) -> None:
    """Run as if from an installed wheel: in another directory, with only the package."""
    root = str(Path(__file__).parents[2])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _START, empty_url, f"user-{number}"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": root},
            stderr=subprocess.PIPE,
        )
        for number in range(3)
    ]
    for process in processes:
        _, errors = await asyncio.to_thread(process.communicate, timeout=90)
        assert process.returncode == 0, errors.decode()
    store = Store.open(empty_url)
    assert await migrations_are_current(store.engine)
    assert len(await store.directory.page_of_ids()) == 3
    await store.close()


async def test_concurrent_migrations_wait_for_each_other(empty_url: str) -> None:
    engines = [make_engine(empty_url) for _ in range(6)]
    await asyncio.gather(*(migrate(engine) for engine in engines))
    assert await migrations_are_current(engines[0])
    for engine in engines:
        await AsyncEngine(engine).dispose()


async def test_a_new_sqlite_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "data" / "vaultgraph.db"
    engine = make_engine(f"sqlite+aiosqlite:///{file}")
    await migrate(engine)
    assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}
    async with AsyncEngine(engine).connect() as conn:
        assert (await conn.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await conn.execute(text("PRAGMA foreign_keys"))).scalar() == 1
    await AsyncEngine(engine).dispose()


async def _wipe(url: str) -> None:
    engine = make_engine(url)
    async with AsyncEngine(engine).begin() as conn:
        await conn.execute(text("DROP SCHEMA public CASCADE"))
        await conn.execute(text("CREATE SCHEMA public"))
    await AsyncEngine(engine).dispose()
