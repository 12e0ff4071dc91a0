"""Writes to the directory: customers, their vault links and default methods. Each is published to the change log.

Writes lock the customer's row first, so changes of one customer are serialised.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from app.store import directory_reads
from app.store.consents import move_consent
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.directory_reads import customer_by_external_id, links_of_customers, owners_of_refs, stored_choice
from app.store.errors import CustomerUnknown, ExternalIdTaken, LinkConflict
from app.store.outbox import Transaction
from app.store.records import ChoiceRecord, CustomerRecord, LinkConflictReason, LinkRecord, MethodAddress, Topic
from app.store.statements import Query, Statement, values_of
from app.store.text import storable
from app.store.ulids import CUSTOMER, new_id
from app.vault.enums import CustomerRef, LinkProof, ProviderName

_CREATE: Final = Query(
    CustomerRecord,
    """
    INSERT INTO customers (
        tenant, id, external_id, first_name, last_name, business_name, email, phone, created_at
    ) VALUES (:tenant, :id, :external_id, :first_name, :last_name, :business_name, :email, :phone, :now)
    ON CONFLICT DO NOTHING RETURNING {columns}
    """,
)
_LOCK: Final = Query(CustomerRecord, "SELECT {columns} FROM customers WHERE tenant = :tenant AND id = :id FOR UPDATE")
_LINK: Final = Query(
    LinkRecord,
    """
    INSERT INTO links (tenant, provider, customer_ref, customer_id, proof, linked_at, linked_by)
    VALUES (:tenant, :provider, :customer_ref, :customer_id, :proof, :now, :linked_by)
    ON CONFLICT DO NOTHING RETURNING {columns}
    """,
)
_MINE: Final = "WHERE tenant = :tenant AND customer_id = :customer_id"
_UNLINK: Final = Query(LinkRecord, "DELETE FROM links {mine} AND provider = :provider RETURNING {columns}", mine=_MINE)
_UNLINK_ALL_BUT: Final = Statement("DELETE FROM links {mine} AND provider NOT IN :kept", mine=_MINE)
_LINKED: Final = Query(str, "SELECT provider FROM links {mine} LIMIT 1", mine=_MINE)
_DROP_CONFLICT: Final = Statement("DELETE FROM link_conflicts {mine} AND provider = :provider", mine=_MINE)
_DROP_AT_VAULT: Final = tuple(
    Statement("DELETE FROM {table} {mine} AND provider = :provider", table=table, mine=_MINE)
    for table in ("choices", "nicknames", "methods")
)
_DROP_ALL: Final = tuple(
    Statement("DELETE FROM {table} {mine}", table=table, mine=_MINE)
    for table in ("choices", "nicknames", "consents", "methods", "link_conflicts", "method_moves")
)
_DROP_WHOLE: Final = tuple(
    Statement("DELETE FROM {table} {mine}", table=table, mine=_MINE) for table in ("client_grants", "merged_customers")
)
_PUT_CHOICE: Final = Statement(
    """
    INSERT INTO choices (
        tenant, customer_id, provider, customer_ref, method_ref, allow_expired, set_at, set_by, is_kept
    )
    SELECT tenant, id, :provider, :customer_ref, :method_ref, :allow_expired, :set_at, :set_by, :is_kept
    FROM customers WHERE tenant = :tenant AND id = :customer_id AND erased_at IS NULL FOR UPDATE
    ON CONFLICT (tenant, customer_id) DO UPDATE SET
        provider = excluded.provider, customer_ref = excluded.customer_ref, method_ref = excluded.method_ref,
        allow_expired = excluded.allow_expired, set_at = excluded.set_at, set_by = excluded.set_by,
        is_kept = excluded.is_kept, missing_since = NULL
    """
)
_MARK_CHOICE: Final = Statement("UPDATE choices SET missing_since = :missing_since {mine}", mine=_MINE)
_AT_ADDRESS: Final = "AND provider = :provider AND customer_ref = :customer_ref AND method_ref = :method_ref"
_CLEAR_CHOICE: Final = Query(ChoiceRecord, "DELETE FROM choices {mine} RETURNING {columns}", mine=_MINE)
_CLEAR_CHOICE_OF: Final = Query(
    ChoiceRecord, "DELETE FROM choices {mine} {at} RETURNING {columns}", mine=_MINE, at=_AT_ADDRESS
)
_NEW_ADDRESS: Final = "provider = :new_provider, customer_ref = :new_customer_ref, method_ref = :new_method_ref"
_MOVE_CHOICE: Final = Statement(
    "UPDATE choices SET {new}, missing_since = NULL {mine} {at}", new=_NEW_ADDRESS, mine=_MINE, at=_AT_ADDRESS
)
_MOVE_NICKNAME: Final = Statement(
    "UPDATE nicknames SET {new} {mine} {at}", new=_NEW_ADDRESS, mine=_MINE, at=_AT_ADDRESS
)
_PUT_NICKNAME: Final = Statement(
    """
    INSERT INTO nicknames (tenant, provider, customer_ref, method_ref, customer_id, nickname)
    VALUES (:tenant, :provider, :customer_ref, :method_ref, :customer_id, :nickname)
    ON CONFLICT (tenant, provider, customer_ref, method_ref) DO UPDATE SET
        customer_id = excluded.customer_id, nickname = excluded.nickname
    """
)
_DROP_NICKNAME: Final = Statement(
    "DELETE FROM nicknames {mine} {at} AND holder_name IS NULL", mine=_MINE, at=_AT_ADDRESS
)
_CLEAR_NICKNAME: Final = Statement("UPDATE nicknames SET nickname = '' {mine} {at}", mine=_MINE, at=_AT_ADDRESS)
_PUT_HOLDER: Final = Statement(
    """
    INSERT INTO nicknames (tenant, provider, customer_ref, method_ref, customer_id, nickname, holder_name)
    VALUES (:tenant, :provider, :customer_ref, :method_ref, :customer_id, '', :holder_name)
    ON CONFLICT (tenant, provider, customer_ref, method_ref) DO UPDATE SET
        customer_id = excluded.customer_id, holder_name = excluded.holder_name
    """
)
_DROP_NAMES: Final = Statement("DELETE FROM nicknames {mine} {at}", mine=_MINE, at=_AT_ADDRESS)
_ERASE: Final = Query(
    CustomerRecord,
    """
    UPDATE customers SET
        first_name = NULL, last_name = NULL, business_name = NULL, email = NULL, phone = NULL,
        external_id = CASE WHEN :is_whole THEN NULL ELSE external_id END, erased_at = :erased_at
    WHERE tenant = :tenant AND id = :id RETURNING {columns}
    """,
)


def create_customer(
    tx: Transaction,
    *,
    external_id: str,
    first_name: str | None = None,
    last_name: str | None = None,
    business_name: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    customer_id: str | None = None,
) -> CustomerRecord:
    """Add a customer with a new `cus_` id, or with `customer_id` (demo data, imports).

    Raises ExternalIdTaken if another customer has the external id.
    """
    storable(external_id, first_name, last_name, business_name, email, phone, customer_id)
    if (holder := customer_by_external_id(tx, external_id)) is not None:  # also one that was merged into another
        raise ExternalIdTaken(holder.id)
    made = tx.one(
        _CREATE,
        id=customer_id or new_id(CUSTOMER),
        external_id=external_id,
        first_name=first_name,
        last_name=last_name,
        business_name=business_name,
        email=email,
        phone=phone,
        now=tx.now(),
    )
    if made is None:
        holder = customer_by_external_id(tx, external_id)
        raise ExternalIdTaken(holder.id if holder else customer_id or "")
    tx.touch(Topic.CUSTOMER, made.id)
    return made


def link_customer(
    tx: Transaction,
    customer_id: str,
    provider: ProviderName,
    customer_ref: CustomerRef,
    *,
    proof: LinkProof,
    linked_by: str,
) -> LinkRecord:
    """Link a vault's customer to one of the store. Idempotent: an existing link is returned unchanged.

    Raises CustomerUnknown, or LinkConflict with the reason and the id of the conflicting customer.
    """
    storable(customer_ref, linked_by)
    lock_customer(tx, customer_id)
    made = tx.one(
        _LINK,
        customer_id=customer_id,
        provider=provider,
        customer_ref=customer_ref,
        proof=proof,
        now=tx.now(),
        linked_by=linked_by,
    )
    if made is None:
        return _same_link(tx, customer_id, provider, customer_ref)
    tx.execute(_DROP_CONFLICT, customer_id=customer_id, provider=provider)
    tx.touch(Topic.CUSTOMER, customer_id)
    return made


def _same_link(tx: Transaction, customer_id: str, provider: ProviderName, customer_ref: CustomerRef) -> LinkRecord:
    owner = owners_of_refs(tx, provider, [customer_ref]).get(customer_ref)
    if owner not in (None, customer_id):
        raise LinkConflict(LinkConflictReason.REF_TAKEN, str(owner))
    for link in links_of_customers(tx, [customer_id])[customer_id]:
        if link.provider == provider and link.customer_ref == customer_ref:
            return link
    raise LinkConflict(LinkConflictReason.CUSTOMER_LINKED, customer_id)


def unlink_customer(tx: Transaction, customer_id: str, provider: ProviderName) -> LinkRecord | None:
    """Remove the link and its data (choice, nicknames, observed methods); None if there is no link.

    Also removes the customer's row in `link_conflicts`. Raises CustomerUnknown.
    """
    lock_customer(tx, customer_id)
    tx.execute(_DROP_CONFLICT, customer_id=customer_id, provider=provider)
    removed = tx.one(_UNLINK, customer_id=customer_id, provider=provider)
    if removed is None:
        return None
    for drop in _DROP_AT_VAULT:
        tx.execute(drop, customer_id=customer_id, provider=provider)
    tx.touch(Topic.CUSTOMER, customer_id)
    return removed


def set_default_choice(
    tx: Transaction,
    customer_id: str,
    method: MethodAddress,
    *,
    set_by: str,
    allow_expired: bool = False,
    is_kept: bool = False,
    set_at: datetime | None = None,
) -> None:
    """Store or replace the customer's default, in one statement that also locks the customer. Raises
    CustomerUnknown."""
    storable(customer_id, method.method_ref, method.customer_ref, set_by)
    stored = tx.count(
        _PUT_CHOICE,
        customer_id=customer_id,
        **values_of(method),
        allow_expired=allow_expired,
        set_at=set_at or tx.now(),
        set_by=set_by,
        is_kept=is_kept,
    )
    if not stored:
        raise CustomerUnknown("no such customer")
    tx.touch(Topic.CUSTOMER, customer_id)


def lock_choice(tx: Transaction, customer_id: str) -> ChoiceRecord | None:
    """The stored default, locked until `tx` ends. Raises CustomerUnknown."""
    lock_customer(tx, customer_id)
    return stored_choice(tx, customer_id)


def mark_choice_missing(tx: Transaction, customer_id: str, *, missing_since: datetime | None) -> None:
    """Store since when the vault's lists lack the stored default; None if they contain it."""
    tx.execute(_MARK_CHOICE, customer_id=customer_id, missing_since=missing_since)
    tx.touch(Topic.CUSTOMER, customer_id)


