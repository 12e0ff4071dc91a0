"""The store: durable state in SQLite (default) or PostgreSQL (several machines)."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy import Engine

from app.store.cancel_safe import dispose
from app.store.changelog import ChangeLog
from app.store.clients import Clients
from app.store.database import Clock, Database, OnChange, Tx, make_engine, utc_now
from app.store.directory import CustomerStore
from app.store.documents import PublishedDocuments
from app.store.events import Events
from app.store.imports import Imports
from app.store.journal import Journal
from app.store.key_uses import KeyUses
from app.store.leases import Leases
from app.store.link_health import LinkHealth
from app.store.locks import Locks
from app.store.observed_methods import ObservedMethods
from app.store.payments import Payments
from app.store.records import CustomerRecord
from app.store.schema import migrate, migrations_are_current
from app.store.webhook_deliveries import WebhookDeliveries
from app.vault.enums import ProviderName

__all__ = ["Store", "Tx", "make_engine", "migrate", "migrations_are_current"]


class Store:
    """The repositories. ``async with store.transaction() as tx`` commits writes of several of them atomically."""

    def __init__(self, engine: Engine, *, tenant: str = "default", clock: Clock = utc_now) -> None:
        self.engine = engine
        self._db = database = Database(engine, tenant=tenant, clock=clock)
        self.directory = CustomerStore(database)
        self.link_health = LinkHealth(database)
        self.seen = ObservedMethods(database)
        self.journal = Journal(database)
        self.owners = Leases(database)
        self.locks = Locks(database)
        self.events = Events(database)
        self.changes = ChangeLog(database)
        self.clients = Clients(database)
        self.key_uses = KeyUses(database)
        self.documents = PublishedDocuments(database)
        self.receipts = WebhookDeliveries(database)
        self.imports = Imports(database)
        self.payments = Payments(database)

    @classmethod
    def open(cls, url: str, *, tenant: str = "default", clock: Clock = utc_now) -> "Store":
        """A store for ``sqlite+aiosqlite:///file`` or ``postgresql+asyncpg://...``; connects on first use.

        Does not change the schema; call `migrate(store.engine)` for that.
        """
        return cls(make_engine(url), tenant=tenant, clock=clock)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """A write transaction; pass it to repositories as ``tx=``. Afterwards `tx.events` and `tx.changes` are set.

        With SQLite it blocks all other writers: make no upstream calls inside, and no repository write without ``tx=``.
        """
        async with self._db.writing() as tx:
            yield tx

    async def erase(self, customer_id: str, *, keep_links: Collection[ProviderName] = ()) -> CustomerRecord:
        """`CustomerStore.erase`, plus personal data in journal and events, atomically. Raises CustomerUnknown."""
        async with self.transaction() as tx:
            record = await self.directory.erase(customer_id, keep_links=keep_links, tx=tx)
            await self.journal.forget(customer_id, tx=tx)
            await self.events.forget(customer_id, tx=tx)
            return record

    def now(self) -> datetime:
        return self._db.now()

    def on_change(self, listener: OnChange) -> None:
        """Call `listener` with the changes of each commit in this process; it must not block or raise."""
        self._db.on_change(listener)

    async def close(self) -> None:
        await self.locks.close()
        await dispose(self.engine)
