"""Alembic's entry point: uses the open connection in `config.attributes`; reads no ini file."""

from alembic import context

from app.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # supported by SQLite because the driver does not autocommit
)
context.run_migrations()