def clear_default_choice(
    tx: Transaction, customer_id: str, *, only_if: MethodAddress | None = None
) -> ChoiceRecord | None:
    """Delete the choice, with `only_if` only if it names that method; returns the deleted choice."""
    if only_if is None:
        removed = tx.one(_CLEAR_CHOICE, customer_id=customer_id)
    else:
        removed = tx.one(_CLEAR_CHOICE_OF, customer_id=customer_id, **values_of(only_if))
    if removed is not None:
        tx.touch(Topic.CUSTOMER, customer_id)
    return removed


def move_default_choice(
    tx: Transaction, customer_id: str, old: MethodAddress, new: MethodAddress, *, with_names: bool = True
) -> bool:
    """Move choice, consent and, with `with_names`, nickname from `old` to `new`, its replacement. True if the choice
    moved."""
    storable(new.method_ref, new.customer_ref)
    addresses = {**values_of(old), **{f"new_{name}": value for name, value in values_of(new).items()}}
    is_moved = tx.count(_MOVE_CHOICE, customer_id=customer_id, **addresses) > 0
    if with_names:
        tx.execute(_MOVE_NICKNAME, customer_id=customer_id, **addresses)
    move_consent(tx, customer_id, old, new)
    tx.touch(Topic.CUSTOMER, customer_id)
    return is_moved


