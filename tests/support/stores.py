"""Stores for tests, each over a new migrated database: a SQLite file, or one in a real PostgreSQL."""

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection

from app.store import Store, make_engine, migrate
from app.store.migrating import sqlalchemy_engine
from app.store.statements import Query
from tests.support.postgres import Postgres, running_postgres
from tests.support.shared import ask

_TEMPLATE = "vaultgraph_template"
_NUMBERS = itertools.count(1)
_CUSTOMER_IDS = Query(str, "SELECT id FROM customers WHERE tenant = :tenant AND erased_at IS NULL")
POSTGRES_ADDRESS = pytest.StashKey[str]()
"""The address where `postgres_server` requests the server."""


class HandClock:
    """Time that advances only on request."""

    def __init__(self) -> None:
        self.instant = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.instant

    def advance(self, **by: float) -> datetime:
        self.instant += timedelta(**by)
        return self.instant


@contextmanager
def postgres_with_template() -> Iterator[Postgres]:
    """A server with one migrated database, the template of each test's database."""
    with running_postgres() as server:
        _command(server, f"CREATE DATABASE {_TEMPLATE}")
        asyncio.run(_migrated(server.url(_TEMPLATE)))
        yield server


@pytest.fixture
def postgres_server(pytestconfig: pytest.Config) -> Postgres:
    """The session's server, started by the first test that needs it."""
    server: Postgres = ask(pytestconfig.stash[POSTGRES_ADDRESS])
    return server


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("store") / "template.db"
    asyncio.run(_migrated(f"sqlite:///{file}"))
    return file


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    file = tmp_path / "vaultgraph.db"
    shutil.copy(_sqlite_template, file)
    return f"sqlite:///{file}"


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_NUMBERS)}"
    _command(postgres_server, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    yield postgres_server.url(name)
    _command(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A new migrated database: every test that uses it runs once on each backend."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def store(store_url: str, clock: HandClock) -> AsyncIterator[Store]:
    opened = Store.open(store_url, clock=clock)
    yield opened
    await opened.close()


@contextmanager
def sql(url: str) -> Iterator[Connection]:
    """A connection of SQLAlchemy to the store's database, in a transaction that is committed."""
    with sqlalchemy_engine(make_engine(url)).begin() as connection:
        yield connection


async def customer_ids(store: Store) -> list[str]:
    """The ids of all customers that are not erased."""
    return await store.read(lambda db: db.all(_CUSTOMER_IDS))


def _command(server: Postgres, statement: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(statement)


async def _migrated(url: str) -> None:
    await migrate(make_engine(url))
