"""The migration that gives API keys ids, on both databases."""

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from app.store import Store, migrate
from app.store.migrating import _config
from tests.support.stores import sql
from tests.unit.test_store_canonical_refs import WHEN, put


def to_revision(url: str, revision: str, *, is_down: bool = False) -> None:
    with sql(url) as conn:
        config = _config()
        config.attributes["connection"] = conn
        (command.downgrade if is_down else command.upgrade)(config, revision)


@pytest.fixture(params=["sqlite", "postgres"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the version before, with one partner of two keys."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        with sql(url) as conn:
            conn.execute(text("DROP SCHEMA public CASCADE"))
            conn.execute(text("CREATE SCHEMA public"))
    to_revision(url, "0007")
    scopes = "CAST('[\"explore\"]' AS jsonb)" if request.param == "postgres" else "'[\"explore\"]'"
    with sql(url) as conn:
        conn.execute(
            text(
                "INSERT INTO clients (tenant, name, scopes, sees_all_customers, created_at) "
                f"VALUES ('default', 'acme', {scopes}, true, '2026-01-01 00:00:00')"
            )
        )
    for number in (1, 2):
        put(url, "client_keys", key_hash=f"h{number}", client="acme", created_at=WHEN.format(number))
    return url


async def test_keys_get_ids_and_no_name_of_a_digest_key(old_url: str) -> None:
    store = Store.open(old_url)
    try:
        await migrate(store.engine)
        acme = await store.clients.client("acme")
        assert acme is not None
        assert [(key.key_hash, key.digest_key, key.last_used_at) for key in acme.keys] == [
            ("h1", None, None),
            ("h2", None, None),
        ]
        first, second = (key.id for key in acme.keys)
        assert first.startswith("key_")
        assert first != second
        assert await store.clients.by_key_id(second) == acme
        assert await store.key_uses.api_keys_by_key() == {None: 2}
    finally:
        await store.close()


async def test_the_migration_can_be_taken_back(old_url: str) -> None:
    to_revision(old_url, "head")
    to_revision(old_url, "0007", is_down=True)
    to_revision(old_url, "head")
    store = Store.open(old_url)
    try:
        assert await store.key_uses.api_keys_by_key() == {None: 2}
    finally:
        await store.close()
