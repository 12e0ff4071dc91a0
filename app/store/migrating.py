"""Runs Alembic, over SQLAlchemy. Imported only if the database is not up to date: see `app.store.schema`."""

from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy import Engine as SqlAlchemyEngine
from sqlalchemy.exc import DBAPIError

from app.store.database import Engine
from app.store.errors import StatementFailed

_MIGRATING = 0x7661756C74  # PostgreSQL advisory lock: one migration at a time


def upgrade(engine: Engine) -> None:
    """Apply pending migrations in one transaction. Blocks."""
    try:
        with sqlalchemy_engine(engine).connect() as connection:
            if engine.is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
            _upgrade(connection)
            connection.commit()
    except DBAPIError as error:
        raise StatementFailed(type(error.orig or error).__name__) from error


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


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


def newest_revision() -> str | None:
    """The head revision of the migration scripts."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "app.store:migrations")
    config.set_main_option("path_separator", "os")
    return config
