"""What each vault was last seen to hold: whose a notified method is, what changed behind our back, what expires."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, select, tuple_, update

from app.store.database import Database, Tx
from app.store.records import SeenChanges, SeenMethod, SeenRecord, SeenStatus
from app.store.tables import links, methods
from app.store.text import is_storable, storable
from app.vault.names import AuthStatus, CustomerRef, MethodRef, PaymentMethodStatus, ProviderName


class Seen:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def note(
        self,
        provider: ProviderName,
        customer_ref: CustomerRef,
        found: Iterable[SeenMethod],
        *,
        asked_at: datetime | None = None,
        is_settled: bool = False,
        tx: Tx | None = None,
    ) -> SeenChanges:
        """Remember a complete list and answer what differs from the last one, to one caller only.

        Nothing is written when nothing differs, unless `is_settled`: this is what a write of ours led to, and whatever
        differs from now on is another change. A list asked for before the last one was remembered is left alone. A ref
        that nobody is linked to is not remembered.
        """
        now = {method.method_ref: method for method in found}
        storable(customer_ref, *now)
        if tx is None and not is_settled and await self.is_unchanged(provider, customer_ref, now.values()):
            return SeenChanges((), (), (), is_first=False)
        async with self._db.writing(tx) as own:
            link = (await own.conn.execute(self._link(provider, customer_ref).with_for_update())).first()
            if link is None:
                return SeenChanges((), (), (), is_first=True)
            before = await self._etags(provider, customer_ref, own)
            added = tuple(ref for ref in now if ref not in before)
            changed = tuple(ref for ref in now if ref in before and before[ref] != now[ref].etag)
            removed = tuple(ref for ref in before if ref not in now)
            is_old = asked_at is not None and link.seen_at is not None and asked_at < link.seen_at
            if is_old and (added or changed or removed):
                return SeenChanges((), (), (), is_first=False, is_outdated=True)
            await self._put(link.customer_id, provider, customer_ref, [now[ref] for ref in (*added, *changed)], own)
            await self._drop(provider, customer_ref, removed, own)
            if added or changed or removed or link.seen_at is None or is_settled:
                here = self._at(links, provider, customer_ref)
                at = asked_at if is_settled and asked_at is not None else self._db.now()
                await own.conn.execute(update(links).where(*here).values(seen_at=at))
            return SeenChanges(added, changed, removed, is_first=link.seen_at is None, since=link.seen_at)

    async def status(
        self, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef, *, tx: Tx | None = None
    ) -> SeenStatus | None:
        """A method's 3-D Secure status as last seen; None for a method that no list had."""
        here = [*self._at(methods, provider, customer_ref), methods.c.method_ref == method_ref]
        query = select(methods.c.customer_id, methods.c.auth_status, methods.c.auth_seen_at).where(*here)
        async with self._db.reading(tx) as conn:
            row = (await conn.execute(query.with_for_update() if tx is not None else query)).first()
        if row is None:
            return None
        return SeenStatus(row.customer_id, AuthStatus(row.auth_status) if row.auth_status else None, row.auth_seen_at)

    async def put_status(
        self, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef, status: AuthStatus, *, tx: Tx
    ) -> None:
        here = [*self._at(methods, provider, customer_ref), methods.c.method_ref == method_ref]
        values = {"auth_status": status.value, "auth_seen_at": self._db.now()}
        await tx.conn.execute(update(methods).where(*here).values(**values))

    async def owners(self, provider: ProviderName, method_refs: Iterable[MethodRef]) -> list[SeenRecord]:
        """Who holds these methods. A ref may be several customers' where the vault numbers them per customer."""
        wanted = [ref for ref in method_refs if is_storable(ref)]
        return await self._read(methods.c.provider == provider.value, methods.c.method_ref.in_(wanted))

    async def unseen_links(self, provider: ProviderName, *, limit: int) -> list[tuple[CustomerRef, str]]:
        """Linked customers whose list was never noted: (the vault's ref, our id)."""
        query = (
            select(links.c.customer_ref, links.c.customer_id)
            .where(links.c.tenant == self._db.tenant, links.c.provider == provider.value, links.c.seen_at.is_(None))
            .order_by(links.c.customer_ref)
            .limit(limit)
        )
        async with self._db.reading() as conn:
            return [(CustomerRef(row.customer_ref), row.customer_id) for row in await conn.execute(query)]

    async def of_customer(self, customer_id: str) -> list[SeenRecord]:
        return await self._read(methods.c.customer_id == customer_id)

    async def expiring(
        self, first_month: str, last_month: str, *, after: SeenRecord | None = None, limit: int = 500
    ) -> list[SeenRecord]:
        """ACTIVE methods whose expiry (``YYYY-MM``) lies within, both ends included, page by page."""
        conditions = [
            methods.c.expiry.between(first_month, last_month),
            methods.c.status == PaymentMethodStatus.ACTIVE.value,
        ]
        key = tuple_(methods.c.provider, methods.c.customer_ref, methods.c.method_ref)
        if after is not None:
            conditions.append(key > tuple_(after.provider.value, after.customer_ref, after.method_ref))
        return await self._read(*conditions, limit=limit)

    async def is_unchanged(
        self, provider: ProviderName, customer_ref: CustomerRef, found: Iterable[SeenMethod]
    ) -> bool:
        """Whether a list is the one remembered: without a write, and without keeping anybody waiting."""
        async with self._db.reading() as conn:
            link = (await conn.execute(self._link(provider, customer_ref))).first()
        if link is None or link.seen_at is None:
            return False
        return await self._etags(provider, customer_ref) == {one.method_ref: one.etag for one in found}

    def _link(self, provider: ProviderName, customer_ref: CustomerRef) -> Any:
        return select(links.c.customer_id, links.c.seen_at).where(*self._at(links, provider, customer_ref))

    async def _etags(
        self, provider: ProviderName, customer_ref: CustomerRef, tx: Tx | None = None
    ) -> dict[MethodRef, str]:
        query = select(methods.c.method_ref, methods.c.etag).where(*self._at(methods, provider, customer_ref))
        async with self._db.reading(tx) as conn:
            return {MethodRef(row.method_ref): row.etag for row in await conn.execute(query)}

    async def _put(
        self,
        customer_id: str,
        provider: ProviderName,
        customer_ref: CustomerRef,
        found: list[SeenMethod],
        tx: Tx,
    ) -> None:
        if not found:
            return
        key = {"tenant": self._db.tenant, "provider": provider.value, "customer_ref": customer_ref}
        rows = [
            {
                **key,
                "method_ref": method.method_ref,
                "customer_id": customer_id,
                "etag": method.etag,
                "status": method.status.value,
                "expiry": method.expiry,
                "seen_at": self._db.now(),
                "auth_status": method.auth.value if method.auth else None,
            }
            for method in found
        ]
        insert = self._db.insert(methods)
        replaced = {name: insert.excluded[name] for name in ("customer_id", "etag", "status", "expiry", "seen_at")}
        await tx.conn.execute(insert.on_conflict_do_update(index_elements=[*key, "method_ref"], set_=replaced), rows)

    async def _drop(
        self, provider: ProviderName, customer_ref: CustomerRef, refs: tuple[MethodRef, ...], tx: Tx
    ) -> None:
        if refs:
            here = self._at(methods, provider, customer_ref)
            await tx.conn.execute(delete(methods).where(*here, methods.c.method_ref.in_(refs)))

    def _at(self, table: Any, provider: ProviderName, customer_ref: CustomerRef) -> list[ColumnElement[bool]]:
        return [
            table.c.tenant == self._db.tenant,
            table.c.provider == provider.value,
            table.c.customer_ref == customer_ref,
        ]

    async def _read(self, *conditions: ColumnElement[bool], limit: int | None = None) -> list[SeenRecord]:
        order = (methods.c.provider, methods.c.customer_ref, methods.c.method_ref)
        query = select(methods).where(methods.c.tenant == self._db.tenant, *conditions).order_by(*order).limit(limit)
        async with self._db.reading() as conn:
            return [_record(row) for row in await conn.execute(query)]


def _record(row: Row[Any]) -> SeenRecord:
    return SeenRecord(
        customer_id=row.customer_id,
        provider=ProviderName(row.provider),
        customer_ref=CustomerRef(row.customer_ref),
        method_ref=MethodRef(row.method_ref),
        status=PaymentMethodStatus(row.status),
        expiry=row.expiry,
        seen_at=row.seen_at,
    )
