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

from app.store import Store, make_engine, migrate, migrations_are_current
from app.store.migrating import newest_revision
from app.store.schema import NEWEST_REVISION
from app.store.statements import Statement
from app.store.tables import metadata
from tests.support.stores import sql

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


def test_migrations_produce_exactly_the_tables(store_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    with sql(store_url) as conn:
        assert differences(conn) == []


def test_the_revision_that_is_expected_is_the_newest_script() -> None:
    assert newest_revision() == NEWEST_REVISION


async def test_migrating_again_changes_nothing(store: Store) -> None:
    await store.directory.create(external_id="user-1")
    await migrate(store.engine)
    assert await migrations_are_current(store.engine)
    assert await store.directory.customer_by_external_id("user-1") is not None


async def test_an_empty_or_older_database_is_not_current(store_url: str, store: Store, tmp_path: Path) -> None:
    empty = make_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    assert not await migrations_are_current(empty)
    with sql(store_url) as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    assert not await migrations_are_current(store.engine)


async def test_a_newer_schema_serves_the_version_before_it(store_url: str, store: Store) -> None:
    with sql(store_url) as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert await migrations_are_current(store.engine)
    await migrate(store.engine)  # changes nothing
    assert await store.directory.create(external_id="user-1")


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database; for SQLite a missing file."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'fresh' / 'vaultgraph.db'}"
    url: str = request.getfixturevalue("postgres_url")
    with sql(url) as conn:
        conn.execute(text("DROP SCHEMA public CASCADE"))
        conn.execute(text("CREATE SCHEMA public"))
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


async def test_a_new_sqlite_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "data" / "vaultgraph.db"
    await migrate(make_engine(f"sqlite:///{file}"))
    assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}
    driver = make_engine(f"sqlite:///{file}").connect()
    settings = ("journal_mode", "foreign_keys", "synchronous")
    found = {name: driver.rows(Statement(f"PRAGMA {name}"), {})[0][0] for name in settings}
    driver.close()
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}