def set_method_nickname(tx: Transaction, customer_id: str, method: MethodAddress, nickname: str | None) -> None:
    """Set a method's nickname, or remove it with None. Raises CustomerUnknown."""
    storable(nickname, method.method_ref, method.customer_ref)
    lock_customer(tx, customer_id)
    if nickname is None:
        for statement in (_DROP_NICKNAME, _CLEAR_NICKNAME):
            tx.execute(statement, customer_id=customer_id, **values_of(method))
    else:
        tx.execute(_PUT_NICKNAME, customer_id=customer_id, **values_of(method), nickname=nickname)
    tx.touch(Topic.CUSTOMER, customer_id)


def set_holder_name(tx: Transaction, customer_id: str, method: MethodAddress, holder_name: str) -> None:
    """Keep the holder's name of a method whose vault does not show it. Raises CustomerUnknown."""
    storable(holder_name, method.method_ref, method.customer_ref)
    lock_customer(tx, customer_id)
    tx.execute(_PUT_HOLDER, customer_id=customer_id, **values_of(method), holder_name=holder_name)
    tx.touch(Topic.CUSTOMER, customer_id)


def drop_method_names(tx: Transaction, customer_id: str, method: MethodAddress) -> None:
    """Remove the nickname and the holder's name of a deleted method."""
    tx.execute(_DROP_NAMES, customer_id=customer_id, **values_of(method))
    tx.touch(Topic.CUSTOMER, customer_id)


