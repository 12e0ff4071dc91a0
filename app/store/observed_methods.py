"""Payment methods last observed at each vault: for webhooks, detection of external changes, and expiry events."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.outbox import Transaction
from app.store.records import ExpiryPosition, ObservedChanges, ObservedMethod, ObservedRecord, ObservedStatus
from app.store.statements import Query, Statement, values_of
from app.store.text import is_storable, storable
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, ProviderName


class _Link(NamedTuple):
    customer_id: str
    seen_at: datetime | None
    not_found_at: datetime | None


class _Listed(NamedTuple):
    """A link with one method of its stored list, or without any."""

    seen_at: datetime | None
    not_found_at: datetime | None
    method_ref: MethodRef | None
    etag: str | None


class _Etag(NamedTuple):
    method_ref: MethodRef
    etag: str


class _Unseen(NamedTuple):
    customer_ref: CustomerRef
    customer_id: str


_HERE: Final = "WHERE tenant = :tenant AND provider = :provider AND customer_ref = :customer_ref"
_LOCK_LINK: Final = Query(_Link, "SELECT {columns} FROM links {here} FOR UPDATE", here=_HERE)
_LINK_SEEN: Final = Statement("UPDATE links SET seen_at = :seen_at, not_found_at = NULL {here}", here=_HERE)
_LIST: Final = Query(
    _Listed,
    """
    SELECT links.seen_at, links.not_found_at, methods.method_ref, methods.etag FROM links LEFT JOIN methods
    ON methods.tenant = links.tenant AND methods.provider = links.provider
    AND methods.customer_ref = links.customer_ref
    WHERE links.tenant = :tenant AND links.provider = :provider AND links.customer_ref = :customer_ref
    """,
)
_ETAGS: Final = Query(_Etag, "SELECT {columns} FROM methods {here}", here=_HERE)
_PUT: Final = Statement(
    """
    INSERT INTO methods (
        tenant, provider, customer_ref, method_ref, customer_id, etag, status, expiry, seen_at, auth_status
    ) VALUES (
        :tenant, :provider, :customer_ref, :method_ref, :customer_id, :etag, :status, :expiry, :seen_at, :auth
    ) ON CONFLICT (tenant, provider, customer_ref, method_ref) DO UPDATE SET
        customer_id = excluded.customer_id, etag = excluded.etag, status = excluded.status,
        expiry = excluded.expiry, seen_at = excluded.seen_at
    """
)
_DROP: Final = Statement("DELETE FROM methods {here} AND method_ref IN :refs", here=_HERE)
_STATUS: Final = "SELECT customer_id, auth_status, auth_seen_at FROM methods {here} AND method_ref = :method_ref"
_GET_STATUS: Final = Query(ObservedStatus, _STATUS, here=_HERE)
_LOCK_STATUS: Final = Query(ObservedStatus, f"{_STATUS} FOR UPDATE", here=_HERE)
_PUT_STATUS: Final = Statement(
    "UPDATE methods SET auth_status = :status, auth_seen_at = :now {here} AND method_ref = :method_ref", here=_HERE
)
_UNSEEN: Final = Query(
    _Unseen,
    "SELECT {columns} FROM links WHERE tenant = :tenant AND provider = :provider AND seen_at IS NULL"
    " ORDER BY customer_ref LIMIT :limit",
)
_METHODS: Final = "SELECT {columns} FROM methods WHERE tenant = :tenant"
_ORDER: Final = "ORDER BY provider, customer_ref, method_ref"
_OWNERS: Final = Query(ObservedRecord, f"{_METHODS} AND provider = :provider AND method_ref IN :refs {_ORDER}")
_OF_CUSTOMER: Final = Query(ObservedRecord, f"{_METHODS} AND customer_id = :customer_id {_ORDER}")
_OF_CUSTOMERS: Final = Query(ObservedRecord, f"{_METHODS} AND customer_id IN :ids {_ORDER}")
_EXPIRING: Final = Query(
    ObservedRecord,
    f"{_METHODS} AND expiry BETWEEN :first_month AND :last_month AND status = 'ACTIVE'"
    f" AND (provider, customer_ref, method_ref) > (:provider, :customer_ref, :method_ref) {_ORDER} LIMIT :limit",
)

_NEXT_TO_EXPIRE: Final = (
    f"{_METHODS} AND status = 'ACTIVE' AND expiry < :before"
    " AND (expiry, provider, customer_ref, method_ref) > (:expiry, :provider, :customer_ref, :method_ref){among}"
    " ORDER BY expiry, provider, customer_ref, method_ref LIMIT :limit"
)
_NEXT_OF_ALL: Final = Query(ObservedRecord, _NEXT_TO_EXPIRE.replace("{among}", ""))
_NEXT_OF_SOME: Final = Query(ObservedRecord, _NEXT_TO_EXPIRE.replace("{among}", " AND customer_id IN :among"))


def note_list(
    tx: Transaction,
    provider: ProviderName,
    customer_ref: CustomerRef,
    found: Iterable[ObservedMethod],
    *,
    asked_at: datetime | None = None,
    is_settled: bool = False,
) -> ObservedChanges:
    """Store a complete list and return its differences from the last one, to one caller only.

    Writes nothing if there are none, unless `is_settled`: the list results from a write of the gateway, and later
    differences are other changes. A list requested (`asked_at`) before the last one was stored is ignored. Unlinked
    refs are not stored.
    """
    now = {method.method_ref: method for method in found}
    storable(customer_ref, *now)
    here: dict[str, Any] = {"provider": provider, "customer_ref": customer_ref}
    link = tx.one(_LOCK_LINK, **here)
    if link is None:
        return ObservedChanges((), (), (), is_first=True)
    before = {row.method_ref: row.etag for row in tx.all(_ETAGS, **here)}  # with the link locked
    added = tuple(ref for ref in now if ref not in before)
    changed = tuple(ref for ref in now if ref in before and before[ref] != now[ref].etag)
    removed = tuple(ref for ref in before if ref not in now)
    is_different = bool(added or changed or removed)
    if is_different and asked_at is not None and link.seen_at is not None and asked_at < link.seen_at:
        return ObservedChanges((), (), (), is_first=False, is_outdated=True)
    seen_at = tx.now()
    its = {**here, "customer_id": link.customer_id, "seen_at": seen_at}
    tx.execute_many(_PUT, [{**values_of(now[ref]), **its} for ref in (*added, *changed)])
    if removed:
        tx.execute(_DROP, **here, refs=list(removed))
    is_found_again = link.not_found_at is not None
    if is_different or link.seen_at is None or is_settled or is_found_again:
        tx.execute(_LINK_SEEN, **here, seen_at=asked_at if is_settled and asked_at is not None else seen_at)
    return ObservedChanges(
        added,
        changed,
        removed,
        is_first=link.seen_at is None,
        since=link.seen_at,
        is_found_again=is_found_again,
    )


def is_list_unchanged(
    db: Connection, provider: ProviderName, customer_ref: CustomerRef, found: Iterable[ObservedMethod]
) -> bool:
    """Whether a list equals the stored one. Takes no lock."""
    rows = db.all(_LIST, provider=provider, customer_ref=customer_ref)
    if not rows or rows[0].seen_at is None or rows[0].not_found_at is not None:
        return False
    remembered = {row.method_ref: row.etag for row in rows if row.method_ref is not None}
    return remembered == {one.method_ref: one.etag for one in found}


def observed_status(
    db: Connection, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef
) -> ObservedStatus | None:
    """A method's last observed 3-D Secure status; None for a method that was never listed."""
    return db.one(_GET_STATUS, provider=provider, customer_ref=customer_ref, method_ref=method_ref)


