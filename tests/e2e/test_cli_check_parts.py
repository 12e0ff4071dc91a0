"""`vaultgraph check` tests the store, Redis and the keys, and names the setting to correct."""

from pathlib import Path
from typing import Any

import pytest

from app.store import Store, Transaction
from app.store.statements import Statement
from tests.e2e.test_cli_check import checked, settings_of
from tests.support.sandbox import RunningSandbox


@pytest.mark.parametrize(
    ("changes", "part", "named"),
    [
        ({"store": {"url": "postgresql://me:hunter2@127.0.0.1:9/x"}}, "store", "check store.url"),
        ({"store": {"redis_url": "redis://:hunter2@127.0.0.1:9/0"}}, "redis", "check store.redis_url"),
        ({"auth": {"jwks_url": "http://127.0.0.1:9/hunter2"}}, "tokens", "check auth.jwks_url"),
        ({"auth": {"jwks_path": "/nowhere/hunter2"}}, "tokens", "auth.jwks_path"),
    ],
)
def test_a_dead_dependency_is_named(
    changes: dict[str, Any], part: str, named: str, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    status, lines = checked(tmp_path, {**settings_of(sandbox), **changes})
    assert status == 1
    assert named in lines[part]
    wrong = [name for name, said in lines.items() if not said.startswith(("ok", "disabled"))]
    assert [name for name in wrong if name != "gateway"] == [part]
    assert "hunter2" not in str(lines)


def test_webhook_keys_are_tried(sandbox: RunningSandbox, tmp_path: Path) -> None:
    values = settings_of(sandbox)
    values["jpmorgan"]["webhook_jwks_url"] = "http://127.0.0.1:9/keys"
    status, lines = checked(tmp_path, values)
    assert (status, "check jpmorgan.webhook_jwks_url" in lines["webhooks"]) == (1, True)


async def test_a_database_without_this_versions_schema_is_named(
    postgres_url: str, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    store = Store.open(postgres_url)
    await store.transaction(Transaction.execute, Statement("UPDATE alembic_version SET version_num = '0001'"))
    await store.close()
    status, lines = checked(tmp_path, {**settings_of(sandbox), "store": {"url": postgres_url}})
    assert (status, "vaultgraph migrate" in lines["store"]) == (1, True)


def test_a_database_that_is_up_to_date_is_fine(postgres_url: str, sandbox: RunningSandbox, tmp_path: Path) -> None:
    _, lines = checked(tmp_path, {**settings_of(sandbox), "store": {"url": postgres_url}})
    assert lines["store"] == "ok"


def test_checking_creates_no_store(sandbox: RunningSandbox, tmp_path: Path) -> None:
    _, lines = checked(tmp_path, settings_of(sandbox))
    assert lines["store"] == "ok"
    assert not list(tmp_path.rglob("*.db"))
