"""Distinguishes store outages from bugs, and logs each change of availability once."""

import logging
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.store.errors import StoreUnavailable

_log = logging.getLogger("vaultgraph.store")

# SQLSTATE classes and codes (PostgreSQL, appendix A) of an unavailable server: connection, authorization, no such
# database, insufficient resources, operator intervention, system error, read-only standby.
_SQLSTATE_CLASSES: Final = frozenset({"08", "28", "3D", "53", "57", "58"})
_READ_ONLY: Final = "25006"
_SQLITE_ERROR: Final = 1  # error in the statement; other codes of SQLite's OperationalError concern the file
_SETTLED_S: Final = 1.0


class Availability:
    """Availability of one store. Reads and writes are tracked separately (a full disk can still be read).

    A success counts only one second after the last failure, so an unstable store does not flood the log. Nothing is
    logged before the store was available once; opening it reports the error.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failing: set[str] = set()
        self.is_settled = False  # available once, and no current failure
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
            _log.error("the store is unavailable (%s); requests that need it fail until it recovers", cause)
        self._failing.add(kind)

    def worked(self, kind: str) -> None:
        if self._failing and (kind not in self._failing or self._clock() - self._failed_at < _SETTLED_S):
            return
        was_failing = bool(self._failing)
        self._failing.discard(kind)
        self.is_settled = not self._failing
        if was_failing and self.is_settled:
            _log.warning("the store is available again")


class Access:
    """Reports successes and failures of reads or of writes."""

    __slots__ = ("_availability", "_kind")

    def __init__(self, availability: Availability, kind: str) -> None:
        self._availability = availability
        self._kind = kind

    def failed(self, error: Exception) -> None:
        """Raise StoreUnavailable if `error` is an outage; return for any other error."""
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
    """The driver's error name if `error` means that the store is unavailable; None for a bug."""
    if isinstance(error, DBAPIError):
        origin: BaseException = error.orig or error
        if not (error.connection_invalidated or _is_outage(origin)):
            return None
        return type(origin.__cause__ or origin).__name__
    # Unwrapped driver and socket errors come from connecting only: SQLAlchemy wraps those of statements.
    is_driver = type(error).__module__.partition(".")[0] in ("asyncpg", "sqlite3")
    return type(error).__name__ if is_driver or isinstance(error, OSError | PoolTimeout) else None


def _is_outage(origin: BaseException) -> bool:
    state = getattr(origin, "sqlstate", None)
    if isinstance(state, str):
        return state[:2] in _SQLSTATE_CLASSES or state == _READ_ONLY
    code = getattr(origin, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF != _SQLITE_ERROR and not _is_constraint(code)


def _is_constraint(code: int) -> bool:
    return code & 0xFF in (19, 20)  # SQLITE_CONSTRAINT, SQLITE_MISMATCH
