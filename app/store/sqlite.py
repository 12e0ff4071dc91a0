"""SQLite through the standard library's `sqlite3`."""

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from app.store.connection import Values, adapted
from app.store.errors import ConstraintViolated, StatementFailed, StoreUnavailable
from app.store.statements import Json, Row, Statement, to_json

BUSY_TIMEOUT_S: Final = 30
_WAL_TRIES: Final = 200
_WAL_PAUSE_S: Final = 0.01
_ERROR: Final = 1  # SQLITE_ERROR: in the statement; the other codes of an OperationalError concern the file
_CONSTRAINTS: Final = (19, 20)  # SQLITE_CONSTRAINT, SQLITE_MISMATCH
_CACHED_STATEMENTS: Final = 256  # prepared once per connection; the store has about 130


class SqliteDriver:
    """A connection to a file; it begins no transaction by itself."""

    def __init__(self, file: str) -> None:
        self._raw = _translated(lambda: connect(file))

    def begin(self) -> None:
        self._execute("BEGIN IMMEDIATE", {})

    def commit(self) -> None:
        self._execute("COMMIT", {})

    def rollback(self) -> None:
        with suppress(sqlite3.Error):
            self._raw.rollback()

    def rows(self, statement: Statement, values: Values) -> Sequence[Row]:
        try:
            return self._raw.execute(statement.sqlite, adapted(values, _ADAPTERS)).fetchall()
        except sqlite3.Error as error:
            raise _own_error(error) from None

    def count(self, statement: Statement, values: Values) -> int:
        return self._execute(statement.sqlite, adapted(values, _ADAPTERS)).rowcount

    def run(self, statement: Statement, values: Values) -> None:
        self._execute(statement.sqlite, adapted(values, _ADAPTERS))

    def undo(self, statement: Statement) -> None:
        self._execute(statement.sqlite, {})

    def run_many(self, statement: Statement, rows: Sequence[Values]) -> None:
        try:
            self._raw.executemany(statement.sqlite, [adapted(row, _ADAPTERS) for row in rows])
        except sqlite3.Error as error:
            raise _own_error(error) from None

    def is_usable(self) -> bool:
        return not self._raw.in_transaction  # else its rollback failed

    def abort(self) -> None:
        self._raw.interrupt()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._raw.close()

    def _execute(self, sql: str, values: Values) -> sqlite3.Cursor:
        try:
            return self._raw.execute(sql, values)
        except sqlite3.Error as error:
            raise _own_error(error) from None


def connect(file: str) -> sqlite3.Connection:
    """A connection that begins no transaction by itself. A new file is readable only by its owner, because it holds
    names and e-mail addresses."""
    _create_private(Path(file))
    raw = sqlite3.connect(
        file,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )
    try:
        raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        _use_wal(raw)
        # A journalled write must survive a power failure, not only a process crash; WAL's usual NORMAL could lose it.
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        raw.close()
        raise
    return raw


def _create_private(file: Path) -> None:
    """Create the file if it is missing. An existing one must not be opened: closing it would drop the process's locks.

    Source: SQLite, "How To Corrupt An SQLite Database File", 2.2.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _use_wal(raw: sqlite3.Connection) -> None:
    """Switch to WAL, with retries: while the first connection switches, others fail immediately."""
    for is_last in [*[False] * _WAL_TRIES, True]:
        try:
            raw.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if is_last:
                raise
            time.sleep(_WAL_PAUSE_S)


def _to_text(instant: datetime) -> str:
    """As the tables hold it: in UTC, comparable as text. Raises ValueError for a naive one, which is ambiguous."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


_ADAPTERS: Final[dict[type, Callable[[Any], Any]]] = {
    datetime: _to_text,
    dict: to_json,
    list: to_json,
    Json: lambda json: to_json(json.value),
}


def _translated(connecting: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
    try:
        return connecting()
    except sqlite3.Error as error:
        raise _own_error(error) from None
    except OSError as error:
        raise StoreUnavailable(type(error).__name__) from None


def _own_error(error: sqlite3.Error) -> Exception:
    """The store's error for it. SQLite's messages hold no values."""
    cause, code = type(error).__name__, getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int) or code & 0xFF == _ERROR:
        return StatementFailed(cause, str(error))
    return ConstraintViolated(cause) if code & 0xFF in _CONSTRAINTS else StoreUnavailable(cause)
