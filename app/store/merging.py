"""Merges one customer into another: everything that refers to it is moved, in one transaction."""

from typing import Final

from app.store.connection import Connection
from app.store.directory import lock_customer
from app.store.directory_reads import directory_entry
from app.store.errors import CustomerUnknown
from app.store.outbox import Transaction
from app.store.records import ChoiceRecord, DirectoryEntry, LinkRecord, MergeConflicts, Topic
from app.store.statements import Query, Statement
from app.store.text import storable
from app.vault.enums import ProviderName

MOVED_TABLES: Final = (
    "links",
    "nicknames",
    "consents",
    "methods",
    "payments",
    "events",
    "endpoint_deliveries",
    "operations",
    "link_conflicts",
    "merged_customers",
    "method_moves",
)
"""Tables whose rows belong to a customer by `customer_id`, except `choices`, of which one is kept."""
DROPPED_TABLES: Final = ("client_grants",)
_MOVE: Final = tuple(
    Statement("UPDATE {table} SET customer_id = :into WHERE tenant = :tenant AND customer_id = :merged", table=table)
    for table in MOVED_TABLES
)
_MOVE_CHOICE: Final = Statement(
    "UPDATE choices SET customer_id = :into WHERE tenant = :tenant AND customer_id = :merged"
)
_DROP_CHOICE: Final = Statement("DELETE FROM choices WHERE tenant = :tenant AND customer_id = :customer_id")
_DROP: Final = tuple(
    Statement("DELETE FROM {table} WHERE tenant = :tenant AND customer_id = :merged", table=table)
    for table in DROPPED_TABLES
)
_RIVALS: Final = Statement(
    "UPDATE link_conflicts SET linked_customer_id = :into WHERE tenant = :tenant AND linked_customer_id = :merged"
)
_DROP_RESOLVED: Final = Statement(
    "DELETE FROM link_conflicts WHERE tenant = :tenant AND customer_id IN :both AND linked_customer_id IN :both"
)
_SET_ASIDE: Final = Query(
    ProviderName,
    "SELECT provider FROM link_conflicts WHERE tenant = :tenant AND customer_id = :customer_id"
    " AND linked_customer_id <> :other ORDER BY provider",
)
_UNFINISHED: Final = Query(
    str,
    "SELECT id FROM operations WHERE tenant = :tenant AND customer_id IN :both AND mutation <> :mutation"
    " AND (state = 'PENDING' OR state = 'UNKNOWN' AND reconcile_at IS NOT NULL) LIMIT 1",
)
_REMEMBER: Final = Statement(
    """
    INSERT INTO merged_customers (tenant, id, external_id, customer_id, merged_at, merged_by)
    VALUES (:tenant, :merged, :external_id, :into, :now, :merged_by)
    """
)
_EMPTY: Final = Statement(
    """
    UPDATE customers SET
        external_id = NULL, first_name = NULL, last_name = NULL, business_name = NULL, email = NULL, phone = NULL,
        erased_at = :now
    WHERE tenant = :tenant AND id = :merged
    """
)
_FILL: Final = Statement(
    """
    UPDATE customers SET
        first_name = :first_name, last_name = :last_name, business_name = :business_name, email = :email, phone = :phone
    WHERE tenant = :tenant AND id = :into
    """
)


def merge_conflicts(db: Connection, merged: DirectoryEntry, into: DirectoryEntry, *, mutation: str) -> MergeConflicts:
    """What prevents a merge. Unfinished operations of `mutation` do not: a merge is one transaction."""
    ids = (merged.customer.id, into.customer.id)
    both = {link.provider for link in merged.links} & {link.provider for link in into.links}
    aside = [set(db.all(_SET_ASIDE, customer_id=one, other=other)) for one, other in (ids, ids[::-1])]
    return MergeConflicts(
        links=tuple(sorted(both | (aside[0] & aside[1]))),
        has_two_choices=_is_explicit(merged.choice) and _is_explicit(into.choice),
        is_busy=db.one(_UNFINISHED, both=list(ids), mutation=mutation) is not None,
    )


def lock_both(tx: Transaction, merged: str, into: str) -> tuple[DirectoryEntry, DirectoryEntry]:
    """Both customers, locked until `tx` ends. Raises CustomerUnknown."""
    for customer_id in sorted((merged, into)):  # a fixed order avoids deadlocks
        lock_customer(tx, customer_id)
    first, second = directory_entry(tx, merged), directory_entry(tx, into)
    if first is None or second is None:
        raise CustomerUnknown("no such customer")
    return first, second


def merge_customers(
    tx: Transaction, merged: DirectoryEntry, into: DirectoryEntry, *, keeps_merged_choice: bool | None, merged_by: str
) -> tuple[LinkRecord, ...]:
    """Move everything of `merged` to `into`; both were read by `lock_both` and have no conflicts.

    Its name, e-mail address and telephone number fill what `into` lacks. Its grants end: a partner that may see one
    customer must not see the other's methods. `keeps_merged_choice` decides between two stored defaults; None: an
    explicit one wins over a kept one, then that of `into`. Returns the moved links.
    """
    storable(merged_by)
    old, new = merged.customer, into.customer
    keys = {"merged": old.id, "into": new.id}
    _merge_choices(tx, merged, into, keeps_merged_choice)
    tx.execute(_DROP_RESOLVED, both=list(keys.values()))
    tx.execute(_RIVALS, **keys)
    for statement in _DROP:
        tx.execute(statement, merged=old.id)
    for statement in _MOVE:
        tx.execute(statement, **keys)
    tx.execute(_REMEMBER, **keys, external_id=old.external_id, now=tx.now(), merged_by=merged_by)
    tx.execute(_EMPTY, merged=old.id, now=tx.now())
    named = new if new.name else old
    tx.execute(
        _FILL,
        into=new.id,
        first_name=named.first_name,
        last_name=named.last_name,
        business_name=named.business_name,
        email=new.email or old.email,
        phone=new.phone or old.phone,
    )
    tx.touch(Topic.CUSTOMER, old.id)
    tx.touch(Topic.CUSTOMER, new.id)
    return merged.links


def _merge_choices(
    tx: Transaction, merged: DirectoryEntry, into: DirectoryEntry, keeps_merged_choice: bool | None
) -> None:
    if merged.choice is None:
        return
    if keeps_merged_choice is None or into.choice is None:
        keeps_merged_choice = into.choice is None or (into.choice.is_kept and not merged.choice.is_kept)
    dropped = into if keeps_merged_choice else merged
    tx.execute(_DROP_CHOICE, customer_id=dropped.customer.id)
    if keeps_merged_choice:
        tx.execute(_MOVE_CHOICE, merged=merged.customer.id, into=into.customer.id)


def _is_explicit(choice: ChoiceRecord | None) -> bool:
    return choice is not None and not choice.is_kept
