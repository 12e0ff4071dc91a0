"""A connection as the store's functions see it, and a write transaction.

Their methods block: they are called by functions that run on the connection's own thread from begin to commit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from app.store.statements import Query, Row, Statement

T = TypeVar("T")
Clock = Callable[[], datetime]
Values = dict[str, Any]

_SAVE: Final = Statement("SAVEPOINT step")
_UNDO: Final = Statement("ROLLBACK TO SAVEPOINT step")
_KEEP: Final = Statement("RELEASE SAVEPOINT step")


def adapted(values: Values, adapters: Mapping[type, Callable[[Any], Any]]) -> Values:
    """The same dictionary, with values as a database driver takes them."""
    for name, value in values.items():
        if value.__class__ in adapters:
            values[name] = adapters[value.__class__](value)
    return values


class Driver(Protocol):
    """One connection of a database driver, used by one thread at a time."""

    def begin(self) -> None:
        """Begin a write transaction. With SQLite it takes the write lock, so it cannot fail on a stale snapshot."""

    def commit(self) -> None: ...

    def rollback(self) -> None:
        """End the transaction, if there is one. Never raises."""

    def rows(self, statement: Statement, values: Values) -> Sequence[Row]: ...

    def count(self, statement: Statement, values: Values) -> int:
        """The number of rows changed."""

    def run(self, statement: Statement, values: Values) -> None:
        """Run without reading a result back; PostgreSQL may send it together with the next statement."""

    def undo(self, statement: Statement) -> None:
        """Run a ROLLBACK TO SAVEPOINT."""

    def run_many(self, statement: Statement, rows: Sequence[Values]) -> None: ...

    def is_usable(self) -> bool:
        """False if the connection is known to be lost. Makes no round trip."""

    def abort(self) -> None:
        """From another thread: make the statement that runs now fail."""

    def close(self) -> None: ...


class Connection:
    """Reads. Outside of a transaction each statement sees what is committed."""

    def __init__(self, driver: Driver, tenant: str, clock: Clock) -> None:
        self.tenant: Final = tenant
        self.now: Final = clock
        self._driver: Final = driver

    def all(self, query: Query[T], **values: Any) -> list[T]:
        values["tenant"] = self.tenant
        return [query.to_record(row) for row in self._driver.rows(query, values)]

    def one(self, query: Query[T], **values: Any) -> T | None:
        """The first row; None if there is none."""
        values["tenant"] = self.tenant
        rows = self._driver.rows(query, values)
        return query.to_record(rows[0]) if rows else None


class WriteConnection(Connection):
    """Writes of a transaction."""

    def execute(self, statement: Statement, **values: Any) -> None:
        values["tenant"] = self.tenant
        self._driver.run(statement, values)

    def execute_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run the statement once for each row."""
        if rows:
            self._driver.run_many(statement, [{**row, "tenant": self.tenant} for row in rows])

    def count(self, statement: Statement, **values: Any) -> int:
        """Run the statement; returns the number of rows that it changed."""
        values["tenant"] = self.tenant
        return self._driver.count(statement, values)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the block alone if it raises; the transaction stays usable."""
        self.execute(_SAVE)
        try:
            yield
        except BaseException:
            self._driver.undo(_UNDO)
            raise
        self.execute(_KEEP)
