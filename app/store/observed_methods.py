"""Payment methods last observed at each vault: for webhooks, detection of external changes, and expiry events."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Row,
    Select,
    Table,
    Update,
    and_,
    delete,
    select,
    tuple_,
    update,
)

from app.store.database import Database, Tx
from app.store.prepared import Asked, Insert, Statement, prepared, replacing
from app.store.records import ObservedChanges, ObservedMethod, ObservedRecord, ObservedStatus
from app.store.tables import links, methods
from app.store.text import is_storable, storable
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, PaymentMethodStatus, ProviderName

_ORDER: Final = (methods.c.provider, methods.c.customer_ref, methods.c.method_ref)


class ObservedMethods:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def note(
        self,
        provider: ProviderName,
        customer_ref: CustomerRef,
        found: Iterable[ObservedMethod],
        *,
        asked_at: datetime | None = None,
        is_settled: bool = False,
        tx: Tx | None = None,
    ) -> ObservedChanges:
        """Store a complete list and return its differences from the last one, to one caller only.

        Writes nothing if there are none, unless `is_settled`: the list results from a write of the gateway, and later
        differences are other changes. A list requested (`asked_at`) before the last one was stored is ignored. Unlinked
        refs are not stored.
        """
        now = {method.method_ref: method for method in found}
        storable(customer_ref, *now)
        if tx is None and not is_settled and await self.is_unchanged(provider, customer_ref, now.values()):
            return ObservedChanges((), (), (), is_first=False)
        here = self._at(provider, customer_ref)
        async with self._db.writing(tx) as own:
            return await own.conn.run_sync(lambda raw: self._note(raw, here, now, asked_at, is_settled))

    def _note(
        self,
        raw: Connection,
        here: tuple[str, str, str],
        now: Mapping[MethodRef, ObservedMethod],
        asked_at: datetime | None,
        is_settled: bool,
    ) -> ObservedChanges:
        link = raw.execute(*_lock_link(*here)).first()
        if link is None:
            return ObservedChanges((), (), (), is_first=True)
        before = {MethodRef(row.method_ref): row.etag for row in raw.execute(*_etags(*here))}  # with the link locked
        added = tuple(ref for ref in now if ref not in before)
        changed = tuple(ref for ref in now if ref in before and before[ref] != now[ref].etag)
        removed = tuple(ref for ref in before if ref not in now)
        is_old = asked_at is not None and link.seen_at is not None and asked_at < link.seen_at
        if is_old and (added or changed or removed):
            return ObservedChanges((), (), (), is_first=False, is_outdated=True)
        if added or changed:
            rows = [self._row(here, link.customer_id, now[ref]) for ref in (*added, *changed)]
            raw.execute(_put(self._db.insert), rows)
        if removed:
            raw.execute(*_drop(*here, list(removed)))
        is_found_again = link.not_found_at is not None
        if added or changed or removed or link.seen_at is None or is_settled or is_found_again:
            at = asked_at if is_settled and asked_at is not None else self._db.now()
            raw.execute(*_link_seen(*here, seen_at=at, not_found_at=None))
        return ObservedChanges(
            added,
            changed,
            removed,
            is_first=link.seen_at is None,
            since=link.seen_at,
            is_found_again=is_found_again,
        )

    def _row(self, here: tuple[str, str, str], customer_id: str, method: ObservedMethod) -> dict[str, Any]:
        return {
            **dict(zip(("tenant", "provider", "customer_ref"), here, strict=True)),
            "method_ref": method.method_ref,
            "customer_id": customer_id,
            "etag": method.etag,
            "status": method.status.value,
            "expiry": method.expiry,
            "seen_at": self._db.now(),
            "auth_status": method.auth.value if method.auth else None,
        }

    async def status(
        self, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef, *, tx: Tx | None = None
    ) -> ObservedStatus | None:
        """A method's last observed 3-D Secure status; None for a method that was never listed."""
        asked = _status if tx is None else _lock_status
        async with self._db.reading(tx) as conn:
            row = (await conn.execute(*asked(*self._at(provider, customer_ref), method_ref))).first()
        if row is None:
            return None
        return ObservedStatus(
            row.customer_id, AuthStatus(row.auth_status) if row.auth_status else None, row.auth_seen_at
        )

    async def put_status(
        self, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef, status: AuthStatus, *, tx: Tx
    ) -> None:
        here = *self._at(provider, customer_ref), method_ref
        await tx.conn.execute(*_put_status(*here, auth_status=status.value, auth_seen_at=self._db.now()))

    async def owners(self, provider: ProviderName, method_refs: Iterable[MethodRef]) -> list[ObservedRecord]:
        """The owners of these methods. A ref can have several owners if the vault numbers methods per customer."""
        wanted = [ref for ref in method_refs if is_storable(ref)]
        return await self._read(_owners(self._db.tenant, provider.value, wanted))

    async def unseen_links(self, provider: ProviderName, *, limit: int) -> list[tuple[CustomerRef, str]]:
        """Linked customers whose list was never stored: (the vault's ref, customer id)."""
        async with self._db.reading() as conn:
            rows = await conn.execute(*_unseen_links(self._db.tenant, provider.value, limit))
        return [(CustomerRef(row.customer_ref), row.customer_id) for row in rows]

    async def of_customer(self, customer_id: str) -> list[ObservedRecord]:
        return await self._read(_of_customer(self._db.tenant, customer_id))

    async def expiring(
        self, first_month: str, last_month: str, *, after: ObservedRecord | None = None, limit: int = 500
    ) -> list[ObservedRecord]:
        """One page of ACTIVE methods with an expiry (``YYYY-MM``) from `first_month` to `last_month`, inclusive."""
        last = ("", "", "") if after is None else (after.provider.value, after.customer_ref, after.method_ref)
        return await self._read(_expiring(self._db.tenant, first_month, last_month, *last, limit))

    async def is_unchanged(
        self, provider: ProviderName, customer_ref: CustomerRef, found: Iterable[ObservedMethod]
    ) -> bool:
        """Whether a list equals the stored one. Takes no lock."""
        rows = await self._db.rows(_list(*self._at(provider, customer_ref)))
        if not rows or rows[0].seen_at is None or rows[0].not_found_at is not None:
            return False
        remembered = {row.method_ref: row.etag for row in rows if row.method_ref is not None}
        return remembered == {one.method_ref: one.etag for one in found}

    def _at(self, provider: ProviderName, customer_ref: CustomerRef) -> tuple[str, str, str]:
        return self._db.tenant, provider.value, customer_ref

    async def _read(self, asked: Statement) -> list[ObservedRecord]:
        return [_record(row) for row in await self._db.rows(asked)]


