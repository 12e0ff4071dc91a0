"""Runs Alembic, over SQLAlchemy. Imported only if the database is not up to date: see `app.store.schema`."""

from collections.abc import Callable
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy import Engine as SqlAlchemyEngine
from sqlalchemy.exc import DBAPIError

from app.store.database import Engine
from app.store.errors import StatementFailed

MIGRATING = 0x7661756C74  # PostgreSQL advisory lock: one migration at a time


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Apply the pending migrations up to `revision` in one transaction. Blocks."""
    _change(engine, lambda config: command.upgrade(config, revision))


def downgrade(engine: Engine, revision: str) -> None:
    """Undo the migrations after `revision`, in one transaction; what only they can hold is lost. Blocks."""
    _change(engine, lambda config: command.downgrade(config, revision))


def _change(engine: Engine, work: Callable[[Config], None]) -> None:
    try:
        with sqlalchemy_engine(engine).connect() as connection:
            if engine.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                _wait_for_other_migrations(connection)
            config = _config()
            config.attributes["connection"] = connection
            work(config)
            connection.commit()
    except DBAPIError as error:
        raise StatementFailed(type(error.orig or error).__name__) from error


def _wait_for_other_migrations(connection: Connection) -> None:
    """However long they take. The limit for locks then holds again: queries queue behind DDL that waits."""
    limit = connection.execute(text("SELECT current_setting('lock_timeout'), set_config('lock_timeout', '0', true)"))
    before = limit.one()[0]
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
    connection.execute(text("SELECT set_config('lock_timeout', :before, true)"), {"before": before})


def sqlalchemy_engine(engine: Engine) -> SqlAlchemyEngine:
    """The same database for SQLAlchemy, without limits for a statement."""

    def connect() -> Any:
        if engine.is_sqlite:
            from app.store import sqlite

            return sqlite.connect(engine.address)
        from app.store import postgres

        raw = postgres.connect(engine.address, statement_timeout_s=0)
        raw.autocommit = False
        return raw

    url = "sqlite://" if engine.is_sqlite else "postgresql+psycopg://"
    return create_engine(url, creator=connect, poolclass=NullPool, hide_parameters=True)


def revisions() -> list[str]:
    """The revisions of the migration scripts, oldest first."""
    return [one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "app.store:migrations")
    config.set_main_option("path_separator", "os")
    return config
