"""Reads of the directory: customers, vault links, defaults and nicknames."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Row, Select, Table, and_, select

from app.store.cancel_safe import CancelSafeConnection
from app.store.database import Database, Tx
from app.store.prepared import Asked, Statement, prepared
from app.store.records import ChoiceRecord, CustomerRecord, DirectoryEntry, LinkRecord, MethodAddress
from app.store.tables import choices, customers, links, nicknames
from app.store.text import is_storable
from app.vault.enums import CustomerRef, LinkProof, MethodRef, ProviderName

_LINK: Final = ("provider", "customer_ref", "proof", "linked_at", "linked_by")
_CHOICE: Final = (
    "provider",
    "customer_ref",
    "method_ref",
    "allow_expired",
    "set_at",
    "set_by",
    "is_kept",
    "missing_since",
)


class DirectoryReads:
    """Erased customers are included only on request; unknown ids are omitted."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def customer(
        self, customer_id: str, *, include_erased: bool = False, tx: Tx | None = None
    ) -> CustomerRecord | None:
        asked = _with_erased if include_erased else _customers
        found = await self._customers(asked(self._db.tenant, [customer_id]), [customer_id], tx)
        return found[0] if found else None

    async def customer_by_external_id(self, external_id: str, *, tx: Tx | None = None) -> CustomerRecord | None:
        found = await self._customers(_by_external_id(self._db.tenant, external_id), [external_id], tx)
        return found[0] if found else None

    async def customer_by_ref(
        self, provider: ProviderName, customer_ref: CustomerRef, *, tx: Tx | None = None
    ) -> CustomerRecord | None:
        owner = (await self.owners_of(provider, [customer_ref], tx=tx)).get(customer_ref)
        return await self.customer(owner, tx=tx) if owner else None

    async def customers(self, ids: Collection[str], *, tx: Tx | None = None) -> dict[str, CustomerRecord]:
        """Customers by id; unknown and erased ones are omitted."""
        wanted = [customer_id for customer_id in ids if is_storable(customer_id)]
        found = await self._customers(_customers(self._db.tenant, wanted), wanted, tx)
        return {record.id: record for record in found}

    async def links_of(self, ids: Collection[str], *, tx: Tx | None = None) -> dict[str, tuple[LinkRecord, ...]]:
        """Links by customer id, ordered by provider name; ids without links map to an empty tuple."""
        async with self._db.reading(tx) as conn:
            return await self._links(conn, ids)

    async def owners_of(
        self, provider: ProviderName, refs: Iterable[CustomerRef], *, tx: Tx | None = None
    ) -> dict[CustomerRef, str]:
        """Customer id by the vault's ref; unlinked refs are omitted."""
        wanted = [ref for ref in refs if is_storable(ref)]
        if not wanted:
            return {}
        rows = await self._db.rows(_owners(self._db.tenant, provider.value, wanted), tx)
        return {CustomerRef(row.customer_ref): row.customer_id for row in rows}

    async def entry(self, customer_id: str, *, tx: Tx | None = None) -> DirectoryEntry | None:
        return (await self.entries([customer_id], tx=tx)).get(customer_id)

    async def entries(self, ids: Collection[str], *, tx: Tx | None = None) -> dict[str, DirectoryEntry]:
        """Customers with links, choice and nicknames, in one statement.

        A cache must discard an entry if a change of that customer was published during the read.
        """
        wanted = [customer_id for customer_id in ids if is_storable(customer_id)]
        if not wanted:
            return {}
        asked = _entries(self._db.tenant, wanted) if len(wanted) > 1 else _entry(self._db.tenant, wanted[0])
        return _to_entries(await self._db.rows(asked, tx))

    async def entry_at(
        self, provider: ProviderName, customer_ref: CustomerRef, *, tx: Tx | None = None
    ) -> DirectoryEntry | None:
        """The entry of the customer linked to this vault customer."""
        if not is_storable(customer_ref):
            return None
        rows = await self._db.rows(_entry_at(self._db.tenant, provider.value, customer_ref), tx)
        return next(iter(_to_entries(rows).values()), None)

    async def choice(self, customer_id: str, *, tx: Tx | None = None) -> ChoiceRecord | None:
        rows = await self._db.rows(_choice(self._db.tenant, customer_id), tx)
        return to_choice(rows[0]) if rows else None

    async def nicknames(self, customer_id: str, *, tx: Tx | None = None) -> dict[MethodAddress, str]:
        rows = await self._db.rows(_nicknames(self._db.tenant, customer_id), tx)
        return {to_address(row): row.nickname for row in rows}

    async def page_of_ids(self, after: str = "", *, limit: int = 1000) -> list[str]:
        """One page of the ids of all customers that are not erased, in order; empty at the end."""
        async with self._db.reading() as conn:
            return list((await conn.execute(*_page_of_ids(self._db.tenant, after, limit))).scalars())

    async def _customers(self, asked: Statement, values: Sequence[str], tx: Tx | None) -> list[CustomerRecord]:
        if not values or not all(is_storable(value) for value in values):
            return []
        return [to_customer(row) for row in await self._db.rows(asked, tx)]

    async def _links(self, conn: CancelSafeConnection, ids: Iterable[str]) -> dict[str, tuple[LinkRecord, ...]]:
        wanted = [customer_id for customer_id in ids if is_storable(customer_id)]
        found: dict[str, list[LinkRecord]] = {customer_id: [] for customer_id in ids}
        for row in await conn.execute(*_links(self._db.tenant, wanted)):
            found[row.customer_id].append(to_link(row))
        return {customer_id: tuple(records) for customer_id, records in found.items()}


