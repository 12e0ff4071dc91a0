"""`vaultgraph migrate`, and a store that `serve` cannot use."""

import itertools
import json
import os
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
