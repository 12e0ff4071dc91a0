"""`vaultgraph migrate`, and a store that `serve` cannot use."""

import itertools
import json
import os
import sqlite3
import stat
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from tests.support.command import Running, vaultgraph
from tests.support.postgres import Postgres

_NUMBERS = itertools.count(1)
PRODUCTION = {
    "VAULTGRAPH_ID_KEY": "id-key-of-tests-" + "k" * 32,
    "VAULTGRAPH_DIGEST_KEY": "digest-key-of-tests-" + "d" * 32,
    "VAULTGRAPH_AUTH__PARTNERS_ONLY": "true",
    "VAULTGRAPH_GATE__CORS_ORIGINS": "none",
    "VAULTGRAPH_PORT": "0",
}


@pytest.fixture
def empty_database(postgres_server: Postgres) -> str:
    name = f"cli_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_server.url(name)


@pytest.fixture
def environ(empty_database: str) -> dict[str, str]:
    return {**PRODUCTION, "VAULTGRAPH_STORE__URL": empty_database}


def test_a_store_without_its_schema_is_one_line_that_says_what_to_run(environ: dict[str, str], tmp_path: Path) -> None:
    done = vaultgraph("serve", "--data-dir", tmp_path, **environ)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "`vaultgraph migrate`" in done.stderr


def test_migrate_then_serve_on_postgresql(environ: dict[str, str], tmp_path: Path) -> None:
    for _ in range(2):
        done = vaultgraph("migrate", **environ)
        assert (done.returncode, done.stdout) == (0, "the store is up to date\n")
        assert done.stderr.startswith("store: postgresql /")
    with Running("serve", "--data-dir", tmp_path / "data", **environ) as running:
        url = running.until(r"^Gateway +(http://\S+)/graphql")[1]
        with urlopen(f"{url}/readyz", timeout=10) as reply:
            assert json.load(reply) == {"status": "ready", "failing": []}
        assert running.stop() == 0
    assert not list(tmp_path.rglob("*.db")), "nothing is kept beside PostgreSQL"


def test_an_unavailable_store_is_one_line_without_its_address(tmp_path: Path) -> None:
    address = "postgresql://someone:hunter2@127.0.0.1:9/secret"
    for command in ("serve", "migrate"):
        done = vaultgraph(command, "--data-dir", tmp_path, **PRODUCTION, VAULTGRAPH_STORE__URL=address)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "store.url" in done.stderr
        assert not [word for word in ("someone", "hunter2", "127.0.0.1", "secret") if word in done.stderr]


@pytest.mark.parametrize("url", ["nonsense", "postgresql+nothing://x", "mysql://x/y"])
def test_an_invalid_store_url_is_one_line(url: str, tmp_path: Path) -> None:
    done = vaultgraph("migrate", "--data-dir", tmp_path, **PRODUCTION, VAULTGRAPH_STORE__URL=url)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "store.url" in done.stderr


def test_migrate_makes_the_embedded_store(tmp_path: Path) -> None:
    done = vaultgraph("migrate", "--data-dir", tmp_path / "data")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert (tmp_path / "data" / "vaultgraph.db").is_file()


def test_a_running_process_stays_ready_while_its_successor_migrates(environ: dict[str, str], tmp_path: Path) -> None:
    assert vaultgraph("migrate", **environ).returncode == 0
    with Running("serve", "--data-dir", tmp_path / "data", **environ) as running:
        url = running.until(r"^Gateway +(http://\S+)/graphql")[1]
        with psycopg.connect(environ["VAULTGRAPH_STORE__URL"]) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0999'")
        with urlopen(f"{url}/readyz", timeout=10) as reply:
            assert json.load(reply) == {"status": "ready", "failing": []}
        with Running("serve", "--data-dir", tmp_path / "again", **environ) as restarted:
            restarted.until(r"^Gateway ")
        with psycopg.connect(environ["VAULTGRAPH_STORE__URL"]) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9001'")
        for command in ("serve", "migrate"):
            done = vaultgraph(command, "--data-dir", tmp_path / "other", **environ)
            assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
            assert "the store's schema is 9001, this version needs" in done.stderr
        back = vaultgraph("migrate", "--to", "0007", **environ)
        assert (back.returncode, "can only go back from" in back.stderr) == (1, True)
        assert running.stop() == 0


def test_an_older_schema_is_refused_until_it_is_migrated(environ: dict[str, str], tmp_path: Path) -> None:
    assert vaultgraph("migrate", **environ).returncode == 0
    back = vaultgraph("migrate", "--to", "0007", **environ)
    assert (back.returncode, back.stdout) == (0, "the store has the schema 0007\n")
    done = vaultgraph("serve", "--data-dir", tmp_path, **environ)
    assert done.returncode == 1
    assert "the store's schema is 0007" in done.stderr
    assert done.stderr.endswith(": run `vaultgraph migrate`\n")
    assert vaultgraph("migrate", "--to", "7", **environ).returncode == 2
    assert vaultgraph("migrate", **environ).stdout == "the store is up to date\n"


def test_serve_upgrades_the_embedded_store_and_refuses_a_newer_one(tmp_path: Path) -> None:
    for change in (("migrate",), ("migrate", "--to", "0006")):
        assert vaultgraph(*change, "--data-dir", tmp_path).returncode == 0
    with Running("serve", "--data-dir", tmp_path, **PRODUCTION) as running:
        running.until(r"^Gateway ")
        assert running.stop() == 0
    with sqlite3.connect(tmp_path / "vaultgraph.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9001'")
    for command in (("serve",), ("operations", "list"), ("partner", "list")):
        done = vaultgraph(*command, "--data-dir", tmp_path, **PRODUCTION)
        assert (done.returncode, "the store's schema is 9001" in done.stderr) == (1, True), done.stderr


def test_a_backup_is_private_complete_and_never_overwrites(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy.db"
    assert vaultgraph("backup", copy, "--data-dir", data).returncode == 1
    assert not copy.exists(), "there was no store"
    assert vaultgraph("migrate", "--data-dir", data).returncode == 0
    assert vaultgraph("backup", copy, "--data-dir", data).returncode == 0
    kept = copy.read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    again = vaultgraph("backup", copy, "--data-dir", data)
    assert (again.returncode, "exists" in again.stderr, copy.read_bytes()) == (1, True, kept)
    nowhere = vaultgraph("backup", tmp_path / "none" / "copy.db", "--data-dir", data)
    assert (nowhere.returncode, "cannot be written" in nowhere.stderr) == (1, True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.db", "data"]


def test_a_backup_of_postgresql_is_pg_dumps(environ: dict[str, str], tmp_path: Path) -> None:
    done = vaultgraph("backup", tmp_path / "copy.db", **environ)
    assert (done.returncode, "use pg_dump" in done.stderr) == (1, True)
