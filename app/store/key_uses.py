"""The gateway's own keys: since when each is configured, when old ones were last used, and how many rows need them."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, or_, select

from app.store.database import Database
from app.store.records import KeyUse
from app.store.tables import client_keys, key_uses, operations


class KeyUses:
    """Keys by purpose and name. The names are short hashes, see `app.wallet.keys.key_name`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def know(self, purpose: str, names: Collection[str]) -> None:
        """Record since when these keys are configured."""
        now = self._db.now()
        rows = [{"tenant": self._db.tenant, "purpose": purpose, "name": name, "known_since": now} for name in names]
        async with self._db.writing() as tx:
            await tx.conn.execute(self._db.insert(key_uses).on_conflict_do_nothing(), rows)

    async def used(self, purpose: str, name: str, at: datetime) -> None:
        row = {"tenant": self._db.tenant, "purpose": purpose, "name": name, "known_since": at, "last_used_at": at}
        insert = self._db.insert(key_uses).values(row)
        key = [column.name for column in key_uses.primary_key]
        async with self._db.writing() as tx:
            await tx.conn.execute(insert.on_conflict_do_update(index_elements=key, set_={"last_used_at": at}))

    async def all(self) -> list[KeyUse]:
        query = select(key_uses).where(key_uses.c.tenant == self._db.tenant).order_by(key_uses.c.known_since)
        async with self._db.reading() as conn:
            rows = await conn.execute(query)
            return [
                KeyUse(purpose=row.purpose, name=row.name, known_since=row.known_since, last_used_at=row.last_used_at)
                for row in rows
            ]

    async def operations_by_key(self) -> dict[str | None, int]:
        """How many operations can still be repeated or reconciled, by the name of their digest key."""
        open_states = operations.c.state.in_(["PENDING", "UNKNOWN"])
        query = (
            select(operations.c.digest_key, func.count().label("rows"))
            .where(operations.c.tenant == self._db.tenant, or_(operations.c.key_hash.is_not(None), open_states))
            .group_by(operations.c.digest_key)
        )
        async with self._db.reading() as conn:
            return {row.digest_key: row.rows for row in await conn.execute(query)}

    async def api_keys_by_key(self) -> dict[str | None, int]:
        """How many valid API keys there are, by the name of their digest key."""
        still = or_(client_keys.c.expires_at.is_(None), client_keys.c.expires_at > self._db.now())
        query = (
            select(client_keys.c.digest_key, func.count().label("rows"))
            .where(client_keys.c.tenant == self._db.tenant, still)
            .group_by(client_keys.c.digest_key)
        )
        async with self._db.reading() as conn:
            return {row.digest_key: row.rows for row in await conn.execute(query)}
