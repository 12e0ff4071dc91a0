"""The gateway's own keys: since when each is configured, when old ones were last used, and how many rows need them."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository, WriteMethod
from app.store.outbox import Transaction
from app.store.records import KeyUse
from app.store.statements import Query, Statement


class _Count(NamedTuple):
    digest_key: str | None
    rows: int


_KNOW: Final = Statement(
    "INSERT INTO key_uses (tenant, purpose, name, known_since) VALUES (:tenant, :purpose, :name, :now)"
    " ON CONFLICT DO NOTHING"
)
_USED: Final = Statement(
    "INSERT INTO key_uses (tenant, purpose, name, known_since, last_used_at)"
    " VALUES (:tenant, :purpose, :name, :at, :at)"
    " ON CONFLICT (tenant, purpose, name) DO UPDATE SET last_used_at = excluded.last_used_at"
)
_ALL: Final = Query(KeyUse, "SELECT {columns} FROM key_uses WHERE tenant = :tenant ORDER BY known_since")
_OPERATIONS: Final = Query(
    _Count,
    "SELECT digest_key, count(*) FROM operations"
    " WHERE tenant = :tenant AND (key_hash IS NOT NULL OR state IN ('PENDING', 'UNKNOWN')) GROUP BY digest_key",
)
_API_KEYS: Final = Query(
    _Count,
    "SELECT digest_key, count(*) FROM client_keys"
    " WHERE tenant = :tenant AND (expires_at IS NULL OR expires_at > :now) GROUP BY digest_key",
)
_ENDPOINTS: Final = Query(
    _Count, "SELECT secret_key, count(*) FROM endpoints WHERE tenant = :tenant GROUP BY secret_key"
)


def save_known_keys(tx: Transaction, purpose: str, names: Collection[str]) -> None:
    """Record since when these keys are configured."""
    now = tx.now()
    tx.execute_many(_KNOW, [{"purpose": purpose, "name": name, "now": now} for name in names])


def save_key_use(tx: Transaction, purpose: str, name: str, at: datetime) -> None:
    tx.execute(_USED, purpose=purpose, name=name, at=at)


def all_key_uses(db: Connection) -> list[KeyUse]:
    return db.all(_ALL)


def operations_by_digest_key(db: Connection) -> dict[str | None, int]:
    """How many operations can still be repeated or reconciled, by the name of their digest key."""
    return {row.digest_key: row.rows for row in db.all(_OPERATIONS)}


def api_keys_by_digest_key(db: Connection) -> dict[str | None, int]:
    """How many valid API keys there are, by the name of their digest key."""
    return {row.digest_key: row.rows for row in db.all(_API_KEYS, now=db.now())}


def endpoints_by_digest_key(db: Connection) -> dict[str | None, int]:
    """How many webhook endpoints there are, by the name of the digest key that encrypts their secret."""
    return {row.digest_key: row.rows for row in db.all(_ENDPOINTS)}


class KeyUses(Repository):
    """Keys by purpose and name. The names are short hashes, see `app.wallet.keys.key_name`."""

    know = WriteMethod(save_known_keys)
    used = WriteMethod(save_key_use)
    all = ReadMethod(all_key_uses)
    operations_by_key = ReadMethod(operations_by_digest_key)
    api_keys_by_key = ReadMethod(api_keys_by_digest_key)
    endpoints_by_key = ReadMethod(endpoints_by_digest_key)
