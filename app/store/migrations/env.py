"""Alembic's entry point: uses the open connection in `config.attributes`; reads no ini file."""

from alembic import context

# SQLite supports transactional DDL because the driver does not autocommit.
context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
