"""Which errors are store outages, and how often they are logged."""

import logging
from pathlib import Path

import pytest
from sqlalchemy import text

from app.store import Store
from app.store.availability import Availability
from app.store.errors import StoreUnavailable

SQLITE = "sqlite+aiosqlite:///"


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
        with pytest.raises(Exception, match=r"no_such_table|SELEKT") as raised:
            async with store.transaction() as tx:
                await tx.conn.execute(text(wrong))
        assert not isinstance(raised.value, StoreUnavailable)


def test_each_change_of_availability_is_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    store = Availability(lambda: now)
    with caplog.at_level(logging.INFO, "vaultgraph.store"):
        with pytest.raises(StoreUnavailable):  # never available: the opener reports the error
            store.reads.failed(ConnectionRefusedError())
        now += 2
        store.reads.worked()
        caplog.clear()
        for access in (store.reads, store.writes, store.reads):
            with pytest.raises(StoreUnavailable):
                access.failed(ConnectionRefusedError("host and user are in here"))
        store.reads.worked()  # a success within a second of a failure is ignored
        assert not store.is_up
        now += 2
        store.reads.worked()
        assert not store.is_up  # a full disk can still be read
        store.writes.worked()
        assert store.is_up
        store.writes.worked()
    assert [record.getMessage() for record in caplog.records] == [
        "the store is unavailable (ConnectionRefusedError); requests that need it fail until it recovers",
        "the store is available again",
    ]
