"""PostgreSQL sessions: their timeouts, lost and frozen ones, and connection poolers."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from app.errors import SettingsError
from app.store import Connection, Store, make_engine
from app.store.errors import StoreUnavailable
from app.store.statements import Query
from tests.support.node import require_program
from tests.support.postgres import Postgres

PID = Query(int, "SELECT pg_backend_pid()")


class Timeouts(NamedTuple):
    connect: str
    statement: str
    lock: str
    idle: str


TIMEOUTS = Query(
    Timeouts,
    "SELECT current_setting('application_name'), current_setting('statement_timeout'), current_setting('lock_timeout'),"
    " current_setting('idle_in_transaction_session_timeout')",
)


async def test_sessions_have_timeouts(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    assert await store.read(Connection.one, TIMEOUTS) == ("vaultgraph", "15s", "10s", "30s")
    assert await store.transaction(Connection.one, TIMEOUTS) == ("vaultgraph", "15s", "10s", "30s")
    await store.close()


async def test_a_session_that_the_server_ended_is_replaced_unnoticed(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    ended = await store.read(Connection.one, PID)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [ended])
    assert await store.read(Connection.one, PID) not in (None, ended)
    await store.close()


async def test_a_frozen_session_is_an_outage_and_is_replaced(postgres_url: str) -> None:
    """No timeout of the server helps: it does not run."""
    store = Store(replace(make_engine(postgres_url), limit_s=0.3))
    frozen = await store.transaction(Connection.one, PID)
    assert frozen is not None
    os.kill(frozen, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await store.transaction(Connection.one, PID)
        assert await store.transaction(Connection.one, PID) not in (None, frozen)
    finally:
        os.kill(frozen, signal.SIGCONT)
    await store.close()


@contextmanager
def pgbouncer(server: Postgres, folder: Path, mode: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = host={server.directory} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\nauth_file = {folder}/users\npool_mode = {mode}\n"
    )
    who = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["pgbouncer", "-q", "pgbouncer.ini"], cwd=folder, **who) as process:  # type: ignore[call-overload]
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        until = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(url).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < until, "pgbouncer does not answer"
        yield url
        process.terminate()


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_a_connection_pooler_is_refused(mode: str, postgres_server: Postgres, tmp_path: Path) -> None:
    require_program("pgbouncer")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with pgbouncer(postgres_server, tmp_path, mode) as url:
        store = Store.open(url)
        with pytest.raises(SettingsError, match="connection pooler, for example pgbouncer"):
            await store.changes.version()
        await store.close()
