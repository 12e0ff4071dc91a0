"""Tells an unreachable store from a bug, and logs each change between the two once."""

import logging
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.store.errors import StoreUnavailable

_log = logging.getLogger("vaultgraph.store")

# SQLSTATE classes and codes (PostgreSQL, appendix A) of a server that cannot serve us now: connection, authorization,
# no such database, insufficient resources, operator intervention, system error, a standby that takes no writes.
_SQLSTATE_CLASSES: Final = frozenset({"08", "28", "3D", "53", "57", "58"})
_READ_ONLY: Final = "25006"
_SQLITE_ERROR: Final = 1  # a mistake in the statement; the other codes of SQLite's OperationalError are about the file
_SETTLED_S: Final = 1.0


class Availability:
    """One store's state. Reads and writes fail apart (a full disk still reads): the store is up when neither fails.

    A success counts only a second after the last failure, so that a store that fails now and then is one line. A store
    that was never up has no change to tell: whoever opens it says why that failed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failing: set[str] = set()
        self.is_settled = False  # was up once, and nothing fails
        self._failed_at = 0.0
        self.reads = Access(self, "reads")
        self.writes = Access(self, "writes")

    @property
    def is_up(self) -> bool:
        return not self._failing

    def failed(self, kind: str, cause: str) -> None:
        self._failed_at = self._clock()
        was_settled, self.is_settled = self.is_settled, False
        if was_settled:
            _log.error("the store cannot be used (%s): requests that need it are refused until it can", cause)
        self._failing.add(kind)

    def worked(self, kind: str) -> None:
        if self._failing and (kind not in self._failing or self._clock() - self._failed_at < _SETTLED_S):
            return
        was_failing = bool(self._failing)
        self._failing.discard(kind)
        self.is_settled = not self._failing
        if was_failing and self.is_settled:
            _log.warning("the store can be used again")


class Access:
    """One kind of use of the store."""

    __slots__ = ("_availability", "_kind")

    def __init__(self, availability: Availability, kind: str) -> None:
        self._availability = availability
        self._kind = kind

    def failed(self, error: Exception) -> None:
        """Raises StoreUnavailable in place of an error that means it; returns for every other error."""
        if isinstance(error, StoreUnavailable):
            return
        cause = outage(error)
        if cause is not None:
            self._availability.failed(self._kind, cause)
            raise StoreUnavailable(cause) from None

    def worked(self) -> None:
        if not self._availability.is_settled:
            self._availability.worked(self._kind)


def outage(error: BaseException) -> str | None:
    """The name of the driver's error where it means that the store cannot be reached or used; None for a bug."""
    if isinstance(error, DBAPIError):
        origin: BaseException = error.orig or error
        if not (error.connection_invalidated or _is_outage(origin)):
            return None
        return type(origin.__cause__ or origin).__name__
    # Raw errors of the driver and of sockets reach us from connecting only: SQLAlchemy wraps those of statements.
    is_driver = type(error).__module__.partition(".")[0] in ("asyncpg", "sqlite3")
    return type(error).__name__ if is_driver or isinstance(error, OSError | PoolTimeout) else None


def _is_outage(origin: BaseException) -> bool:
    state = getattr(origin, "sqlstate", None)
    if isinstance(state, str):
        return state[:2] in _SQLSTATE_CLASSES or state == _READ_ONLY
    code = getattr(origin, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF != _SQLITE_ERROR and not _is_constraint(code)


def _is_constraint(code: int) -> bool:
    return code & 0xFF in (19, 20)  # SQLITE_CONSTRAINT, SQLITE_MISMATCH: about the values of a statement
