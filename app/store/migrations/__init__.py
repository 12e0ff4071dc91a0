"""Alembic's scripts, inside the package so that an installed wheel carries them. `app.store.migrating` runs them."""
