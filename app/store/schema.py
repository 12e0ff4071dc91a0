"""Checks whether the database schema is current, and migrates it.

Alembic and SQLAlchemy take about 25 MB of memory, so the check reads Alembic's version table directly; they are
imported only to migrate.
"""

import asyncio
from typing import Final

from app.store.connection import Driver
from app.store.database import Engine
from app.store.statements import Statement

NEWEST_REVISION: Final = "0009"
_HAS_VERSIONS: Final = {
    True: Statement("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"),
    False: Statement("SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL"),
}
_VERSIONS: Final = Statement("SELECT version_num FROM alembic_version")


async def migrate(engine: Engine) -> None:
    """Apply pending migrations in one transaction. Safe to call from several processes concurrently."""
    if await migrations_are_current(engine):
        return
    from app.store.migrating import upgrade

    await asyncio.to_thread(upgrade, engine)


async def migrations_are_current(engine: Engine) -> bool:
    """Whether the database has the schema that this code expects, or a newer one. Raises StoreUnavailable.

    A migration leaves what the version before it uses, so that processes of both can run during an upgrade.
    """

    def revisions(driver: Driver) -> list[str]:
        if not driver.rows(_HAS_VERSIONS[engine.is_sqlite], {}):
            return []
        return [version for (version,) in driver.rows(_VERSIONS, {})]

    pool = engine.pool(1)
    try:
        return max(await pool.run(revisions), default="") >= NEWEST_REVISION
    finally:
        await pool.close()