@prepared
def _customers(tenant: Asked, ids: Asked) -> Select[Any]:
    return _of_tenant(customers, tenant).where(customers.c.id.in_(ids), customers.c.erased_at.is_(None))


@prepared
def _with_erased(tenant: Asked, ids: Asked) -> Select[Any]:
    return _of_tenant(customers, tenant).where(customers.c.id.in_(ids))


@prepared
def _by_external_id(tenant: Asked, external_id: Asked) -> Select[Any]:
    return _of_tenant(customers, tenant).where(customers.c.external_id == external_id, customers.c.erased_at.is_(None))


@prepared
def _page_of_ids(tenant: Asked, after: Asked, limit: Asked) -> Select[Any]:
    ours = select(customers.c.id).where(customers.c.tenant == tenant, customers.c.erased_at.is_(None))
    return ours.where(customers.c.id > after).order_by(customers.c.id).limit(limit)


@prepared
def _owners(tenant: Asked, provider: Asked, refs: Asked) -> Select[Any]:
    return _of_tenant(links, tenant).where(links.c.provider == provider, links.c.customer_ref.in_(refs))


@prepared
def _links(tenant: Asked, ids: Asked) -> Select[Any]:
    return _of_tenant(links, tenant).where(links.c.customer_id.in_(ids)).order_by(links.c.provider)


@prepared
def _choice(tenant: Asked, customer_id: Asked) -> Select[Any]:
    return _of_tenant(choices, tenant).where(choices.c.customer_id == customer_id)


@prepared
def _nicknames(tenant: Asked, customer_id: Asked) -> Select[Any]:
    return _of_tenant(nicknames, tenant).where(nicknames.c.customer_id == customer_id)


@prepared
def _entries(tenant: Asked, ids: Asked) -> Select[Any]:
    return _joined(tenant).where(customers.c.id.in_(ids))


@prepared
def _entry(tenant: Asked, customer_id: Asked) -> Select[Any]:
    """Like `_entries` for one id; saves expanding the IN list."""
    return _joined(tenant).where(customers.c.id == customer_id)


@prepared
def _entry_at(tenant: Asked, provider: Asked, customer_ref: Asked) -> Select[Any]:
    theirs = links.alias("theirs")
    there = theirs.c.tenant == tenant, theirs.c.provider == provider, theirs.c.customer_ref == customer_ref
    return _joined(tenant).where(customers.c.id == select(theirs.c.customer_id).where(*there).scalar_subquery())


