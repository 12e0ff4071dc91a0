"""Alembic migrations, included in the wheel. `app.store.migrating` runs them."""
