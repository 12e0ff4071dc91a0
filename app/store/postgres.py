"""PostgreSQL through psycopg. Imported only if the store is a PostgreSQL."""

import os
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import Any, Final, TypeVar

import psycopg
from psycopg.types.json import Jsonb

from app.errors import SettingsError
from app.store.connection import Values, adapted
from app.store.errors import ConstraintViolated, StatementFailed, StoreUnavailable
from app.store.statements import Json, Row, Statement

T = TypeVar("T")

CONNECT_WITHIN_S: Final = 10
LOCK_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 15
# SQLSTATE classes and codes (PostgreSQL, appendix A) of an unavailable server: connection, authorization, no such
# database, insufficient resources, a lock that was not had in time, operator intervention (also a statement that took
# too long), system error, a deadlock; and a read-only standby, a transaction that was idle or took too long.
_OUTAGES: Final = frozenset({"08", "28", "3D", "40", "53", "55", "57", "58"})
_OTHER_OUTAGES: Final = frozenset({"25006", "25P03", "25P04"})
_CONSTRAINT: Final = "23"
_DATA: Final = "22"
_PREPARED_STATEMENTS: Final = 400  # kept per connection; the store has about 130, some with two sets of types
_BEGIN: Final = Statement("BEGIN")
_COMMIT: Final = Statement("COMMIT")
_SET_UP: Final = (
    "SELECT pg_backend_pid(), set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),"
    " set_config('idle_in_transaction_session_timeout', %s, false)"
)
_POOLER: Final = (
    "store.url leads to a connection pooler, for example pgbouncer: the store needs sessions of its own for advisory"
    " locks and prepared statements; give it the server's own address"
)


class PostgresDriver:
    """A session. Statements are prepared by the server when they are first used.

    A transaction is a pipeline: what is only run is sent together with the next statement whose rows are read, BEGIN
    with the first one, COMMIT with the last ones. Its errors appear there.
    """

    def __init__(self, address: str) -> None:
        self._raw = _connected(address)
        self._stack = ExitStack()
        self._pipeline: psycopg.Pipeline | None = None
        self._poll = select.poll()
        self._poll.register(self._raw.fileno(), select.POLLIN)

    def begin(self) -> None:
        try:
            self._pipeline = self._stack.enter_context(self._raw.pipeline())
        except psycopg.Error as error:
            raise _own_error(error) from None
        self.run(_BEGIN, {})

    def commit(self) -> None:
        try:
            cursor = self._sent(_COMMIT, {})
            self._pipeline = None
            self._stack.close()  # waits for all that was sent; raises the first error
        except psycopg.Error as error:
            raise _own_error(error) from None
        if cursor.statusmessage != "COMMIT":  # PostgreSQL rolls a failed transaction back, which is no error
            raise StatementFailed("RolledBack", "a failed statement was ignored")

    def rollback(self) -> None:
        self._pipeline = None
        try:
            with suppress(psycopg.Error):
                self._stack.close()
            self._raw.rollback()
        except psycopg.Error:
            self._raw.close()

    def rows(self, statement: Statement, values: Values) -> Sequence[Row]:
        try:
            return self._sent(statement, values).fetchall()
        except psycopg.Error as error:
            raise self._failed(error) from None

    def count(self, statement: Statement, values: Values) -> int:
        try:
            cursor = self._sent(statement, values)
            if self._pipeline is not None:
                self._pipeline.sync()
            return cursor.rowcount
        except psycopg.Error as error:
            raise self._failed(error) from None

    def run(self, statement: Statement, values: Values) -> None:
        try:
            self._sent(statement, values)
        except psycopg.Error as error:
            raise self._failed(error) from None

    def undo(self, statement: Statement) -> None:
        self.count(statement, {})
        # After a rollback psycopg deallocates all prepared statements, in a pipeline behind the next statement: let
        # that be one that is not prepared.
        self._raw.execute("SELECT 1", prepare=False)

    def run_many(self, statement: Statement, rows: Sequence[Values]) -> None:
        for row in rows:
            self.run(statement, row)

    def _sent(self, statement: Statement, values: Values) -> psycopg.Cursor[Row]:
        return self._raw.execute(statement.postgresql, adapted(values, _ADAPTERS))

    def _failed(self, error: psycopg.Error) -> Exception:
        if self._pipeline is not None:
            with suppress(psycopg.Error):
                self._pipeline.sync()  # the statements after this one were not run; later ones are
        return _own_error(error)

    def is_usable(self) -> bool:
        # An idle session has something to read only if the server has ended it.
        return not self._raw.closed and not self._poll.poll(0)

    def abort(self) -> None:
        """Statement timeouts are the server's; this also ends the wait for a server that does not answer at all."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._raw.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._raw.close()


def connect(address: str, *, statement_timeout_s: int = STATEMENT_TIMEOUT_S) -> psycopg.Connection[tuple[Any, ...]]:
    """A session with timeouts that begins no transaction by itself. Raises SettingsError for a connection pooler."""
    raw = psycopg.connect(
        address,
        autocommit=True,
        connect_timeout=CONNECT_WITHIN_S,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        application_name="vaultgraph",
    )
    try:
        raw.prepare_threshold = 0
        raw.prepared_max = _PREPARED_STATEMENTS
        timeouts = [f"{seconds}s" for seconds in (statement_timeout_s, LOCK_TIMEOUT_S, statement_timeout_s * 2)]
        found = raw.execute(_SET_UP, timeouts, prepare=False).fetchone()
        if found is None or found[0] != raw.info.backend_pid:
            raise SettingsError(_POOLER)
    except BaseException:
        raw.close()
        raise
    return raw


def _connected(address: str) -> psycopg.Connection[tuple[Any, ...]]:
    try:
        return connect(address)
    except psycopg.Error as error:
        raise _own_error(error) from None
    except OSError as error:
        raise StoreUnavailable(type(error).__name__) from None


def _checked(instant: datetime) -> datetime:
    """Raises ValueError for a naive one, which is ambiguous."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return instant


_ADAPTERS: Final[dict[type, Callable[[Any], Any]]] = {
    datetime: _checked,
    dict: Jsonb,
    Json: lambda json: Jsonb(json.value),
}


def _own_error(error: psycopg.Error) -> Exception:
    cause, state = type(error).__name__, error.sqlstate
    if state is None:  # not from the server: the session is lost, or the call is wrong
        return StoreUnavailable(cause) if isinstance(error, psycopg.OperationalError) else StatementFailed(cause)
    if state[:2] in _OUTAGES or state in _OTHER_OUTAGES:
        return StoreUnavailable(cause)
    if state[:2] == _CONSTRAINT:
        return ConstraintViolated(cause)
    # The server's message may quote a value that it cannot read.
    return StatementFailed(cause, "" if state[:2] == _DATA else error.diag.message_primary or "")
