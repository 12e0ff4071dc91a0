"""Alembic's entry: the caller gives an open connection in `config.attributes`; nothing is read from an ini file."""

from alembic import context

from app.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, once the driver no longer commits by itself
)
context.run_migrations()
