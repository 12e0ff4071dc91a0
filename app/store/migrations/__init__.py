"""Alembic's scripts, inside the package so that an installed wheel carries them. `app.store.schema` runs them."""
