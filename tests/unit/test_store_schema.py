"""Migrations: complete, packaged, and safe for concurrent process starts."""

import asyncio
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from app.store import Store, make_engine, migrate, postgres, require_schema
from app.store.errors import SchemaDiffers
from app.store.migrating import MIGRATING, downgrade, revisions, sqlalchemy_engine, upgrade
from app.store.schema import NEWEST_REVISION
from app.store.statements import Statement
from tests.support.stores import customer_ids, sql
from tests.support.waiting import eventually

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


def test_the_revision_that_is_expected_is_the_newest_script() -> None:
    assert revisions()[-1] == NEWEST_REVISION
    assert revisions() == sorted(revisions()), "they are compared as text"
    assert {len(one) for one in revisions()} == {4}


async def test_migrating_again_changes_nothing(store: Store) -> None:
    await store.directory.create(external_id="user-1")
    await migrate(store.engine)
    await require_schema(store.engine)
    assert await store.directory.customer_by_external_id("user-1") is not None


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        (None, "the store has no schema, this version needs {now}: run `vaultgraph migrate`"),
        ("0001", "the store's schema is 0001, this version needs {now}: run `vaultgraph migrate`"),
        (
            "9001",
            "the store's schema is 9001, this version needs {now}: run the newer version, or go back with its "
            "`vaultgraph migrate --to {now}` as docs/operations/upgrades.md says",
        ),
    ],
)
async def test_a_schema_that_cannot_be_used_is_named_with_the_remedy(
    store_url: str, found: str | None, remedy: str
) -> None:
    with sql(store_url) as conn:
        change = f"UPDATE alembic_version SET version_num = '{found}'" if found else "DROP TABLE alembic_version"
        conn.execute(text(change))
    engine = make_engine(store_url)
    with pytest.raises(SchemaDiffers) as refused:
        await require_schema(engine)
    assert str(refused.value) == remedy.format(now=NEWEST_REVISION)
    if refused.value.is_newer:
        with pytest.raises(SchemaDiffers, match="go back"):
            await migrate(engine)


async def test_going_back_and_forth_keeps_what_the_older_schema_holds(store_url: str, store: Store) -> None:
    customer = await store.directory.create(external_id="user-1", email="ada@example.com")
    await store.clients.add("acme", key_hash="h" * 64, scopes=["customers:read"], sees_all_customers=True)
    for revision in revisions()[-2::-1]:
        downgrade(store.engine, revision)
        with pytest.raises(SchemaDiffers, match=revision):
            await require_schema(store.engine)
    await migrate(store.engine)
    await require_schema(store.engine)
    assert await store.directory.customer_by_external_id("user-1") == customer
    assert (await store.clients.client("acme")).keys[0].key_hash == "h" * 64


def test_migrations_only_add_so_that_the_previous_release_runs_on_them(empty_url: str) -> None:
    """Expand and contract: what removes or renames comes a release later, and begins the next generation."""
    engine = make_engine(empty_url)

    def columns() -> dict[tuple[str, str], bool]:
        """Whether a row can be stored without it, of each column."""
        with sqlalchemy_engine(engine).connect() as connection:
            look = inspect(connection)
            return {
                (table, column["name"]): column["nullable"] or column["default"] is not None
                for table in look.get_table_names()
                for column in look.get_columns(table)
            }

    older, before = "", {}
    for revision in revisions():
        upgrade(engine, revision)
        after = columns()
        if older >= "0008" and revision[0] == older[0]:
            assert before.keys() <= after.keys(), f"{revision} removes or renames: number it {int(revision[0]) + 1}001"
            tables = {table for table, _ in before}
            needed = {one for one in after.keys() - before.keys() if one[0] in tables and not after[one]}
            assert not needed, f"{revision}: the previous release cannot store rows without {needed}"
        older, before = revision, after


async def test_a_newer_schema_serves_the_version_before_it(store_url: str, store: Store) -> None:
    with sql(store_url) as conn:
        conn.execute(text(f"UPDATE alembic_version SET version_num = '{NEWEST_REVISION[0]}999'"))
    await require_schema(store.engine)
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
    await require_schema(store.engine)
    assert len(await customer_ids(store)) == 3
    await store.close()


async def test_concurrent_migrations_wait_for_each_other(empty_url: str) -> None:
    engines = [make_engine(empty_url) for _ in range(6)]
    await asyncio.gather(*(migrate(engine) for engine in engines))
    await require_schema(engines[0])


def test_a_migration_waits_longer_than_other_locks_may(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL. Another process migrates for longer than the limit for locks."""
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT_S", 0.05)
    lock = text("SELECT pg_advisory_xact_lock(:key)")
    waits = text(
        "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE datname = current_database()"
        " AND locktype = 'advisory' AND NOT granted AND clock_timestamp() - query_start > interval '0.3 s'"
    )

    def is_waiting() -> bool:
        with sql(postgres_url) as look:
            return look.execute(waits).first() is not None

    with ThreadPoolExecutor(1) as thread, sql(postgres_url) as other:
        other.execute(lock, {"key": MIGRATING})
        migration = thread.submit(upgrade, make_engine(postgres_url))
        eventually(lambda: migration.done() or is_waiting())
        other.rollback()
        migration.result()


async def test_a_new_sqlite_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "data" / "vaultgraph.db"
    await migrate(make_engine(f"sqlite:///{file}"))
    assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}
    driver = make_engine(f"sqlite:///{file}").connect()
    settings = ("journal_mode", "foreign_keys", "synchronous")
    found = {name: driver.rows(Statement(f"PRAGMA {name}"), {})[0][0] for name in settings}
    driver.close()
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}
