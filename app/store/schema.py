"""Checks whether the database schema is current, and migrates it.

Alembic takes about 10 MB of memory, so the check reads its version table directly; Alembic is imported only to migrate.
"""

from typing import Final

from sqlalchemy import Connection, Engine, column, func, inspect, select, table

from app.store.cancel_safe import CancelSafeConnection
from app.store.database import Database

NEWEST_REVISION: Final = "0008"
_MIGRATING: Final = 0x7661756C74  # PostgreSQL advisory lock: one migration at a time
_VERSION: Final = table("alembic_version", column("version_num"))


async def migrate(engine: Engine) -> None:
    """Apply pending migrations in one transaction. Safe to call from several processes concurrently."""
    if await migrations_are_current(engine):
        return
    from app.store.migrating import upgrade

    async with Database(engine).writing() as tx:
        if engine.dialect.name == "postgresql":
            await tx.conn.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
        await tx.conn.run_sync(upgrade)


async def migrations_are_current(engine: Engine) -> bool:
    """Whether the database has exactly the schema that this code expects. Raises if it is unreachable."""
    conn = await CancelSafeConnection.open(engine)
    try:
        return await conn.run_sync(_revisions) == [NEWEST_REVISION]
    finally:
        await conn.close()


def _revisions(connection: Connection) -> list[str]:
    if not inspect(connection).has_table(_VERSION.name):
        return []
    return list(connection.scalars(select(_VERSION.c.version_num)))