def lock_observed_status(
    tx: Transaction, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef
) -> ObservedStatus | None:
    """As `observed_status`, locked until `tx` ends."""
    return tx.one(_LOCK_STATUS, provider=provider, customer_ref=customer_ref, method_ref=method_ref)


def put_observed_status(
    tx: Transaction, provider: ProviderName, customer_ref: CustomerRef, method_ref: MethodRef, status: AuthStatus
) -> None:
    here = {"provider": provider, "customer_ref": customer_ref, "method_ref": method_ref}
    tx.execute(_PUT_STATUS, **here, status=status, now=tx.now())


def owners_of_methods(db: Connection, provider: ProviderName, method_refs: Iterable[MethodRef]) -> list[ObservedRecord]:
    """The owners of these methods. A ref can have several owners if the vault numbers methods per customer."""
    return db.all(_OWNERS, provider=provider, refs=[ref for ref in method_refs if is_storable(ref)])


def unseen_links(db: Connection, provider: ProviderName, *, limit: int) -> list[tuple[CustomerRef, str]]:
    """Linked customers whose list was never stored: (the vault's ref, customer id)."""
    return [(row.customer_ref, row.customer_id) for row in db.all(_UNSEEN, provider=provider, limit=limit)]


def observed_methods_of(db: Connection, customer_id: str) -> list[ObservedRecord]:
    return db.all(_OF_CUSTOMER, customer_id=customer_id)


def observed_methods_of_customers(db: Connection, ids: Collection[str]) -> list[ObservedRecord]:
    return db.all(_OF_CUSTOMERS, ids=list(ids))


def expiring_methods(
    db: Connection, first_month: str, last_month: str, *, after: ObservedRecord | None = None, limit: int = 500
) -> list[ObservedRecord]:
    """One page of ACTIVE methods with an expiry (``YYYY-MM``) from `first_month` to `last_month`, inclusive."""
    last = ("", "", "") if after is None else (after.provider, after.customer_ref, after.method_ref)
    provider, customer_ref, method_ref = last
    return db.all(
        _EXPIRING,
        first_month=first_month,
        last_month=last_month,
        provider=provider,
        customer_ref=customer_ref,
        method_ref=method_ref,
        limit=limit,
    )


def next_to_expire(
    db: Connection, after: ExpiryPosition, before: str, *, limit: int, among: Collection[str] | None = None
) -> list[ObservedRecord]:
    """ACTIVE methods after a position that expire before a month, the next ones first; with `among` only of these
    customers."""
    values = {**after._asdict(), "before": before, "limit": limit}
    if not is_storable("".join(after)):
        return []
    if among is None:
        return db.all(_NEXT_OF_ALL, **values)
    return db.all(_NEXT_OF_SOME, **values, among=list(among))


class ObservedMethods(Repository):
    is_unchanged = ReadMethod(is_list_unchanged)
    status = ReadMethod(observed_status)
    owners = ReadMethod(owners_of_methods)
    unseen_links = ReadMethod(unseen_links)
    of_customer = ReadMethod(observed_methods_of)
    of_customers = ReadMethod(observed_methods_of_customers)
    expiring = ReadMethod(expiring_methods)
    next_to_expire = ReadMethod(next_to_expire)
    note = WriteMethod(note_list)
