"""Reads of the directory: customers, vault links, defaults and nicknames."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import Final, NamedTuple

from app.store.connection import Connection
from app.store.records import ChoiceRecord, CustomerRecord, DirectoryEntry, FormerCustomer, LinkRecord, MethodAddress
from app.store.statements import Query, Row, columns_of, record_maker
from app.store.text import is_storable
from app.vault.enums import CustomerRef, ProviderName


class _Owner(NamedTuple):
    customer_ref: CustomerRef
    customer_id: str


_CUSTOMERS: Final = "SELECT {columns} FROM customers WHERE tenant = :tenant"
_BY_ID: Final = Query(CustomerRecord, f"{_CUSTOMERS} AND id = :id AND erased_at IS NULL")
_BY_ID_OR_ERASED: Final = Query(CustomerRecord, f"{_CUSTOMERS} AND id = :id")
_BY_IDS: Final = Query(CustomerRecord, f"{_CUSTOMERS} AND id IN :ids AND erased_at IS NULL")
_BY_EXTERNAL_ID: Final = Query(CustomerRecord, f"{_CUSTOMERS} AND external_id = :external_id AND erased_at IS NULL")
_BY_FORMER_EXTERNAL_ID: Final = Query(
    CustomerRecord,
    f"""
    {_CUSTOMERS} AND erased_at IS NULL AND id = (
        SELECT customer_id FROM merged_customers AS former
        WHERE former.tenant = :tenant AND former.external_id = :external_id
    )
    """,
)
_FORMER: Final = "SELECT {columns} FROM merged_customers WHERE tenant = :tenant"
_FORMER_BY_ID: Final = Query(FormerCustomer, f"{_FORMER} AND id = :id")
_FORMER_OF: Final = Query(FormerCustomer, f"{_FORMER} AND customer_id = :customer_id ORDER BY merged_at, id")
_BY_REF: Final = Query(
    CustomerRecord,
    """
    SELECT {columns} FROM customers WHERE tenant = :tenant AND erased_at IS NULL AND id = (
        SELECT customer_id FROM links
        WHERE links.tenant = :tenant AND links.provider = :provider AND links.customer_ref = :customer_ref
    )
    """,
)
_OWNERS: Final = Query(
    _Owner,
    "SELECT {columns} FROM links WHERE tenant = :tenant AND provider = :provider AND customer_ref IN :refs",
)
_LINKS: Final = Query(
    LinkRecord, "SELECT {columns} FROM links WHERE tenant = :tenant AND customer_id IN :ids ORDER BY provider"
)
_CHOICE: Final = Query(
    ChoiceRecord, "SELECT {columns} FROM choices WHERE tenant = :tenant AND customer_id = :customer_id"
)
# One row for each link and nickname there; each also holds the customer and the choice.
_ENTRIES: Final = """
    SELECT {customer}, {choice}, {link}, nicknames.method_ref, nicknames.nickname, nicknames.holder_name
    FROM customers AS customer
    LEFT JOIN links AS link ON link.tenant = customer.tenant AND link.customer_id = customer.id
    LEFT JOIN choices AS choice ON choice.tenant = customer.tenant AND choice.customer_id = customer.id
    LEFT JOIN nicknames ON nicknames.tenant = link.tenant AND nicknames.provider = link.provider
        AND nicknames.customer_ref = link.customer_ref AND nicknames.customer_id = link.customer_id
    WHERE customer.tenant = :tenant AND customer.erased_at IS NULL
    AND customer.id {is_wanted} ORDER BY customer.id, link.provider
