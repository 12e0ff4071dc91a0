"""Checks whether the database schema is current, and migrates it.

Alembic and SQLAlchemy take about 25 MB of memory, so the check reads Alembic's version table directly; they are
imported only to migrate.
"""

import asyncio
from typing import Final

from app.store.connection import Driver
from app.store.database import Engine
from app.store.errors import SchemaDiffers
from app.store.statements import Statement

NEWEST_REVISION: Final = "0019"
_HAS_VERSIONS: Final = {
    True: Statement("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"),
    False: Statement("SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL"),
}
_VERSIONS: Final = Statement("SELECT version_num FROM alembic_version")


_GO_BACK: Final = (
    f"run the newer version, or go back with its `vaultgraph migrate --to {NEWEST_REVISION}` as "
    "docs/operations/upgrades.md says"
)


async def migrate(engine: Engine) -> None:
    """Apply pending migrations in one transaction. Safe to call from several processes concurrently.

    Raises SchemaDiffers for a newer schema that this version cannot use.
    """
    found = await schema_revision(engine)
    if found is not None and found >= NEWEST_REVISION:
        _refuse_later_generation(found)
        return
    from app.store.migrating import upgrade

    await asyncio.to_thread(upgrade, engine)


async def require_schema(engine: Engine) -> None:
    """Raises SchemaDiffers, which says what to run, unless this version can use the database's schema.

    It can use a newer one of the same generation, the first digit of the revision: those only add, so that processes of
    the version before continue to work. A migration that removes or renames begins the next generation (``1001``).
    Raises StoreUnavailable.
    """
    found = await schema_revision(engine)
    if found is None or found < NEWEST_REVISION:
        raise SchemaDiffers(found, NEWEST_REVISION, "run `vaultgraph migrate`")
    _refuse_later_generation(found)


async def schema_revision(engine: Engine) -> str | None:
    """The database's revision, None for an empty database. Revisions have four digits and compare as text.

    Raises StoreUnavailable.
    """

    def newest(driver: Driver) -> str | None:
        if not driver.rows(_HAS_VERSIONS[engine.is_sqlite], {}):
            return None
        return max((str(version) for (version,) in driver.rows(_VERSIONS, {})), default=None)

    pool = engine.pool(1)
    try:
        return await pool.run(newest)
    finally:
        await pool.close()


def _refuse_later_generation(found: str) -> None:
    if found[0] > NEWEST_REVISION[0]:
        raise SchemaDiffers(found, NEWEST_REVISION, _GO_BACK, is_newer=True)
