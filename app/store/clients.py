"""Partner apps: key hashes, scopes and granted customers."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.endpoints import resume_endpoints
from app.store.errors import ClientExists, ClientUnknown, CustomerUnknown
from app.store.outbox import Transaction
from app.store.records import ClientKey, ClientRecord, Topic
from app.store.statements import Json, Query, Statement
from app.store.text import is_storable, storable
from app.store.ulids import API_KEY, new_id


class _Row(NamedTuple):
    """A client with one of its valid keys, or without any."""

    client: ClientRecord
    key: ClientKey | None


_ADD: Final = Query(
    str,
    "INSERT INTO clients (tenant, name, scopes, sees_all_customers, created_at)"
    " VALUES (:tenant, :name, :scopes, :sees_all, :now) ON CONFLICT DO NOTHING RETURNING name",
)
_ADD_KEY: Final = Statement(
    "INSERT INTO client_keys (tenant, client, id, key_hash, digest_key, created_at)"
    " VALUES (:tenant, :name, :id, :key_hash, :digest_key, :now)"
)
_CLIENTS: Final = """
    SELECT {client}, {key}
    FROM clients AS client LEFT JOIN client_keys AS key
    ON key.tenant = client.tenant AND key.client = client.name AND (key.expires_at IS NULL OR key.expires_at > :now)
    WHERE client.tenant = :tenant
"""
_ORDER: Final = "ORDER BY client.name, key.created_at, key.key_hash"
_ALL: Final = Query(_Row, f"{_CLIENTS} {_ORDER}")
_BY_NAME: Final = Query(_Row, f"{_CLIENTS} AND client.name = :name {_ORDER}")
_IS_OWNER: Final = """
    AND client.name IN (
        SELECT owner.client FROM client_keys AS owner
        WHERE owner.tenant = :tenant AND {key} AND (owner.expires_at IS NULL OR owner.expires_at > :now)
    )
