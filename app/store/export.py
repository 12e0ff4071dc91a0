"""Everything that the store holds about one customer, for an export."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from app.store.connection import Connection
from app.store.consents import consents_of
from app.store.directory_reads import directory_entry, former_customers
from app.store.events import events_after
from app.store.journal_reads import operation_results, operations_of_customer
from app.store.moves import MethodMove
from app.store.observed_methods import observed_methods_of
from app.store.payment_attempts import attempts_of_customer
from app.store.payments import payments_of_customer
from app.store.records import (
    ConsentRecord,
    DirectoryEntry,
    EventRecord,
    FormerCustomer,
    LinkConflictRecord,
    ObservedRecord,
    OperationRecord,
    PaymentAttempt,
    PaymentRecord,
    ResultRow,
)
from app.store.statements import Query

_ALL: Final = 2**31 - 1


class Grant(NamedTuple):
    """A partner that may see the customer."""

    client: str
    granted_at: datetime


class SentWebhooks(NamedTuple):
    """How many events of the customer a webhook endpoint has received."""

    endpoint_id: str
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCustomer:
    entry: DirectoryEntry
    former: list[FormerCustomer]
    link_conflicts: list[LinkConflictRecord]
    observed: list[ObservedRecord]
    payments: list[PaymentRecord]
    attempts: list[PaymentAttempt]
    consents: list[ConsentRecord]
    operations: list[tuple[OperationRecord, tuple[ResultRow, ...]]]
    events: list[EventRecord]
    grants: list[Grant]
    webhooks: list[SentWebhooks]
    moves: list[MethodMove]


_OF_CUSTOMER: Final = "WHERE tenant = :tenant AND customer_id = :customer_id"
_CONFLICTS: Final = Query(
    LinkConflictRecord, "SELECT {columns} FROM link_conflicts {its} ORDER BY provider", its=_OF_CUSTOMER
)
_GRANTS: Final = Query(Grant, "SELECT {columns} FROM client_grants {its} ORDER BY client", its=_OF_CUSTOMER)
_MOVES: Final = Query(MethodMove, "SELECT {columns} FROM method_moves {its} ORDER BY asked_at", its=_OF_CUSTOMER)
_WEBHOOKS: Final = Query(
    SentWebhooks,
    "SELECT endpoint_id, count(*) AS events FROM endpoint_deliveries {its} AND state = 'DELIVERED'"
    " GROUP BY endpoint_id ORDER BY endpoint_id",
    its=_OF_CUSTOMER,
)


def stored_customer(db: Connection, customer_id: str) -> StoredCustomer | None:
    """None if there is no such customer."""
    entry = directory_entry(db, customer_id)
    if entry is None:
        return None
    operations = operations_of_customer(db, customer_id, limit=_ALL)
    return StoredCustomer(
        entry=entry,
        former=former_customers(db, customer_id),
        link_conflicts=db.all(_CONFLICTS, customer_id=customer_id),
        observed=observed_methods_of(db, customer_id),
        payments=payments_of_customer(db, customer_id, limit=_ALL),
        attempts=attempts_of_customer(db, customer_id),
        consents=consents_of(db, customer_id),
        operations=[(one, operation_results(db, one.id, first=_ALL - 1).rows) for one in operations],
        events=events_after(db, None, customer_id=customer_id, limit=_ALL),
        grants=db.all(_GRANTS, customer_id=customer_id),
        webhooks=db.all(_WEBHOOKS, customer_id=customer_id),
        moves=db.all(_MOVES, customer_id=customer_id),
    )