def _joined(tenant: Asked) -> Select[Any]:
    """One row per link and nickname (outer joins); each row also holds the choice."""
    link = and_(links.c.tenant == customers.c.tenant, links.c.customer_id == customers.c.id)
    choice = and_(choices.c.tenant == customers.c.tenant, choices.c.customer_id == customers.c.id)
    there = (nicknames.c[name] == links.c[name] for name in ("tenant", "provider", "customer_ref", "customer_id"))
    columns = [
        *(links.c[name].label(f"link_{name}") for name in _LINK),
        *(choices.c[name].label(f"choice_{name}") for name in _CHOICE),
        nicknames.c.method_ref.label("named_ref"),
        nicknames.c.nickname,
    ]
    return (
        select(*customers.c, *columns)
        .select_from(customers.outerjoin(links, link).outerjoin(choices, choice).outerjoin(nicknames, and_(*there)))
        .where(customers.c.tenant == tenant, customers.c.erased_at.is_(None))
        .order_by(customers.c.id, links.c.provider)
    )


def _of_tenant(table: Table, tenant: Asked) -> Select[Any]:
    return select(table).where(table.c.tenant == tenant)


def _to_entries(rows: Sequence[Row[Any]]) -> dict[str, DirectoryEntry]:
    grouped: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        grouped[row.id].append(row)
    return {customer_id: _to_entry(its) for customer_id, its in grouped.items()}


def _to_entry(rows: Sequence[Row[Any]]) -> DirectoryEntry:
    linked = {row.link_provider: row for row in rows if row.link_provider is not None}
    same: dict[Any, Any] = {rows[0].id: rows[0].id}  # shares equal values: thousands of entries are cached
    return DirectoryEntry(
        customer=to_customer(rows[0]),
        links=tuple(_joined_link(row, same) for row in linked.values()),
        choice=_joined_choice(rows[0]) if rows[0].choice_provider is not None else None,
        nicknames={_joined_address(row): row.nickname for row in rows if row.nickname is not None},
    )


def to_customer(row: Row[Any]) -> CustomerRecord:
    return CustomerRecord(
        id=row.id,
        external_id=row.external_id,
        first_name=row.first_name,
        last_name=row.last_name,
        business_name=row.business_name,
        email=row.email,
        phone=row.phone,
        created_at=row.created_at,
        erased_at=row.erased_at,
    )


def to_link(row: Row[Any]) -> LinkRecord:
    return LinkRecord(
        customer_id=row.customer_id,
        provider=ProviderName(row.provider),
        customer_ref=CustomerRef(row.customer_ref),
        proof=LinkProof(row.proof),
        linked_at=row.linked_at,
        linked_by=row.linked_by,
    )


def to_choice(row: Row[Any]) -> ChoiceRecord:
    return ChoiceRecord(
        customer_id=row.customer_id,
        provider=ProviderName(row.provider),
        customer_ref=CustomerRef(row.customer_ref),
        method_ref=MethodRef(row.method_ref),
        allow_expired=row.allow_expired,
        set_at=row.set_at,
        set_by=row.set_by,
        is_kept=row.is_kept,
        missing_since=row.missing_since,
    )


def _joined_link(row: Row[Any], same: dict[Any, Any]) -> LinkRecord:
    return LinkRecord(
        customer_id=same.setdefault(row.id, row.id),
        provider=ProviderName(row.link_provider),
        customer_ref=CustomerRef(row.link_customer_ref),
        proof=LinkProof(row.link_proof),
        linked_at=same.setdefault(row.link_linked_at, row.link_linked_at),
        linked_by=same.setdefault(row.link_linked_by, row.link_linked_by),
    )


def _joined_choice(row: Row[Any]) -> ChoiceRecord:
    return ChoiceRecord(
        customer_id=row.id,
        provider=ProviderName(row.choice_provider),
        customer_ref=CustomerRef(row.choice_customer_ref),
        method_ref=MethodRef(row.choice_method_ref),
        allow_expired=row.choice_allow_expired,
        set_at=row.choice_set_at,
        set_by=row.choice_set_by,
        is_kept=row.choice_is_kept,
        missing_since=row.choice_missing_since,
    )


def _joined_address(row: Row[Any]) -> MethodAddress:
    return MethodAddress(ProviderName(row.link_provider), CustomerRef(row.link_customer_ref), MethodRef(row.named_ref))


def to_address(row: Row[Any]) -> MethodAddress:
    return MethodAddress(ProviderName(row.provider), CustomerRef(row.customer_ref), MethodRef(row.method_ref))
