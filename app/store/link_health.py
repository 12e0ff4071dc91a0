"""Broken links: the vault does not know the customer, or two customers claim the same vault customer."""

from typing import Final

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.outbox import Transaction
from app.store.records import LinkConflictRecord, LinkRecord
from app.store.statements import Query
from app.vault.enums import CustomerRef, ProviderName

_UNMARKED: Final = (
    "WHERE tenant = :tenant AND provider = :provider AND customer_ref = :customer_ref AND not_found_at IS NULL"
)
_MARK: Final = Query(str, "UPDATE links SET not_found_at = :now {unmarked} RETURNING customer_id", unmarked=_UNMARKED)
_FIND_UNMARKED: Final = Query(str, "SELECT customer_id FROM links {unmarked}", unmarked=_UNMARKED)
_PAGE: Final = Query(
    LinkRecord,
    "SELECT {columns} FROM links WHERE tenant = :tenant AND (provider, customer_ref) > (:provider, :customer_ref)"
    " ORDER BY provider, customer_ref LIMIT :limit",
)
_COUNT: Final = Query(int, "SELECT COUNT(*) FROM links WHERE tenant = :tenant")
_CONFLICTS: Final = Query(
    LinkConflictRecord,
    "SELECT {columns} FROM link_conflicts WHERE tenant = :tenant ORDER BY provider, customer_id",
)


def mark_customer_not_found(tx: Transaction, provider: ProviderName, customer_ref: CustomerRef) -> str | None:
    """Mark that the vault does not know this customer; `note_list` removes the mark.

    Returns the linked customer's id; None if the link was marked already or does not exist.
    """
    return tx.one(_MARK, provider=provider, customer_ref=customer_ref, now=tx.now())


def is_marked_not_found(db: Connection, provider: ProviderName, customer_ref: CustomerRef) -> bool:
    """Whether `mark_customer_not_found` would have no effect: no such link, or it is marked already."""
    return db.one(_FIND_UNMARKED, provider=provider, customer_ref=customer_ref) is None


def links_page(db: Connection, after: LinkRecord | None = None, *, limit: int = 500) -> list[LinkRecord]:
    """One page of all links, ordered by vault and ref; empty at the end."""
    provider, customer_ref = ("", "") if after is None else (after.provider, after.customer_ref)
    return db.all(_PAGE, provider=provider, customer_ref=customer_ref, limit=limit)


def count_links(db: Connection) -> int:
    return db.one(_COUNT) or 0


def link_conflicts(db: Connection) -> list[LinkConflictRecord]:
    """Links that an upgrade set aside because another customer is linked to the same vault customer."""
    return db.all(_CONFLICTS)


class LinkHealth(Repository):
    mark_not_found = WriteMethod(mark_customer_not_found)
    is_marked = ReadMethod(is_marked_not_found)
    page_of_links = ReadMethod(links_page)
    count = ReadMethod(count_links)
    conflicts = ReadMethod(link_conflicts)
