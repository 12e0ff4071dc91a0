"""The store: durable state in SQLite (default) or PostgreSQL (several machines).

A transaction is one plain function that runs from begin to commit on the database connection's own thread:

    def rename(tx: Transaction, customer_id: str, name: str) -> CustomerRecord:
        customer = lock_customer(tx, customer_id)        # functions of app.store.directory, .journal, .events, ...
        tx.execute(_RENAME, id=customer_id, name=name)
        tx.touch(Topic.CUSTOMER, customer_id)            # published with the commit
        append_event(tx, NewEvent(...))
        return customer

    renamed = await store.transaction(rename, "cus_1", "Ada")
    known = await store.read(find_operation, "op_1")      # reads take a Connection and no transaction

It commits if the function returns and rolls back if it raises; the exception reaches the caller. It must not await,
call a vault, or change objects of the event loop. A cancelled caller waits for the end of a transaction that has begun.
The methods of `store.journal`, `store.directory` and so on are such functions, each with a transaction of its own.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from app.store.backlog import Backlog, read_backlog
from app.store.changelog import ChangeLog
from app.store.clients import Clients
from app.store.connection import Clock, Connection
from app.store.consents import Consents
from app.store.customer_search import CustomerSearch
from app.store.database import Database, Engine, OnChange, make_engine, utc_now
from app.store.directory import CustomerStore, erase_customer
from app.store.documents import PublishedDocuments
from app.store.endpoint_deliveries import EndpointDeliveries
from app.store.endpoints import Endpoints
from app.store.events import Events, forget_event_details
from app.store.imports import Imports
from app.store.journal import Journal, forget_intents
from app.store.key_uses import KeyUses
from app.store.leases import Leases
from app.store.link_health import LinkHealth
from app.store.locks import Locks
from app.store.moves import Moves
from app.store.notifications import Notifications
from app.store.observed_methods import ObservedMethods
from app.store.outbox import Transaction
from app.store.payments import Payments
from app.store.records import CustomerRecord
from app.store.schema import migrate, require_schema
from app.store.webhook_deliveries import WebhookDeliveries
from app.vault.enums import ProviderName

__all__ = ["Connection", "Store", "Transaction", "make_engine", "migrate", "require_schema"]

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """The repositories of one database."""

    def __init__(self, engine: Engine, *, tenant: str = "default", clock: Clock = utc_now) -> None:
        self.engine = engine
        self._db = database = Database(engine, tenant=tenant, clock=clock)
        self.directory = CustomerStore(database)
        self.customer_search = CustomerSearch(database)
        self.link_health = LinkHealth(database)
        self.observed_methods = ObservedMethods(database)
        self.journal = Journal(database)
        self.worker_leases = Leases(database)
        self.locks = Locks(database)
        self.notifications = Notifications(database)
        self.events = Events(database)
        self.changes = ChangeLog(database)
        self.clients = Clients(database)
        self.key_uses = KeyUses(database)
        self.documents = PublishedDocuments(database)
        self.deliveries = WebhookDeliveries(database)
        self.endpoints = Endpoints(database)
        self.endpoint_deliveries = EndpointDeliveries(database)
        self.imports = Imports(database)
        self.payments = Payments(database)
        self.moves = Moves(database)
        self.consents = Consents(database)

    @classmethod
    def open(cls, url: str, *, tenant: str = "default", clock: Clock = utc_now) -> "Store":
        """A store for ``sqlite:///file`` or ``postgresql://...``; connects on first use. Raises ValueError.

        Does not change the schema; call `migrate(store.engine)` for that.
        """
        return cls(make_engine(url), tenant=tenant, clock=clock)

    async def transaction(self, step: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `step` in a transaction: committed if it returns, rolled back if it raises."""
        return await self._db.write(step, *args, **kwargs)

    async def statement(self, step: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `step`, which writes with one statement and publishes nothing: a transaction without BEGIN and COMMIT."""
        return await self._db.write_statement(step, *args, **kwargs)

    async def read(self, step: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `step`, which reads, outside of a transaction."""
        return await self._db.read(step, *args, **kwargs)

    async def erase(self, customer_id: str, *, keep_links: Collection[ProviderName] = ()) -> CustomerRecord:
        """Erase a customer, with the personal data in journal and events. Raises CustomerUnknown."""
        return await self._db.write(erase_everywhere, customer_id, keep_links=keep_links)

    @property
    def is_up(self) -> bool:
        """False while the database cannot be used."""
        return self._db.availability.is_up

    @property
    def connections(self) -> Mapping[str, tuple[int, int, int]]:
        """By pool, ``read`` and ``write``: connections in use and idle, and accesses that wait for one."""
        return self._db.connections

    async def backlog(self) -> Backlog:
        """What is not finished yet. Raises StoreUnavailable."""
        return await self._db.read(read_backlog)

    def now(self) -> datetime:
        return self._db.now()

    def on_change(self, listener: OnChange) -> None:
        """Call `listener` with the changes of each commit in this process; it must not block or raise."""
        self._db.on_change(listener)

    async def close(self) -> None:
        await self.notifications.stop()
        await self.locks.close()
        await self._db.close()


def erase_everywhere(tx: Transaction, customer_id: str, *, keep_links: Collection[ProviderName] = ()) -> CustomerRecord:
    """`erase_customer`, plus personal data in journal and events."""
    record = erase_customer(tx, customer_id, keep_links=keep_links)
    forget_intents(tx, customer_id)
    forget_event_details(tx, customer_id)
    return record
