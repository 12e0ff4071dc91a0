"""One text for both databases, and rows as records."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, NamedTuple

import pytest

from app.store import Connection, Store, Transaction
from app.store.errors import ConstraintViolated, StatementFailed
from app.store.statements import Json, Query, Statement, record_maker, to_json


class Colour(StrEnum):
    RED = "RED"


@dataclass(frozen=True)
class Place:
    street: str
    number: int | None


@dataclass(frozen=True, kw_only=True)
class Thing:
    name: str
    colour: Colour | None
    is_new: bool
    made_at: datetime | None
    labels: dict[str, Any] = field(default_factory=dict)


class Pair(NamedTuple):
    name: str
    place: Place | None


def test_parameters_lists_and_row_locks_are_translated() -> None:
    text = "SELECT a FROM {table} WHERE b = :b AND c IN :c AND d NOT IN :d AND e LIKE '%:' FOR UPDATE SKIP LOCKED"
    statement = Statement(text, table="t")
    assert statement.sqlite == (
        "SELECT a FROM t WHERE b = :b AND c IN (SELECT value FROM json_each(:c))"
        " AND d NOT IN (SELECT value FROM json_each(:d)) AND e LIKE '%:'"
    )
    assert statement.postgresql == (
        "SELECT a FROM t WHERE b = %(b)s AND c = ANY(%(c)s) AND d <> ALL(%(d)s) AND e LIKE '%%:' FOR UPDATE SKIP LOCKED"
    )


def test_columns_follow_the_record() -> None:
    assert Query(Thing, "SELECT {columns} FROM t").sqlite == "SELECT name, colour, is_new, made_at, labels FROM t"
    assert Query(Pair, "SELECT x.name, {place} FROM x").sqlite == "SELECT x.name, place.street, place.number FROM x"
    assert Query(Pair, "SELECT {columns} FROM x").sqlite == "SELECT name, street, number FROM x"


def test_nested_records_are_none_if_their_first_column_is() -> None:
    query = Query(Pair, "SELECT {columns} FROM x")
    assert query.to_record(("a", "High Street", None)) == Pair("a", Place("High Street", None))
    assert query.to_record(("a", None, 7)) == Pair("a", None)


def test_a_row_of_another_width_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        Query(Thing, "SELECT {columns} FROM t").to_record(("a", None))


ROUND_TRIP = Query(
    Thing,
    "INSERT INTO things (name, colour, is_new, made_at, labels) VALUES (:name, :colour, :is_new, :made_at, :labels)"
    " RETURNING {columns}",
)
NAMES = Query(str, "SELECT name FROM things WHERE name IN :names AND name NOT IN :others ORDER BY name")


def create(tx: Transaction) -> None:
    tx.execute(
        Statement(
            "CREATE TABLE things (name VARCHAR(10) PRIMARY KEY, colour TEXT, is_new BOOLEAN, made_at {instant},"
            " labels {json})",
            instant="TIMESTAMPTZ",
            json="JSONB",
        )
    )


async def test_values_return_as_they_were_stored(store: Store) -> None:
    await store.transaction(create)
    made_at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=2)))
    values: dict[str, Any] = {"name": "ä'%:b", "colour": Colour.RED, "is_new": True, "made_at": made_at}
    stored = await store.transaction(lambda tx: tx.one(ROUND_TRIP, **values, labels={"é": [1, None]}))
    assert stored == Thing(**values, labels={"é": [1, None]})
    assert stored.made_at is not None
    assert stored.made_at.tzinfo is UTC
    empty = {"name": "b", "colour": None, "is_new": False, "made_at": None, "labels": None}
    assert await store.transaction(lambda tx: tx.one(ROUND_TRIP, **empty)) == Thing(**empty | {"labels": {}})
    listed = await store.transaction(lambda tx: tx.one(ROUND_TRIP, **empty | {"name": "c", "labels": Json([1])}))
    assert listed is not None
    assert listed.labels == [1]

    def names(db: Connection, names: list[str], others: list[str]) -> list[str]:
        return db.all(NAMES, names=names, others=others)

    assert await store.read(names, ["b", "c", "x"], ["c"]) == ["b"]
    assert await store.read(names, ["b", "c"], []) == ["b", "c"]
    assert await store.read(names, [], []) == []


async def test_a_naive_datetime_is_refused(store: Store) -> None:
    await store.transaction(create)
    values = {"name": "a", "colour": None, "is_new": False, "labels": None, "made_at": datetime(2026, 1, 1)}
    with pytest.raises(ValueError, match="time zone"):
        await store.transaction(lambda tx: tx.one(ROUND_TRIP, **values))


async def test_errors_hold_no_values(store: Store) -> None:
    await store.transaction(create)
    values: dict[str, Any] = {"name": "secret", "colour": None, "is_new": False, "made_at": None, "labels": None}
    await store.transaction(lambda tx: tx.one(ROUND_TRIP, **values))
    with pytest.raises(ConstraintViolated) as raised:
        await store.transaction(lambda tx: tx.one(ROUND_TRIP, **values))
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
    with pytest.raises(StatementFailed, match="nowhere"):
        await store.read(lambda db: db.all(Query(str, "SELECT name FROM nowhere")))


async def test_a_savepoint_undoes_its_block_alone(store: Store) -> None:
    values: dict[str, Any] = {"colour": None, "is_new": False, "made_at": None, "labels": None}

    def insert(tx: Transaction) -> list[str]:
        create(tx)
        tx.one(ROUND_TRIP, name="kept", **values)
        for name in ("kept", "other"):
            try:
                with tx.savepoint():
                    tx.one(ROUND_TRIP, name=name, **values)
            except ConstraintViolated:
                continue
        return tx.all(Query(str, "SELECT name FROM things ORDER BY name"))

    assert await store.transaction(insert) == ["kept", "other"]


async def test_a_statement_that_fails_unread_fails_the_transaction(store: Store) -> None:
    """PostgreSQL runs it together with the next ones, or with the commit."""
    await store.transaction(create)
    insert = Statement("INSERT INTO things (name, is_new) VALUES (:name, FALSE)")

    def twice(tx: Transaction, *, is_last: bool) -> None:
        tx.execute(insert, name="one")
        tx.execute(insert, name="one")
        if not is_last:
            tx.all(NAMES, names=["one"], others=[])

    for is_last in (True, False):
        with pytest.raises(ConstraintViolated):
            await store.transaction(twice, is_last=is_last)
        assert await store.read(Connection.all, NAMES, names=["one"], others=[]) == []
    await store.transaction(Transaction.execute_many, insert, [{"name": name} for name in ("one", "two")])
    assert await store.read(Connection.all, NAMES, names=["one", "two"], others=[]) == ["one", "two"]
    removed = Statement("DELETE FROM things WHERE name IN :names")
    assert await store.transaction(Transaction.count, removed, names=["one", "two", "three"]) == 2


@pytest.mark.parametrize("value", [{"code": "bad \ud800 text"}, {"amount": 2**70}, {"name": "Zoë", "list": [1, None]}])
def test_json_of_a_column_returns_as_it_was(value: dict[str, Any]) -> None:
    """Vaults send lone surrogates and integers beyond 64 bits."""
    found = record_maker(_Kept)((to_json(value),))
    assert found.value == value


@dataclass(frozen=True)
class _Kept:
    value: dict[str, Any]
