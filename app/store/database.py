"""Runs the store's functions on connections to SQLite or PostgreSQL.

A write transaction is one plain function, ``def save_x(tx: Transaction, ...)``, that runs from begin to commit on its
connection's thread: see `Transaction` for what it may do. `ReadMethod` and `WriteMethod` make methods of
such functions, each with a transaction of its own; a function may call others to do more in one transaction.
"""

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from app.store.availability import Access, Availability
from app.store.connection import Clock, Connection, Driver
from app.store.errors import StoreUnavailable
from app.store.outbox import Transaction
from app.store.records import ChangeNotice
from app.store.threads import ThreadPool
from app.telemetry.tracing import SAMPLED

P = ParamSpec("P")
T = TypeVar("T")
OnChange = Callable[[Sequence[ChangeNotice]], None]

_SQLITE: Final = re.compile(r"sqlite(?:\+\w+)?:///([^?]+)")
_POSTGRESQL: Final = re.compile(r"postgresql(?:\+\w+)?(://.+)")
_SQLITE_READERS: Final = 2
_SESSIONS: Final = 8
_POSTGRESQL_LIMIT_S: Final = 25.0  # above the server's own limit for one statement


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Engine:
    """How to connect: `address` is SQLite's file or libpq's URL. `limit_s` bounds a transaction, with its wait for a
    connection."""

    is_sqlite: bool
    address: str
    readers: int
    writers: int
    limit_s: float | None

    def connect(self) -> Driver:
        """Blocks. Raises StoreUnavailable."""
        if self.is_sqlite:
            from app.store.sqlite import SqliteDriver

            return SqliteDriver(self.address)
        from app.store.postgres import PostgresDriver

        return PostgresDriver(self.address)

    def pool(self, size: int) -> ThreadPool:
        return ThreadPool(self.connect, size, self.limit_s)


def make_engine(url: str) -> Engine:
    """For ``sqlite:///file`` or ``postgresql://...``; a driver named after ``+`` is ignored. Raises ValueError."""
    if (found := _SQLITE.match(url)) is not None:
        # One connection writes. Two read: a long page of events does not delay short reads.
        return Engine(is_sqlite=True, address=found[1], readers=_SQLITE_READERS, writers=1, limit_s=None)
    if (found := _POSTGRESQL.match(url)) is not None:
        address = f"postgresql{found[1]}"
        return Engine(False, address, readers=_SESSIONS, writers=_SESSIONS, limit_s=_POSTGRESQL_LIMIT_S)
    raise ValueError("it must begin with sqlite:/// or postgresql://")


class Database:
    """The connections, the tenant and the clock that all repositories share."""

    def __init__(self, engine: Engine, *, tenant: str = "default", clock: Clock = utc_now) -> None:
        self.engine: Final = engine
        self.tenant: Final = tenant
        self.now: Final = clock
        self.availability: Final = Availability()
        self._readers: Final = engine.pool(engine.readers)
        self._writers: Final = engine.pool(engine.writers)
        self._listeners: list[OnChange] = []
        self._system: Final = "sqlite" if engine.is_sqlite else "postgresql"

    def read(
        self, step: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Run `step` outside of a transaction: each of its statements sees what is committed."""
        running = self.run(
            self._readers,
            self.availability.reads,
            lambda driver: step(Connection(driver, self.tenant, self.now), *args, **kwargs),
        )
        return running if (traced := SAMPLED.get()) is None else traced.in_span(self._system, step, running)

    def write(
        self, step: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Run `step` in a transaction: committed if it returns, rolled back if it raises.

        If the caller is cancelled, a transaction that has begun still runs to its end.
        """
        changes: Sequence[ChangeNotice] = ()

        def work(driver: Driver) -> T:
            nonlocal changes
            tx = Transaction(driver, self.tenant, self.now)
            try:
                driver.begin()
                found = step(tx, *args, **kwargs)
                tx.flush()
                driver.commit()
            except BaseException:
                driver.rollback()
                raise
            changes = tx.changes
            return found

        running = self.run(self._writers, self.availability.writes, work, lambda _: self.notify(changes))
        return running if (traced := SAMPLED.get()) is None else traced.in_span(self._system, step, running)

    def write_statement(
        self, step: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Run `step`, which writes with one statement and publishes nothing: the database makes a transaction of it."""

        def work(driver: Driver) -> T:
            return step(Transaction(driver, self.tenant, self.now), *args, **kwargs)

        running = self.run(self._writers, self.availability.writes, work)
        return running if (traced := SAMPLED.get()) is None else traced.in_span(self._system, step, running)

    @property
    def connections(self) -> Mapping[str, tuple[int, int, int]]:
        """By pool: connections in use and idle, and accesses that wait for one."""
        return {"read": self._readers.usage, "write": self._writers.usage}

    async def run(
        self,
        pool: ThreadPool,
        access: Access,
        work: Callable[[Driver], T],
        then: Callable[[T], None] | None = None,
    ) -> T:
        try:
            found = await pool.run(work, then)
        except StoreUnavailable as error:
            access.failed(error.cause)
            raise
        if not self.availability.is_settled:
            access.worked()
        return found

    def on_change(self, listener: OnChange) -> None:
        """Call `listener` after each commit in this process that has changes; it must not block or raise."""
        self._listeners.append(listener)

    def notify(self, changes: Sequence[ChangeNotice]) -> None:
        if not changes:
            return
        for listener in self._listeners:
            listener(changes)

    async def close(self) -> None:
        await self._readers.close()
        await self._writers.close()


class Repository:
    def __init__(self, database: Database) -> None:
        self._db: Final = database


class ReadMethod(Generic[P, T]):
    """A method that runs a function of a `Connection` for itself."""

    def __init__(self, step: Callable[Concatenate[Connection, P], T]) -> None:
        self._step: Final = step

    def __get__(self, repository: Repository, owner: type[Repository]) -> Callable[P, Coroutine[Any, Any, T]]:
        return partial(repository._db.read, self._step)


class WriteMethod(Generic[P, T]):
    """A method that runs a function of a `Transaction` in a transaction of its own."""

    def __init__(self, step: Callable[Concatenate[Transaction, P], T]) -> None:
        self._step: Final = step

    def __get__(self, repository: Repository, owner: type[Repository]) -> Callable[P, Coroutine[Any, Any, T]]:
        return partial(repository._db.write, self._step)
