"""Commands of operators are in the audit trail, under a name that no token and no key can have."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.store import Store
from app.store.records import EventRecord, EventType
from app.wallet.caller import Caller, CallerKind
from tests.e2e.test_cli_webhooks import keep_a_dead_one
from tests.e2e.test_import_command import link, vaultgraph, written
from tests.support import command
from tests.support.sandbox import RunningSandbox

NEW = ("--create-customers", "--create")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(*words: str | Path, folder: Path) -> None:
    done = command.vaultgraph(*words, "--data-dir", folder)
    assert done.returncode == 0, done.stderr


def trail(folder: Path) -> list[EventRecord]:
    async def read() -> list[EventRecord]:
        store = Store.open(f"sqlite:///{folder / 'vaultgraph.db'}")
        try:
            return await store.events.after(None)
        finally:
            await store.close()

    return asyncio.run(read())


def commands(folder: Path) -> list[tuple[str, dict[str, Any], str | None]]:
    found = [one for one in trail(folder) if one.type is EventType.OPERATOR_COMMAND]
    assert {(one.actor, one.outcome) for one in found} == {("operator", "DONE")}
    details = [dict(one.detail) for one in found]
    return [(detail.pop("command"), detail, one.customer_id) for detail, one in zip(details, found, strict=True)]


def test_commands_on_partners_and_documents_are_audited(folder: Path, tmp_path: Path) -> None:
    run("partner", "add", "acme", "--scope", "customers:read", "--create", folder=folder)
    run("partner", "rotate", "acme", folder=folder)
    run("partner", "disable", "acme", folder=folder)
    run("partner", "enable", "acme", folder=folder)
    texts = tmp_path / "documents.json"
    texts.write_text(json.dumps({"who": "{ viewer { partner } }"}))
    run("documents", "publish", "acme", texts, folder=folder)
    run("documents", "retire", "acme", "who", folder=folder)
    refused = command.vaultgraph("partner", "grant", "acme", "cus_nobody", "--data-dir", folder)
    assert refused.returncode == 1
    one = {"count": 1, "ids": ["who"]}
    none = {"count": 0, "ids": []}
    assert commands(folder) == [
        ("partner add", {"partner": "acme", "scopes": ["customers:read"], "all_customers": False}, None),
        ("partner rotate", {"partner": "acme", "old_key_until": None}, None),
        ("partner disable", {"partner": "acme"}, None),
        ("partner enable", {"partner": "acme"}, None),
        ("documents publish", {"partner": "acme", "version": 1, "added": one, "retired": none, "agents": none}, None),
        ("documents retire", {"partner": "acme", "retired": one}, None),
    ]


def test_links_imports_and_grants_are_audited_as_the_operators(
    folder: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    folder.mkdir()
    path = written(tmp_path / "one.csv", [link("shop-1", "loanpro", "1001")])
    assert vaultgraph("import", path, *NEW, data_dir=folder, sandbox=sandbox).returncode == 0
    assert vaultgraph("link", "shop-1", "jpmorgan", "FREE01", data_dir=folder, sandbox=sandbox).returncode == 0
    writes = [one for one in trail(folder) if one.origin == "GATEWAY"]
    assert {one.actor for one in writes} == {"operator"}
    asked = [one.detail.get("mutation") for one in writes if one.type is EventType.MUTATION]
    assert asked == ["importPaymentMethods", "linkProviderCustomer"]
    linked = [one for one in writes if one.type is EventType.LINK_CHANGED]
    assert [one.provider.value for one in linked if one.provider] == ["loanpro", "jpmorgan"]
    (customer,) = {one.customer_id for one in linked}
    assert customer is not None
    run("partner", "add", "acme", "--scope", "customers:read", folder=folder)
    run("partner", "grant", "acme", customer, folder=folder)
    run("partner", "grant", "acme", customer, "--take-back", folder=folder)
    run("partner", "grant", "acme", customer, "--take-back", folder=folder)
    assert commands(folder)[1:] == [
        ("partner grant", {"partner": "acme"}, customer),
        ("partner grant --take-back", {"partner": "acme"}, customer),
    ], "the second time there was nothing to take back"


def test_a_replayed_delivery(folder: Path) -> None:
    dead = keep_a_dead_one(folder)
    run("webhooks", "replay", dead, folder=folder)
    assert commands(folder) == [("webhooks replay", {"deliveries": {"count": 1, "ids": [dead]}}, None)]


def test_no_other_caller_has_the_operators_key() -> None:
    keys = {Caller(name="operator", kind=kind, scopes=frozenset()).key: kind for kind in CallerKind}
    assert keys.pop("operator") is CallerKind.OPERATOR
    assert sorted(keys) == ["partner:operator", "staff:operator", "user:operator"]
