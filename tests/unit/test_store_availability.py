"""Which errors are store outages, and how often they are logged."""

import logging
from pathlib import Path

import pytest

from app.store import Store, Transaction
from app.store.availability import Availability
from app.store.errors import StatementFailed, StoreUnavailable
from app.store.statements import Statement

SQLITE = "sqlite:///"


@pytest.mark.parametrize("kind", ["no database", "folder"])
async def test_an_unusable_file_is_an_outage(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "vaultgraph.db"
    if kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"this is no database" * 400)
    store = Store.open(f"{SQLITE}{file}")
    with pytest.raises(StoreUnavailable, match=r"DatabaseError|OperationalError"):
        await store.directory.entry("cus_1")
    with pytest.raises(StoreUnavailable):
        await store.directory.create(external_id="one")
    await store.close()


async def test_statement_errors_are_bugs_and_not_outages(store: Store) -> None:
    for wrong in ("SELECT * FROM no_such_table", "SELEKT 1"):
        with pytest.raises(StatementFailed, match=r"no_such_table|SELEKT"):
            await store.transaction(Transaction.execute, Statement(wrong))


def test_each_change_of_availability_is_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    store = Availability(lambda: now)
    with caplog.at_level(logging.INFO, "vaultgraph.store"):
        store.reads.failed("ConnectionTimeout")  # never available: the opener reports the error
        now += 2
        store.reads.worked()
        caplog.clear()
        for access in (store.reads, store.writes, store.reads):
            access.failed("OperationalError")
        store.reads.worked()  # a success within a second of a failure is ignored
        assert not store.is_up
        now += 2
        store.reads.worked()
        assert not store.is_up  # a full disk can still be read
        store.writes.worked()
        assert store.is_up
        store.writes.worked()
    assert [record.getMessage() for record in caplog.records] == [
        "the store is unavailable (OperationalError); requests that need it fail until it recovers",
        "the store is available again",
    ]
