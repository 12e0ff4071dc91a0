"""Broken links: the vault does not know the customer, or two customers claim the same vault customer."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, Select, Update, select, tuple_, update

from app.store.database import Database, Tx
from app.store.directory_reads import to_link
from app.store.prepared import Asked, prepared
from app.store.records import LinkConflictRecord, LinkRecord
from app.store.tables import link_conflicts, links
from app.vault.enums import CustomerRef, ProviderName

_ORDER: Final = (links.c.provider, links.c.customer_ref)


class LinkHealth:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def mark_not_found(self, provider: ProviderName, customer_ref: CustomerRef, *, tx: Tx) -> str | None:
        """Mark that the vault does not know this customer; `ObservedMethods.note` removes the mark.

        Returns the linked customer's id; None if the link was marked already or does not exist.
        """
        written = await tx.conn.execute(
            *_mark(self._db.tenant, provider.value, customer_ref, not_found_at=self._db.now())
        )
        row = written.first()
        return None if row is None else str(row.customer_id)

    async def is_marked(self, provider: ProviderName, customer_ref: CustomerRef) -> bool:
        """Whether `mark_not_found` would have no effect: no such link, or it is marked already."""
        rows = await self._db.rows(_unmarked(self._db.tenant, provider.value, customer_ref))
        return not rows

    async def page_of_links(self, after: LinkRecord | None = None, *, limit: int = 500) -> list[LinkRecord]:
        """One page of all links, ordered by vault and ref; empty at the end."""
        last = ("", "") if after is None else (after.provider.value, after.customer_ref)
        return [to_link(row) for row in await self._db.rows(_page(self._db.tenant, *last, limit))]

    async def conflicts(self) -> list[LinkConflictRecord]:
        """Links that an upgrade set aside because another customer is linked to the same vault customer."""
        return [_to_conflict(row) for row in await self._db.rows(_conflicts(self._db.tenant))]


def _here(tenant: Asked, provider: Asked, customer_ref: Asked) -> Sequence[Any]:
    here = links.c.tenant == tenant, links.c.provider == provider, links.c.customer_ref == customer_ref
    return *here, links.c.not_found_at.is_(None)


@prepared
def _mark(tenant: Asked, provider: Asked, customer_ref: Asked) -> Update:
    return update(links).where(*_here(tenant, provider, customer_ref)).returning(links.c.customer_id)


@prepared
def _unmarked(tenant: Asked, provider: Asked, customer_ref: Asked) -> Select[Any]:
    return select(links.c.customer_id).where(*_here(tenant, provider, customer_ref))


@prepared
def _page(tenant: Asked, provider: Asked, customer_ref: Asked, limit: Asked) -> Select[Any]:
    is_later = tuple_(*_ORDER) > tuple_(provider, customer_ref)
    return select(links).where(links.c.tenant == tenant, is_later).order_by(*_ORDER).limit(limit)


@prepared
def _conflicts(tenant: Asked) -> Select[Any]:
    mine = select(link_conflicts).where(link_conflicts.c.tenant == tenant)
    return mine.order_by(link_conflicts.c.provider, link_conflicts.c.customer_id)


def _to_conflict(row: Row[Any]) -> LinkConflictRecord:
    return LinkConflictRecord(
        customer_id=row.customer_id,
        provider=ProviderName(row.provider),
        customer_ref=CustomerRef(row.customer_ref),
        linked_customer_id=row.linked_customer_id,
        linked_at=row.linked_at,
        linked_by=row.linked_by,
    )