"""
_PARTS: Final = {
    "customer": columns_of(CustomerRecord, "customer."),
    "choice": columns_of(ChoiceRecord, "choice."),
    "link": columns_of(LinkRecord, "link."),
}
_ENTRY_BY_ID: Final = Query(tuple, _ENTRIES, **_PARTS, is_wanted="= :id")
_ENTRIES_BY_ID: Final = Query(tuple, _ENTRIES, **_PARTS, is_wanted="IN :ids")
_ENTRY_BY_REF: Final = Query(
    tuple,
    _ENTRIES,
    **_PARTS,
    is_wanted="= (SELECT there.customer_id FROM links AS there WHERE there.tenant = :tenant"
    " AND there.provider = :provider AND there.customer_ref = :customer_ref)",
)
_CHOICE_AT: Final = len(fields(CustomerRecord))
_LINK_AT: Final = _CHOICE_AT + len(fields(ChoiceRecord))
_NICKNAME_AT: Final = _LINK_AT + len(fields(LinkRecord))
_to_customer: Final = record_maker(CustomerRecord)
_to_choice: Final = record_maker(ChoiceRecord)
_to_link: Final = record_maker(LinkRecord)


def find_customer(db: Connection, customer_id: str, *, include_erased: bool = False) -> CustomerRecord | None:
    if not is_storable(customer_id):
        return None
    return db.one(_BY_ID_OR_ERASED if include_erased else _BY_ID, id=customer_id)


def customer_by_external_id(db: Connection, external_id: str) -> CustomerRecord | None:
    """Also by the external id of a customer that was merged into this one."""
    if not is_storable(external_id):
        return None
    found = db.one(_BY_EXTERNAL_ID, external_id=external_id)
    return found or db.one(_BY_FORMER_EXTERNAL_ID, external_id=external_id)


def merged_into(db: Connection, customer_id: str) -> str | None:
    """The id of the customer into which this one was merged; None if it was not."""
    found = db.one(_FORMER_BY_ID, id=customer_id) if is_storable(customer_id) else None
    return found.customer_id if found else None


def former_customers(db: Connection, customer_id: str) -> list[FormerCustomer]:
    """Those that were merged into this customer, directly or not, oldest first."""
    return db.all(_FORMER_OF, customer_id=customer_id)


def customer_by_ref(db: Connection, provider: ProviderName, customer_ref: CustomerRef) -> CustomerRecord | None:
    return db.one(_BY_REF, provider=provider, customer_ref=customer_ref) if is_storable(customer_ref) else None


def customers_by_id(db: Connection, ids: Collection[str]) -> dict[str, CustomerRecord]:
    """Customers by id; unknown and erased ones are omitted."""
    wanted = [customer_id for customer_id in ids if is_storable(customer_id)]
    return {record.id: record for record in db.all(_BY_IDS, ids=wanted)} if wanted else {}


def links_of_customers(db: Connection, ids: Collection[str]) -> dict[str, tuple[LinkRecord, ...]]:
    """Links by customer id, ordered by provider name; ids without links map to an empty tuple."""
    found: dict[str, list[LinkRecord]] = {customer_id: [] for customer_id in ids}
    for link in db.all(_LINKS, ids=[customer_id for customer_id in ids if is_storable(customer_id)]):
        found[link.customer_id].append(link)
    return {customer_id: tuple(links) for customer_id, links in found.items()}


def owners_of_refs(db: Connection, provider: ProviderName, refs: Iterable[CustomerRef]) -> dict[CustomerRef, str]:
    """Customer id by the vault's ref; unlinked refs are omitted."""
    wanted = [ref for ref in refs if is_storable(ref)]
    rows = db.all(_OWNERS, provider=provider, refs=wanted) if wanted else []
    return {row.customer_ref: row.customer_id for row in rows}


def directory_entry(db: Connection, customer_id: str) -> DirectoryEntry | None:
    return directory_entries(db, [customer_id]).get(customer_id)


def directory_entries(db: Connection, ids: Collection[str]) -> dict[str, DirectoryEntry]:
    """Customers with links, choice and nicknames, in one statement.

    A cache must discard an entry if a change of that customer was published during the read.
    """
    wanted = [customer_id for customer_id in ids if is_storable(customer_id)]
    if not wanted:
        return {}
    return _entries(db.all(_ENTRY_BY_ID, id=wanted[0]) if len(wanted) == 1 else db.all(_ENTRIES_BY_ID, ids=wanted))


def directory_entry_by_ref(db: Connection, provider: ProviderName, customer_ref: CustomerRef) -> DirectoryEntry | None:
    """The entry of the customer linked to this vault customer."""
    if not is_storable(customer_ref):
        return None
    found = _entries(db.all(_ENTRY_BY_REF, provider=provider, customer_ref=customer_ref))
    return next(iter(found.values()), None)


def stored_choice(db: Connection, customer_id: str) -> ChoiceRecord | None:
    return db.one(_CHOICE, customer_id=customer_id)


def _entries(rows: Sequence[Row]) -> dict[str, DirectoryEntry]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    return {customer_id: _entry(its) for customer_id, its in grouped.items()}


def _entry(rows: Sequence[Row]) -> DirectoryEntry:
    first = rows[0]
    links: dict[str, LinkRecord] = {}
    nicknames: dict[MethodAddress, str] = {}
    holder_names: dict[MethodAddress, str] = {}
    for row in rows:
        _, provider, *rest = row[_LINK_AT:_NICKNAME_AT]
        if provider is None:
            break  # the customer has no links
        link = links.get(provider)
        if link is None:
            link = links[provider] = _to_link((first[0], provider, *rest))
        method_ref, nickname, holder_name = row[_NICKNAME_AT:]
        if nickname:
            nicknames[MethodAddress(link.provider, link.customer_ref, method_ref)] = nickname
        if holder_name is not None:
            holder_names[MethodAddress(link.provider, link.customer_ref, method_ref)] = holder_name
    return DirectoryEntry(
        customer=_to_customer(first[:_CHOICE_AT]),
        links=tuple(links.values()),
        choice=None if first[_CHOICE_AT] is None else _to_choice(first[_CHOICE_AT:_LINK_AT]),
        nicknames=nicknames,
        holder_names=holder_names,
    )
