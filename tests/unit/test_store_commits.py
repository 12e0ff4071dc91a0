"""How a transaction ends: at its commit, or when a statement of it has failed."""

import asyncio
import contextlib
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.store import Store, Transaction
from app.store.connection import Driver
from app.store.directory import create_customer
from app.store.errors import ConstraintViolated, StatementFailed, StoreUnavailable
from app.store.records import ChangeNotice
from app.store.statements import Statement
from tests.support.postgres import Postgres
from tests.support.stores import customer_ids

_TAKEN = Statement("INSERT INTO heads (tenant, version, pruned_to) VALUES (:tenant, 0, 0)")


async def test_a_failed_statement_that_is_ignored_is_no_commit(postgres_url: str) -> None:
    """PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, which is no error."""
    store = Store.open(postgres_url)

    def ignore(tx: Transaction) -> str:
        tx.count(_TAKEN)
        with contextlib.suppress(ConstraintViolated):
            tx.count(_TAKEN)
        return "done"

    with pytest.raises(StatementFailed, match="ignored"):
        await store.transaction(ignore)
    assert await store.transaction(lambda tx: tx.count(_TAKEN)) == 1
    await store.close()


class _LosesAnswers:
    """A TCP proxy to the server that passes the next COMMIT on, and then loses the answer with the connection."""

    def __init__(self, server: Postgres) -> None:
        self.is_armed = False
        self._address = f"{server.directory}/.s.PGSQL.5432"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._address)
                lost = threading.Event()
                for source, target, is_client in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(source, target, lost, is_client), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, lost: threading.Event, is_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_client and self.is_armed and b"COMMIT" in data:
                    self.is_armed = False
                    lost.set()
                if is_client or not lost.is_set():
                    target.sendall(data)
                    continue
                target.shutdown(socket.SHUT_RDWR)
                return
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(postgres_server: Postgres) -> Iterator[_LosesAnswers]:
    made = _LosesAnswers(postgres_server)
    yield made
    made.close()


async def test_a_commit_whose_answer_is_lost_is_an_outage_and_may_have_happened(
    proxy: _LosesAnswers, postgres_url: str
) -> None:
    database = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    store = Store.open(f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}")
    heard: list[ChangeNotice] = []
    store.on_change(heard.extend)
    proxy.is_armed = True
    with pytest.raises(StoreUnavailable):
        await store.directory.create(external_id="first")
    assert not proxy.is_armed
    assert heard == []  # not known to be committed: the change log tells it, which is read again
    assert await store.directory.customer_by_external_id("first") is not None
    assert await store.directory.create(external_id="second")
    await store.close()


async def test_a_transaction_that_cannot_be_rolled_back_loses_its_connection(sqlite_url: str) -> None:
    """For example when the disk fails: the next transaction must not run inside of it."""
    store = Store.open(sqlite_url)

    def stay_open(tx: Transaction) -> None:
        create_customer(tx, external_id="half")
        driver: Driver = tx._driver
        driver.rollback = lambda: None  # type: ignore[method-assign]
        raise KeyError

    with pytest.raises(KeyError):
        await store.transaction(stay_open)
    assert await store.directory.create(external_id="whole")
    assert await store.directory.customer_by_external_id("half") is None
    await store.close()


async def test_a_deadlock_can_be_tried_again(postgres_url: str) -> None:
    """The server ends one of the two transactions."""
    store = Store.open(postgres_url)
    lock = Statement("SELECT pg_advisory_xact_lock(:key)")
    both = threading.Barrier(2)

    def take(tx: Transaction, first: int, second: int) -> None:
        tx.count(lock, key=first)
        both.wait(20)
        tx.count(lock, key=second)

    found = await asyncio.gather(store.transaction(take, 1, 2), store.transaction(take, 2, 1), return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["NoneType", "StoreUnavailable"]
    await store.close()


async def test_a_full_disk_leaves_nothing_and_a_usable_connection(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    pages = Statement("PRAGMA max_page_count = 1")  # cannot shrink the file: no page can be added
    more = Statement("PRAGMA max_page_count = 1000000")

    def fill(tx: Transaction) -> None:
        tx.execute(pages)
        for number in range(200):
            create_customer(tx, external_id=f"{number}", first_name="x" * 2000)

    with pytest.raises(StoreUnavailable):
        await store.transaction(fill)
    assert await customer_ids(store) == []
    await store.transaction(lambda tx: tx.execute(more))
    assert await store.directory.create(external_id="one")
    await store.close()


async def test_a_file_that_others_lock_is_an_outage(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.sqlite.BUSY_TIMEOUT_S", 0)
    store = Store.open(sqlite_url)
    other = sqlite3.connect(Path(sqlite_url.removeprefix("sqlite:///")), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        await store.directory.create(external_id="one")
    other.execute("ROLLBACK")
    other.close()
    assert await store.directory.create(external_id="one")
    await store.close()
