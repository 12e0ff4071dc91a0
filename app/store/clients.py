"""Partner apps: key hashes, scopes and granted customers."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, or_, select, update

from app.store.cancel_safe import CancelSafeConnection
from app.store.database import Database, Tx
from app.store.errors import ClientExists, ClientUnknown, CustomerUnknown
from app.store.records import ClientKey, ClientRecord, Topic
from app.store.tables import client_grants, client_keys, clients, customers
from app.store.text import is_storable, storable
from app.store.ulids import API_KEY, new_id


class Clients:
    """Every change is published under `Topic.CLIENT`, so that gateways invalidate their caches."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(
        self,
        name: str,
        *,
        key_hash: str,
        digest_key: str | None = None,
        scopes: Iterable[str],
        sees_all_customers: bool = False,
        tx: Tx | None = None,
    ) -> ClientRecord:
        """`digest_key` is the name of the key of `key_hash`. Raises ClientExists."""
        storable(name)
        row = {
            "tenant": self._db.tenant,
            "name": name,
            "scopes": sorted(set(scopes)),
            "sees_all_customers": sees_all_customers,
            "created_at": self._db.now(),
        }
        insert = self._db.insert(clients).values(row).on_conflict_do_nothing().returning(clients.c.name)
        async with self._db.writing(tx) as own:
            if (await own.conn.execute(insert)).first() is None:
                raise ClientExists("a client of this name exists")
            await self._add_key(name, key_hash, digest_key, own)
            own.touch(Topic.CLIENT, name)
            return await self._must_find(name, own)

    async def client(self, name: str, *, tx: Tx | None = None) -> ClientRecord | None:
        """The client, disabled or not, with its valid keys."""
        if not is_storable(name):
            return None
        found = await self._find(clients.c.name == name, tx=tx)
        return found[0] if found else None

    async def by_key_hash(self, key_hash: str) -> ClientRecord | None:
        """The owner of a valid key. Includes disabled clients: the caller must check `disabled_at`."""
        if not is_storable(key_hash):
            return None
        owner = select(client_keys.c.client).where(self._is_valid(), client_keys.c.key_hash == key_hash)
        found = await self._find(clients.c.name.in_(owner))
        return found[0] if found else None

    async def by_key_id(self, key_id: str) -> ClientRecord | None:
        """As `by_key_hash`."""
        if not is_storable(key_id):
            return None
        owner = select(client_keys.c.client).where(self._is_valid(), client_keys.c.id == key_id)
        found = await self._find(clients.c.name.in_(owner))
        return found[0] if found else None

    async def key_hashes(self, *, limit: int) -> frozenset[str]:
        """Hashes of all valid keys, including those of disabled clients; at most `limit`."""
        query = select(client_keys.c.key_hash).where(self._is_valid()).limit(limit)
        async with self._db.reading() as conn:
            return frozenset((await conn.execute(query)).scalars())

    async def all(self) -> list[ClientRecord]:
        return await self._find()

    async def rotate(
        self,
        name: str,
        key_hash: str,
        *,
        digest_key: str | None = None,
        old_until: datetime | None = None,
        tx: Tx | None = None,
    ) -> ClientRecord:
        """Add a key; the newest old key stays valid (until `old_until`, if given), all others are deleted.

        Raises ClientUnknown.
        """
        async with self._db.writing(tx) as own:
            record = await self._must_find(name, own, is_locked=True)
            newest = max(record.keys, key=lambda key: key.created_at, default=None)
            mine = and_(client_keys.c.tenant == self._db.tenant, client_keys.c.client == name)
            kept = newest.key_hash if newest else ""
            await own.conn.execute(delete(client_keys).where(mine, client_keys.c.key_hash != kept))
            await own.conn.execute(update(client_keys).where(mine).values(expires_at=old_until))
            await self._add_key(name, key_hash, digest_key, own)
            own.touch(Topic.CLIENT, name)
            return await self._must_find(name, own)

    async def revoke_key(self, name: str, key_id: str, *, tx: Tx | None = None) -> bool:
        """Delete one key; False if the client has no such key. Raises ClientUnknown."""
        its = client_keys.c.tenant == self._db.tenant, client_keys.c.client == name, client_keys.c.id == key_id
        async with self._db.writing(tx) as own:
            await self._must_find(name, own, is_locked=True)
            gone = (await own.conn.execute(delete(client_keys).where(*its))).rowcount
            own.touch(Topic.CLIENT, name)
            return bool(gone)

    async def used_keys(self, used: Mapping[str, datetime]) -> None:
        """Store when keys, by id, were last used. Not published: nothing else depends on it."""
        async with self._db.writing() as tx:
            for key_id, at in sorted(used.items()):
                its = client_keys.c.tenant == self._db.tenant, client_keys.c.id == key_id
                await tx.conn.execute(update(client_keys).where(*its).values(last_used_at=at))

    async def replace_key_hash(self, key_id: str, key_hash: str, digest_key: str) -> None:
        """Store the hash of the same key under another digest key. A missing key is ignored."""
        its = client_keys.c.tenant == self._db.tenant, client_keys.c.id == key_id
        values = {"key_hash": key_hash, "digest_key": digest_key}
        changed = update(client_keys).where(*its).values(values).returning(client_keys.c.client)
        async with self._db.writing() as tx:
            row = (await tx.conn.execute(changed)).first()
            if row is not None:
                tx.touch(Topic.CLIENT, row.client)

    async def change(
        self,
        name: str,
        *,
        scopes: Iterable[str] | None = None,
        sees_all_customers: bool | None = None,
        tx: Tx | None = None,
    ) -> ClientRecord:
        """Raises ClientUnknown."""
        values: dict[str, Any] = {}
        if scopes is not None:
            values["scopes"] = sorted(set(scopes))
        if sees_all_customers is not None:
            values["sees_all_customers"] = sees_all_customers
        return await self._update(name, values, tx)

    async def disable(self, name: str, *, tx: Tx | None = None) -> ClientRecord:
        """Reject its keys from now on. Raises ClientUnknown."""
        return await self._update(name, {"disabled_at": self._db.now()}, tx)

    async def enable(self, name: str, *, tx: Tx | None = None) -> ClientRecord:
        return await self._update(name, {"disabled_at": None}, tx)

    async def grant(self, name: str, customer_ids: Iterable[str], *, tx: Tx | None = None) -> None:
        """Grant access to these customers. Raises ClientUnknown, or CustomerUnknown without granting any."""
        wanted = set(customer_ids)
        storable(*wanted)
        async with self._db.writing(tx) as own:
            await self._must_find(name, own, is_locked=True)
            known = select(customers.c.id).where(
                customers.c.tenant == self._db.tenant, customers.c.id.in_(wanted), customers.c.erased_at.is_(None)
            )
            if len((await own.conn.execute(known)).all()) != len(wanted):
                raise CustomerUnknown("no such customer")
            if wanted:
                now = self._db.now()
                key = {"tenant": self._db.tenant, "client": name, "granted_at": now}
                rows = [{**key, "customer_id": customer_id} for customer_id in sorted(wanted)]
                await own.conn.execute(self._db.insert(client_grants).on_conflict_do_nothing(), rows)
            own.touch(Topic.CLIENT, name)

    async def revoke(self, name: str, customer_ids: Collection[str], *, tx: Tx | None = None) -> int:
        """Revoke grants; returns their number."""
        statement = delete(client_grants).where(
            *self._grants(name), client_grants.c.customer_id.in_(list(customer_ids))
        )
        async with self._db.writing(tx) as own:
            gone = (await own.conn.execute(statement)).rowcount
            own.touch(Topic.CLIENT, name)
            return gone

    async def granted(self, name: str, customer_ids: Collection[str]) -> set[str]:
        """Those of `customer_ids` that are granted to the client."""
        wanted = [customer_id for customer_id in customer_ids if is_storable(customer_id)]
        query = select(client_grants.c.customer_id).where(*self._grants(name), client_grants.c.customer_id.in_(wanted))
        async with self._db.reading() as conn:
            return set((await conn.execute(query)).scalars())

    async def grants(self, name: str, *, after: str = "", limit: int = 1000) -> list[str]:
        """One page of the granted customer ids, in order."""
        query = select(client_grants.c.customer_id).where(*self._grants(name), client_grants.c.customer_id > after)
        async with self._db.reading() as conn:
            return list((await conn.execute(query.order_by(client_grants.c.customer_id).limit(limit))).scalars())

    async def _update(self, name: str, values: dict[str, Any], tx: Tx | None = None) -> ClientRecord:
        async with self._db.writing(tx) as own:
            await self._must_find(name, own, is_locked=True)
            if values:
                await own.conn.execute(update(clients).where(self._is(name)).values(values))
            own.touch(Topic.CLIENT, name)
            return await self._must_find(name, own)

    async def _add_key(self, name: str, key_hash: str, digest_key: str | None, tx: Tx) -> None:
        row = {
            "tenant": self._db.tenant,
            "client": name,
            "id": new_id(API_KEY),
            "key_hash": key_hash,
            "digest_key": digest_key,
            "created_at": self._db.now(),
        }
        await tx.conn.execute(self._db.insert(client_keys).values(row))

    async def _must_find(self, name: str, tx: Tx, *, is_locked: bool = False) -> ClientRecord:
        if is_locked:
            await tx.conn.execute(select(clients.c.name).where(self._is(name)).with_for_update())
        record = await self.client(name, tx=tx)
        if record is None:
            raise ClientUnknown("no such client")
        return record

    async def _find(self, *conditions: ColumnElement[bool], tx: Tx | None = None) -> list[ClientRecord]:
        query = select(clients).where(clients.c.tenant == self._db.tenant, *conditions).order_by(clients.c.name)
        async with self._db.reading(tx) as conn:
            rows = (await conn.execute(query)).all()
            keys = await self._keys(conn, [row.name for row in rows])
        return [_record(row, keys.get(row.name, [])) for row in rows]

    async def _keys(self, conn: CancelSafeConnection, names: list[str]) -> dict[str, list[ClientKey]]:
        query = select(client_keys).where(self._is_valid(), client_keys.c.client.in_(names))
        found: dict[str, list[ClientKey]] = {}
        for row in await conn.execute(query.order_by(client_keys.c.created_at, client_keys.c.key_hash)):
            found.setdefault(row.client, []).append(_key(row))
        return found

    def _is(self, name: str) -> ColumnElement[bool]:
        return and_(clients.c.tenant == self._db.tenant, clients.c.name == name)

    def _is_valid(self) -> ColumnElement[bool]:
        still = or_(client_keys.c.expires_at.is_(None), client_keys.c.expires_at > self._db.now())
        return and_(client_keys.c.tenant == self._db.tenant, still)

    def _grants(self, name: str) -> tuple[ColumnElement[bool], ...]:
        return client_grants.c.tenant == self._db.tenant, client_grants.c.client == name


def _key(row: Row[Any]) -> ClientKey:
    return ClientKey(
        id=row.id,
        key_hash=row.key_hash,
        digest_key=row.digest_key,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )


def _record(row: Row[Any], keys: list[ClientKey]) -> ClientRecord:
    return ClientRecord(
        name=row.name,
        scopes=frozenset(row.scopes),
        sees_all_customers=row.sees_all_customers,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        keys=tuple(keys),
    )
