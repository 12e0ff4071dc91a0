"""The schema: bring a database up to date, and tell whether it is."""

from functools import cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.store.database import Database

_MIGRATING = 0x7661756C74  # PostgreSQL advisory lock: one migration at a time


async def migrate(engine: AsyncEngine) -> None:
    """Apply what is missing, in one transaction; several processes may call this at once."""
    async with Database(engine).writing() as tx:
        if engine.dialect.name == "postgresql":
            await tx.conn.execute(select(func.pg_advisory_xact_lock(_MIGRATING)))
        await tx.conn.run_sync(_upgrade)


async def migrations_are_current(engine: AsyncEngine) -> bool:
    """Whether the database has exactly the schema that this code expects. Raises when it cannot be asked."""
    async with engine.connect() as conn:
        return await conn.run_sync(_revision) == _head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "app.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


@cache
def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
