"""Writes to the directory: customers, their vault links and default methods. Each is published to the change log."""

from collections.abc import Collection
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, delete, select, update

from app.store.database import Tx
from app.store.directory_reads import DirectoryReads, to_choice, to_customer, to_link
from app.store.errors import CustomerUnknown, ExternalIdTaken, LinkConflict
from app.store.prepared import Asked, Insert, prepared, replacing
from app.store.records import (
    ChoiceRecord,
    CustomerRecord,
    LinkConflictReason,
    LinkRecord,
    MethodAddress,
    Topic,
)
from app.store.tables import choices, client_grants, customers, link_conflicts, links, methods, nicknames
from app.store.text import storable
from app.store.ulids import CUSTOMER, new_id
from app.vault.enums import CustomerRef, LinkProof, ProviderName


class CustomerStore(DirectoryReads):
    """Writes lock the customer's row first, so changes of one customer are serialised."""

    async def create(
        self,
        *,
        external_id: str,
        first_name: str | None = None,
        last_name: str | None = None,
        business_name: str | None = None,
        email: str | None = None,
        phone: str | None = None,
        customer_id: str | None = None,
        tx: Tx | None = None,
    ) -> CustomerRecord:
        """Add a customer with a new `cus_` id, or with `customer_id` (demo data, imports).

        Raises ExternalIdTaken if another customer has the external id.
        """
        storable(external_id, first_name, last_name, business_name, email, phone, customer_id)
        record = CustomerRecord(
            id=customer_id or new_id(CUSTOMER),
            external_id=external_id,
            first_name=first_name,
            last_name=last_name,
            business_name=business_name,
            email=email,
            phone=phone,
            created_at=self._db.now(),
        )
        row = {name: getattr(record, name) for name in customers.c.keys() if name != "tenant"}  # noqa: SIM118
        async with self._db.writing(tx) as own:
            made = await own.conn.execute(_create(self._db.insert), {"tenant": self._db.tenant, **row})
            if made.first() is None:
                raise ExternalIdTaken(await self._holder(external_id, record.id, own))
            own.touch(Topic.CUSTOMER, record.id)
        return record

    async def _holder(self, external_id: str, customer_id: str, tx: Tx) -> str:
        by_external_id = await self.customer_by_external_id(external_id, tx=tx)
        return by_external_id.id if by_external_id else customer_id

    async def link(
        self,
        customer_id: str,
        provider: ProviderName,
        customer_ref: CustomerRef,
        *,
        proof: LinkProof,
        linked_by: str,
        tx: Tx | None = None,
    ) -> LinkRecord:
        """Link a vault's customer to one of the store. Idempotent: an existing link is returned unchanged.

        Raises CustomerUnknown, or LinkConflict with the reason and the id of the conflicting customer.
        """
        storable(customer_ref, linked_by)
        async with self._db.writing(tx) as own:
            await self._lock(customer_id, own)
            row = {
                "tenant": self._db.tenant,
                "customer_id": customer_id,
                "provider": provider.value,
                "customer_ref": customer_ref,
                "proof": proof.value,
                "linked_at": self._db.now(),
                "linked_by": linked_by,
            }
            made = (await own.conn.execute(_link(self._db.insert), row)).first()
            if made is None:
                return await self._same_link(customer_id, provider, customer_ref, own)
            await self._remove(link_conflicts, customer_id, link_conflicts.c.provider == provider.value, tx=own)
            own.touch(Topic.CUSTOMER, customer_id)
            return to_link(made)

    async def _same_link(
        self, customer_id: str, provider: ProviderName, customer_ref: CustomerRef, tx: Tx
    ) -> LinkRecord:
        owner = (await self.owners_of(provider, [customer_ref], tx=tx)).get(customer_ref)
        if owner not in (None, customer_id):
            raise LinkConflict(LinkConflictReason.REF_TAKEN, str(owner))
        for link in (await self.links_of([customer_id], tx=tx))[customer_id]:
            if link.provider == provider and link.customer_ref == customer_ref:
                return link
        raise LinkConflict(LinkConflictReason.CUSTOMER_LINKED, customer_id)

    async def unlink(self, customer_id: str, provider: ProviderName, *, tx: Tx | None = None) -> LinkRecord | None:
        """Remove the link and its data (choice, nicknames, observed methods); None if there is no link.

        Also removes the customer's row in `link_conflicts`.
        """
        async with self._db.writing(tx) as own:
            await self._lock(customer_id, own)
            await self._remove(link_conflicts, customer_id, link_conflicts.c.provider == provider.value, tx=own)
            removed = await self._remove(links, customer_id, links.c.provider == provider.value, tx=own)
            if not removed:
                return None
            for table in (choices, nicknames, methods):
                await self._remove(table, customer_id, table.c.provider == provider.value, tx=own)
            own.touch(Topic.CUSTOMER, customer_id)
            return to_link(removed[0])

    async def set_choice(
        self,
        customer_id: str,
        method: MethodAddress,
        *,
        set_by: str,
        allow_expired: bool = False,
        is_kept: bool = False,
        set_at: datetime | None = None,
        tx: Tx | None = None,
    ) -> None:
        """Store or replace the customer's default. Raises CustomerUnknown."""
        storable(method.method_ref, method.customer_ref, set_by)
        row = {
            "tenant": self._db.tenant,
            "customer_id": customer_id,
            **_address_row(method),
            "allow_expired": allow_expired,
            "set_at": set_at or self._db.now(),
            "set_by": set_by,
            "is_kept": is_kept,
            "missing_since": None,
        }
        async with self._db.writing(tx) as own:
            await self._lock(customer_id, own)
            await own.conn.execute(_put_choice(self._db.insert), row)
            own.touch(Topic.CUSTOMER, customer_id)

    async def locked_choice(self, customer_id: str, *, tx: Tx) -> ChoiceRecord | None:
        """The stored default, locked until `tx` ends. Raises CustomerUnknown."""
        await self._lock(customer_id, tx)
        return await self.choice(customer_id, tx=tx)

    async def mark_choice(self, customer_id: str, *, missing_since: datetime | None, tx: Tx) -> None:
        """Store since when the vault's lists lack the stored default; None if they contain it."""
        statement = update(choices).where(*self._of(choices, customer_id)).values(missing_since=missing_since)
        await tx.conn.execute(statement)
        tx.touch(Topic.CUSTOMER, customer_id)

    async def clear_choice(
        self, customer_id: str, *, only_if: MethodAddress | None = None, tx: Tx | None = None
    ) -> ChoiceRecord | None:
        """Delete the choice, with `only_if` only if it names that method; returns the deleted choice."""
        conditions: list[ColumnElement[bool]] = []
        if only_if is not None:
            conditions = [choices.c[name] == value for name, value in _address_row(only_if).items()]
        async with self._db.writing(tx) as own:
            removed = await self._remove(choices, customer_id, *conditions, tx=own)
            if not removed:
                return None
            own.touch(Topic.CUSTOMER, customer_id)
            return to_choice(removed[0])

    async def move_choice(
        self, customer_id: str, old: MethodAddress, new: MethodAddress, *, tx: Tx | None = None
    ) -> bool:
        """Move choice and nickname from `old` to `new`, its replacement at the vault. True if the choice moved."""
        storable(new.method_ref, new.customer_ref)
        async with self._db.writing(tx) as own:
            moved = False
            for table in (choices, nicknames):
                conditions = [table.c[name] == value for name, value in _address_row(old).items()]
                values = _address_row(new) | ({"missing_since": None} if table is choices else {})
                statement = update(table).where(*self._of(table, customer_id), *conditions).values(values)
                result = await own.conn.execute(statement)
                moved = moved or (table is choices and result.rowcount > 0)
            own.touch(Topic.CUSTOMER, customer_id)
            return moved

    async def set_nickname(
        self, customer_id: str, method: MethodAddress, nickname: str | None, *, tx: Tx | None = None
    ) -> None:
        """Set a method's nickname, or remove it with None. Raises CustomerUnknown."""
        storable(nickname, method.method_ref, method.customer_ref)
        address = _address_row(method)
        async with self._db.writing(tx) as own:
            await self._lock(customer_id, own)
            if nickname is None:
                conditions = [nicknames.c[name] == value for name, value in address.items()]
                await self._remove(nicknames, customer_id, *conditions, tx=own)
            else:
                row = {"tenant": self._db.tenant, **address, "customer_id": customer_id, "nickname": nickname}
                await own.conn.execute(_put_nickname(self._db.insert), row)
            own.touch(Topic.CUSTOMER, customer_id)

    async def erase(
        self, customer_id: str, *, keep_links: Collection[ProviderName] = (), tx: Tx | None = None
    ) -> CustomerRecord:
        """Delete names, choice, nicknames and links, except `keep_links`, with which erasure can be retried later.

        Without kept links the customer is erased: its external id can be reused and its id is no longer found.
        Idempotent. Raises CustomerUnknown. `Store.erase` also cleans journal and events.
        """
        kept = [provider.value for provider in keep_links]
        async with self._db.writing(tx) as own:
            record = await self._lock(customer_id, own, include_erased=True)
            if record.erased_at is not None:
                return record
            for table in (choices, nicknames, methods, link_conflicts):
                await self._remove(table, customer_id, tx=own)
            await self._remove(links, customer_id, links.c.provider.not_in(kept), tx=own)
            gone: dict[str, Any] = dict.fromkeys(("first_name", "last_name", "business_name", "email", "phone"))
            if not await self._has_links(customer_id, own):
                gone |= {"external_id": None, "erased_at": self._db.now()}
                await self._remove(client_grants, customer_id, tx=own)
            statement = update(customers).where(*self._row(customer_id)).values(gone).returning(*customers.c)
            row = (await own.conn.execute(statement)).one()
            own.touch(Topic.CUSTOMER, customer_id)
            return to_customer(row)

    async def _has_links(self, customer_id: str, tx: Tx) -> bool:
        query = select(links.c.provider).where(*self._of(links, customer_id)).limit(1)
        return (await tx.conn.execute(query)).first() is not None

    async def _lock(self, customer_id: str, tx: Tx, *, include_erased: bool = False) -> CustomerRecord:
        storable(customer_id)
        row = (await tx.conn.execute(*_lock(self._db.tenant, customer_id))).first()
        if row is None or (row.erased_at is not None and not include_erased):
            raise CustomerUnknown("no such customer")
        return to_customer(row)

    async def _remove(self, table: Table, customer_id: str, *conditions: ColumnElement[bool], tx: Tx) -> list[Any]:
        statement = delete(table).where(*self._of(table, customer_id), *conditions).returning(*table.c)
        return list(await tx.conn.execute(statement))

    def _row(self, customer_id: str) -> tuple[ColumnElement[bool], ...]:
        return customers.c.tenant == self._db.tenant, customers.c.id == customer_id

    def _of(self, table: Table, customer_id: str) -> tuple[ColumnElement[bool], ...]:
        return table.c.tenant == self._db.tenant, table.c.customer_id == customer_id


@cache
def _create(insert: Insert) -> Any:
    return insert(customers).on_conflict_do_nothing().returning(customers.c.id)


@cache
def _link(insert: Insert) -> Any:
    return insert(links).on_conflict_do_nothing().returning(*links.c)


@cache
def _put_choice(insert: Insert) -> Any:
    return replacing(insert(choices))


@cache
def _put_nickname(insert: Insert) -> Any:
    return replacing(insert(nicknames))


@prepared
def _lock(tenant: Asked, customer_id: Asked) -> Select[Any]:
    mine = customers.c.tenant == tenant, customers.c.id == customer_id
    return select(customers).where(*mine).with_for_update()


def _address_row(method: MethodAddress) -> dict[str, Any]:
    return {
        "provider": method.provider.value,
        "customer_ref": method.customer_ref,
        "method_ref": method.method_ref,
    }
