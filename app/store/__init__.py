"""Durable state over one engine: SQLite by default, PostgreSQL when one machine is not enough."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.changelog import ChangeLog
from app.store.database import Clock, Database, OnChange, Tx, make_engine, utc_now
from app.store.directory import Directory
from app.store.events import Events
from app.store.journal import Journal
from app.store.locks import Locks
from app.store.owners import Owners
from app.store.schema import migrate, migrations_are_current

__all__ = ["Store", "Tx", "make_engine", "migrate", "migrations_are_current"]


class Store:
    """The repositories. Several of their writes commit as one inside ``async with store.transaction() as tx``."""

    def __init__(self, engine: AsyncEngine, *, tenant: str = "default", clock: Clock = utc_now) -> None:
        self.engine = engine
        self._db = Database(engine, tenant=tenant, clock=clock)
        self.directory = Directory(self._db)
        self.journal = Journal(self._db)
        self.owners = Owners(self._db)
        self.events = Events(self._db)
        self.locks = Locks(self._db)
        self.changes = ChangeLog(self._db)

    @classmethod
    def open(cls, url: str, *, tenant: str = "default", clock: Clock = utc_now) -> "Store":
        """A store over ``sqlite+aiosqlite:///file`` or ``postgresql+asyncpg://...``; connects at the first use.

        The schema is not touched: `migrate(store.engine)` does that.
        """
        return cls(make_engine(url), tenant=tenant, clock=clock)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Pass the transaction to repositories as ``tx=``. With SQLite it keeps all other writers waiting: no
        upstream calls inside."""
        async with self._db.writing() as tx:
            yield tx

    def on_change(self, listener: OnChange) -> None:
        """Call `listener` with the changes of each commit of this process; it must not block or raise."""
        self._db.on_change(listener)

    async def close(self) -> None:
        await self.locks.close()
        await self.engine.dispose()