"""
_BY_KEY_HASH: Final = Query(_Row, f"{_CLIENTS} {_IS_OWNER.format(key='owner.key_hash = :key_hash')} {_ORDER}")
_BY_KEY_ID: Final = Query(_Row, f"{_CLIENTS} {_IS_OWNER.format(key='owner.id = :key_id')} {_ORDER}")
_KEY_HASHES: Final = Query(
    str,
    "SELECT key_hash FROM client_keys WHERE tenant = :tenant AND (expires_at IS NULL OR expires_at > :now)"
    " LIMIT :limit",
)
_LOCK: Final = Query(str, "SELECT name FROM clients WHERE tenant = :tenant AND name = :name FOR UPDATE")
_DROP_KEYS: Final = Statement("DELETE FROM client_keys WHERE tenant = :tenant AND client = :name AND key_hash <> :kept")
_END_KEYS: Final = Statement("UPDATE client_keys SET expires_at = :until WHERE tenant = :tenant AND client = :name")
_REVOKE_KEY: Final = Statement("DELETE FROM client_keys WHERE tenant = :tenant AND client = :name AND id = :id")
_KEY_USED: Final = Statement("UPDATE client_keys SET last_used_at = :at WHERE tenant = :tenant AND id = :id")
_REPLACE_KEY_HASH: Final = Query(
    str,
    "UPDATE client_keys SET key_hash = :key_hash, digest_key = :digest_key"
    " WHERE tenant = :tenant AND id = :id RETURNING client",
)
_SET_SCOPES: Final = Statement("UPDATE clients SET scopes = :scopes WHERE tenant = :tenant AND name = :name")
_SET_SIGHT: Final = Statement(
    "UPDATE clients SET sees_all_customers = :sees_all WHERE tenant = :tenant AND name = :name"
)
_DISABLE: Final = Statement("UPDATE clients SET disabled_at = :at WHERE tenant = :tenant AND name = :name")
_KNOWN_CUSTOMERS: Final = Query(
    str, "SELECT id FROM customers WHERE tenant = :tenant AND id IN :ids AND erased_at IS NULL"
)
_GRANT: Final = Statement(
    "INSERT INTO client_grants (tenant, client, customer_id, granted_at)"
    " VALUES (:tenant, :name, :customer_id, :now) ON CONFLICT DO NOTHING"
)
_REVOKE: Final = Statement(
    "DELETE FROM client_grants WHERE tenant = :tenant AND client = :name AND customer_id IN :ids"
)
_GRANTED: Final = Query(
    str,
    "SELECT customer_id FROM client_grants WHERE tenant = :tenant AND client = :name AND customer_id IN :ids",
)
_GRANTS: Final = Query(
    str,
    "SELECT customer_id FROM client_grants WHERE tenant = :tenant AND client = :name AND customer_id > :after"
    " ORDER BY customer_id LIMIT :limit",
)


def add_client(
    tx: Transaction,
    name: str,
    *,
    key_hash: str,
    digest_key: str | None = None,
    scopes: Iterable[str],
    sees_all_customers: bool = False,
) -> ClientRecord:
    """`digest_key` is the name of the key of `key_hash`. Raises ClientExists."""
    storable(name)
    wanted = Json(sorted(set(scopes)))
    if tx.one(_ADD, name=name, scopes=wanted, sees_all=sees_all_customers, now=tx.now()) is None:
        raise ClientExists("a client of this name exists")
    _add_key(tx, name, key_hash, digest_key)
    return _changed(tx, name)


def find_client(db: Connection, name: str) -> ClientRecord | None:
    """The client, disabled or not, with its valid keys."""
    found = _clients(db.all(_BY_NAME, name=name, now=db.now())) if is_storable(name) else []
    return found[0] if found else None


def client_by_key_hash(db: Connection, key_hash: str) -> ClientRecord | None:
    """The owner of a valid key. Includes disabled clients: the caller must check `disabled_at`."""
    found = _clients(db.all(_BY_KEY_HASH, key_hash=key_hash, now=db.now())) if is_storable(key_hash) else []
    return found[0] if found else None


def client_by_key_id(db: Connection, key_id: str) -> ClientRecord | None:
    found = _clients(db.all(_BY_KEY_ID, key_id=key_id, now=db.now())) if is_storable(key_id) else []
    return found[0] if found else None


def valid_key_hashes(db: Connection, *, limit: int) -> frozenset[str]:
    """Hashes of all valid keys, including those of disabled clients; at most `limit`."""
    return frozenset(db.all(_KEY_HASHES, limit=limit, now=db.now()))


def all_clients(db: Connection) -> list[ClientRecord]:
    return _clients(db.all(_ALL, now=db.now()))


def rotate_key(
    tx: Transaction,
    name: str,
    key_hash: str,
    *,
    digest_key: str | None = None,
    old_until: datetime | None = None,
) -> ClientRecord:
    """Add a key; the newest old key stays valid (until `old_until`, if given), all others are deleted.

    Raises ClientUnknown.
    """
    record = _lock(tx, name)
    newest = max(record.keys, key=lambda key: key.created_at, default=None)
    tx.execute(_DROP_KEYS, name=name, kept=newest.key_hash if newest else "")
    tx.execute(_END_KEYS, name=name, until=old_until)
    _add_key(tx, name, key_hash, digest_key)
    return _changed(tx, name)


def revoke_client_key(tx: Transaction, name: str, key_id: str) -> bool:
    """Delete one key; False if the client has no such key. Raises ClientUnknown."""
    _lock(tx, name)
    gone = tx.count(_REVOKE_KEY, name=name, id=key_id)
    tx.touch(Topic.CLIENT, name)
    return bool(gone)


def save_key_uses(tx: Transaction, used: Mapping[str, datetime]) -> None:
    """Store when keys, by id, were last used. Not published: nothing else depends on it."""
    tx.execute_many(_KEY_USED, [{"id": key_id, "at": at} for key_id, at in sorted(used.items())])


def replace_client_key_hash(tx: Transaction, key_id: str, key_hash: str, digest_key: str) -> None:
    """Store the hash of the same key under another digest key. A missing key is ignored."""
    client = tx.one(_REPLACE_KEY_HASH, id=key_id, key_hash=key_hash, digest_key=digest_key)
    if client is not None:
        tx.touch(Topic.CLIENT, client)


def change_client(
    tx: Transaction, name: str, *, scopes: Iterable[str] | None = None, sees_all_customers: bool | None = None
) -> ClientRecord:
    """Raises ClientUnknown."""
    _lock(tx, name)
    if scopes is not None:
        tx.execute(_SET_SCOPES, name=name, scopes=Json(sorted(set(scopes))))
    if sees_all_customers is not None:
        tx.execute(_SET_SIGHT, name=name, sees_all=sees_all_customers)
    return _changed(tx, name)


def enable_client(tx: Transaction, name: str, *, is_enabled: bool = True) -> ClientRecord:
    """Accept its keys, or reject them from now on. Raises ClientUnknown."""
    if _lock(tx, name).disabled_at is not None and is_enabled:
        resume_endpoints(tx, name)
    tx.execute(_DISABLE, name=name, at=None if is_enabled else tx.now())
    return _changed(tx, name)


def grant_customers(tx: Transaction, name: str, customer_ids: Iterable[str]) -> None:
    """Grant access to these customers. Raises ClientUnknown, or CustomerUnknown without granting any."""
    wanted = sorted(set(customer_ids))
    storable(*wanted)
    _lock(tx, name)
    if len(tx.all(_KNOWN_CUSTOMERS, ids=wanted)) != len(wanted):
        raise CustomerUnknown("no such customer")
    now = tx.now()
    tx.execute_many(_GRANT, [{"name": name, "customer_id": customer_id, "now": now} for customer_id in wanted])
    tx.touch(Topic.CLIENT, name)


def revoke_customers(tx: Transaction, name: str, customer_ids: Collection[str]) -> int:
    """Revoke grants; returns their number."""
    gone = tx.count(_REVOKE, name=name, ids=list(customer_ids))
    tx.touch(Topic.CLIENT, name)
    return gone


def granted_customers(db: Connection, name: str, customer_ids: Collection[str]) -> set[str]:
    """Those of `customer_ids` that are granted to the client."""
    wanted = [customer_id for customer_id in customer_ids if is_storable(customer_id)]
    return set(db.all(_GRANTED, name=name, ids=wanted))


def grants_of_client(db: Connection, name: str, *, after: str = "", limit: int = 1000) -> list[str]:
    """One page of the granted customer ids, in order."""
    return db.all(_GRANTS, name=name, after=after, limit=limit)


def _add_key(tx: Transaction, name: str, key_hash: str, digest_key: str | None) -> None:
    tx.execute(_ADD_KEY, name=name, id=new_id(API_KEY), key_hash=key_hash, digest_key=digest_key, now=tx.now())


def _lock(tx: Transaction, name: str) -> ClientRecord:
    if is_storable(name):
        tx.one(_LOCK, name=name)
    return _must_find(tx, name)


def _changed(tx: Transaction, name: str) -> ClientRecord:
    tx.touch(Topic.CLIENT, name)
    return _must_find(tx, name)


def _must_find(tx: Transaction, name: str) -> ClientRecord:
    record = find_client(tx, name)
    if record is None:
        raise ClientUnknown("no such client")
    return record


def _clients(rows: Iterable[_Row]) -> list[ClientRecord]:
    grouped: dict[str, list[_Row]] = {}
    for row in rows:
        grouped.setdefault(row.client.name, []).append(row)
    return [
        replace(its[0].client, keys=tuple(row.key for row in its if row.key is not None)) for its in grouped.values()
    ]


class Clients(Repository):
    """Every change is published under `Topic.CLIENT`, so that gateways invalidate their caches."""

    add = WriteMethod(add_client)
    client = ReadMethod(find_client)
    by_key_hash = ReadMethod(client_by_key_hash)
    by_key_id = ReadMethod(client_by_key_id)
    key_hashes = ReadMethod(valid_key_hashes)
    all = ReadMethod(all_clients)
    rotate = WriteMethod(rotate_key)
    revoke_key = WriteMethod(revoke_client_key)
    used_keys = WriteMethod(save_key_uses)
    replace_key_hash = WriteMethod(replace_client_key_hash)
    change = WriteMethod(change_client)
    enable = WriteMethod(enable_client)
    grant = WriteMethod(grant_customers)
    revoke = WriteMethod(revoke_customers)
    granted = ReadMethod(granted_customers)
    grants = ReadMethod(grants_of_client)