def erase_customer(tx: Transaction, customer_id: str, *, keep_links: Collection[ProviderName] = ()) -> CustomerRecord:
    """Delete names, choice, nicknames and links, except `keep_links`, with which erasure can be retried later.

    Without kept links the customer is erased: its external id can be reused and its id is no longer found. Idempotent.
    Raises CustomerUnknown. `Store.erase` also cleans journal and events.
    """
    record = lock_customer(tx, customer_id, include_erased=True)
    if record.erased_at is not None:
        return record
    for drop in _DROP_ALL:
        tx.execute(drop, customer_id=customer_id)
    tx.execute(_UNLINK_ALL_BUT, customer_id=customer_id, kept=list(keep_links))
    is_whole = tx.one(_LINKED, customer_id=customer_id) is None
    if is_whole:
        for drop in _DROP_WHOLE:
            tx.execute(drop, customer_id=customer_id)
    erased = tx.one(_ERASE, id=customer_id, is_whole=is_whole, erased_at=tx.now() if is_whole else None)
    tx.touch(Topic.CUSTOMER, customer_id)
    return erased or record


def lock_customer(tx: Transaction, customer_id: str, *, include_erased: bool = False) -> CustomerRecord:
    """The customer, locked until `tx` ends. Raises CustomerUnknown."""
    storable(customer_id)
    record = tx.one(_LOCK, id=customer_id)
    if record is None or (record.erased_at is not None and not include_erased):
        raise CustomerUnknown("no such customer")
    return record


class CustomerStore(Repository):
    """Reads include erased customers only on request; unknown ids are omitted."""

    customer = ReadMethod(directory_reads.find_customer)
    customer_by_external_id = ReadMethod(directory_reads.customer_by_external_id)
    merged_into = ReadMethod(directory_reads.merged_into)
    former = ReadMethod(directory_reads.former_customers)
    customer_by_ref = ReadMethod(directory_reads.customer_by_ref)
    customers = ReadMethod(directory_reads.customers_by_id)
    links_of = ReadMethod(links_of_customers)
    owners_of = ReadMethod(owners_of_refs)
    entry = ReadMethod(directory_reads.directory_entry)
    entries = ReadMethod(directory_reads.directory_entries)
    entry_at = ReadMethod(directory_reads.directory_entry_by_ref)
    choice = ReadMethod(stored_choice)
    create = WriteMethod(create_customer)
    link = WriteMethod(link_customer)
    unlink = WriteMethod(unlink_customer)
    set_choice = WriteMethod(set_default_choice)
    clear_choice = WriteMethod(clear_default_choice)
    move_choice = WriteMethod(move_default_choice)
    set_nickname = WriteMethod(set_method_nickname)
    set_holder = WriteMethod(set_holder_name)
    erase = WriteMethod(erase_customer)