def _at(table: Table, tenant: Asked, provider: Asked, customer_ref: Asked) -> tuple[ColumnElement[bool], ...]:
    return table.c.tenant == tenant, table.c.provider == provider, table.c.customer_ref == customer_ref


@prepared
def _lock_link(tenant: Asked, provider: Asked, customer_ref: Asked) -> Select[Any]:
    here = _at(links, tenant, provider, customer_ref)
    return select(links.c.customer_id, links.c.seen_at, links.c.not_found_at).where(*here).with_for_update()


@prepared
def _link_seen(tenant: Asked, provider: Asked, customer_ref: Asked) -> Update:
    return update(links).where(*_at(links, tenant, provider, customer_ref))


@prepared
def _unseen_links(tenant: Asked, provider: Asked, limit: Asked) -> Select[Any]:
    unseen = links.c.tenant == tenant, links.c.provider == provider, links.c.seen_at.is_(None)
    query = select(links.c.customer_ref, links.c.customer_id).where(*unseen)
    return query.order_by(links.c.customer_ref).limit(limit)


@prepared
def _list(tenant: Asked, provider: Asked, customer_ref: Asked) -> Select[Any]:
    """One row per method (outer join); each row also holds when the list was last stored."""
    same = (getattr(methods.c, name) == getattr(links.c, name) for name in ("tenant", "provider", "customer_ref"))
    joined = links.outerjoin(methods, and_(*same))
    query = select(links.c.seen_at, links.c.not_found_at, methods.c.method_ref, methods.c.etag).select_from(joined)
    return query.where(*_at(links, tenant, provider, customer_ref))


@prepared
def _etags(tenant: Asked, provider: Asked, customer_ref: Asked) -> Select[Any]:
    return select(methods.c.method_ref, methods.c.etag).where(*_at(methods, tenant, provider, customer_ref))


@cache
def _put(insert: Insert) -> Any:
    return replacing(insert(methods), "auth_status", "auth_seen_at")


@prepared
def _drop(tenant: Asked, provider: Asked, customer_ref: Asked, refs: Asked) -> Delete:
    return delete(methods).where(*_at(methods, tenant, provider, customer_ref), methods.c.method_ref.in_(refs))


@prepared
def _status(tenant: Asked, provider: Asked, customer_ref: Asked, method_ref: Asked) -> Select[Any]:
    return _statuses(tenant, provider, customer_ref, method_ref)


@prepared
def _lock_status(tenant: Asked, provider: Asked, customer_ref: Asked, method_ref: Asked) -> Select[Any]:
    return _statuses(tenant, provider, customer_ref, method_ref).with_for_update()


def _statuses(tenant: Asked, provider: Asked, customer_ref: Asked, method_ref: Asked) -> Select[Any]:
    here = *_at(methods, tenant, provider, customer_ref), methods.c.method_ref == method_ref
    return select(methods.c.customer_id, methods.c.auth_status, methods.c.auth_seen_at).where(*here)


@prepared
def _put_status(tenant: Asked, provider: Asked, customer_ref: Asked, method_ref: Asked) -> Update:
    return update(methods).where(*_at(methods, tenant, provider, customer_ref), methods.c.method_ref == method_ref)


@prepared
def _owners(tenant: Asked, provider: Asked, refs: Asked) -> Select[Any]:
    return _of_tenant(tenant).where(methods.c.provider == provider, methods.c.method_ref.in_(refs))


@prepared
def _of_customer(tenant: Asked, customer_id: Asked) -> Select[Any]:
    return _of_tenant(tenant).where(methods.c.customer_id == customer_id)


@prepared
def _expiring(
    tenant: Asked, first: Asked, last: Asked, provider: Asked, customer_ref: Asked, method_ref: Asked, limit: Asked
) -> Select[Any]:
    is_later = tuple_(*_ORDER) > tuple_(provider, customer_ref, method_ref)
    is_active = methods.c.status == PaymentMethodStatus.ACTIVE.value
    return _of_tenant(tenant).where(methods.c.expiry.between(first, last), is_active, is_later).limit(limit)


def _of_tenant(tenant: Asked) -> Select[Any]:
    return select(methods).where(methods.c.tenant == tenant).order_by(*_ORDER)


def _record(row: Row[Any]) -> ObservedRecord:
    return ObservedRecord(
        customer_id=row.customer_id,
        provider=ProviderName(row.provider),
        customer_ref=CustomerRef(row.customer_ref),
        method_ref=MethodRef(row.method_ref),
        status=PaymentMethodStatus(row.status),
        expiry=row.expiry,
        seen_at=row.seen_at,
    )
