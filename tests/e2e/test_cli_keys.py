"""`vaultgraph keys`, and the keys of partners one by one."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.wallet.keys import key_name
from tests.e2e.test_operator_audit import commands
from tests.support.adding import adding, loanpro_card, new_key
from tests.support.command import vaultgraph
from tests.support.gateway import KEYS
from tests.support.gateways import StartGateway, patient
from tests.support.mutating import ADD, codes, run
from tests.support.partners import PartnerApp
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

ENVIRONMENT = {f"VAULTGRAPH_{name.upper()}": value for name, value in KEYS.items()}
OLD, OTHER = key_name(KEYS["digest_key"]), "another digest key 0123456789 abcdefghijk"

Ran = Callable[..., str]


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    """Runs a command on the data directory and returns its output."""

    def command(*words: str | Path, folder: Path = tmp_path, status: int = 0, **env: str) -> str:
        done = vaultgraph(*words, "--data-dir", folder, **{**ENVIRONMENT, **env})
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 or "--json" in words else done.stderr

    return command


def rows(printed: str, setting: str = "digest_key") -> list[dict[str, Any]]:
    return [row for row in json.loads(printed) if row["setting"] == setting]


def test_a_new_key_goes_to_a_file_and_is_not_shown(ran: Ran, tmp_path: Path) -> None:
    file = tmp_path / "new-key"
    printed = ran("keys", "rotate", "digest", "--to", file)
    made = file.read_text("utf-8").removesuffix("\n")
    assert len(made) == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert printed.startswith(f"New key {key_name(made)} for digest_key, in {file}.\nThe settings have {OLD}.\n1. ")
    assert not any(secret in printed for secret in (made, *KEYS.values()))
    assert "exists" in ran("keys", "rotate", "id", "--to", file, status=1)
    assert file.read_text("utf-8").removesuffix("\n") == made
    alone = ran("keys", "rotate", "id", "--stdout").removesuffix("\n")
    assert len(alone) == 64
    assert alone != made
    first = vaultgraph("keys", "rotate", "id", "--stdout", "--data-dir", tmp_path)
    assert (first.returncode, len(first.stdout)) == (0, 65), "without any settings: the first key of a deployment"
    assert "have no id_key yet: set it" in first.stderr
    assert "--to FILE or --stdout" in ran("keys", "rotate", "id", status=2)


def test_the_status_says_what_an_old_key_is_needed_for(
    ran: Ran, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    gateway = start_gateway(**patient())
    app, value = PartnerApp(gateway, "acme"), adding(loanpro_card(sandbox), idempotencyKey=new_key())
    assert app.ask(text="{ viewer { partner } }").status != 401
    assert codes(run(gateway, ADD, value)) == []

    def status(expected: int = 0, **env: str) -> list[dict[str, Any]]:
        return rows(ran("keys", "status", "--json", folder=gateway.data_dir, status=expected, **env))

    eventually(lambda: [row["api_keys"] for row in status()] == [1], "the API key with the name of its digest key")
    (row,) = status()
    assert (row["key"], row["state"], row["operations"], row["processes"]) == (OLD, "first", 1, "1 of 1")
    assert row["known_since"] is not None
    next_one, old = status(VAULTGRAPH_DIGEST_KEY=f"{OTHER},{KEYS['digest_key']}")
    assert (next_one["key"], next_one["state"], next_one["processes"]) == (key_name(OTHER), "first", "0 of 1")
    assert (old["state"], old["api_keys"], old["operations"]) == ("old or next", 1, 1)
    _, lost = status(expected=1, VAULTGRAPH_DIGEST_KEY=OTHER)
    assert (lost["key"], lost["state"], lost["operations"]) == (OLD, "missing", 1)
    ids = rows(ran("keys", "status", "--json", folder=gateway.data_dir), "id_key")
    assert [(one["key"], one["operations"]) for one in ids] == [(key_name(KEYS["id_key"]), None)]


def test_keys_of_a_partner_are_listed_and_revoked_one_by_one(ran: Ran, tmp_path: Path) -> None:
    ran("partner", "add", "acme", "--scope", "customers:read", "--create")
    ran("partner", "rotate", "acme", "--old-valid-for-h", "1")
    first, second = json.loads(ran("partner", "keys", "acme", "--json"))
    assert set(first) == {"id", "created_at", "expires_at", "last_used_at", "digest_key"}
    assert (first["expires_at"] is None, second["expires_at"], second["last_used_at"]) == (False, None, None)
    assert second["digest_key"] == OLD
    assert "rejected within a second" in ran("partner", "revoke", "acme", first["id"])
    assert "no such key" in ran("partner", "revoke", "acme", first["id"], status=1)
    assert json.loads(ran("partner", "keys", "acme", "--json")) == [second]
    assert "no partner with this name" in ran("partner", "keys", "nobody", status=1)
    assert commands(tmp_path)[-1] == ("partner revoke", {"partner": "acme", "key_id": first["id"]}, None)


def test_scopes_of_a_partner_are_changed(ran: Ran, tmp_path: Path) -> None:
    ran("partner", "add", "acme", "--scope", "customers:read", "--create")
    assert "customers:read, explore" in ran("partner", "change", "acme", "--scope", "explore", "customers:read")
    assert "--customers all is needed" in ran("partner", "change", "acme", "--scope", "links:write", status=1)
    (row,) = json.loads(ran("partner", "list", "--json"))
    assert row["scopes"] == ["customers:read", "explore"]
    ran("partner", "change", "acme", "--scope", "links:write", "--customers", "all")
    assert "--customers all is needed" in ran("partner", "change", "acme", "--customers", "granted", status=1)
    assert "say what to change" in ran("partner", "change", "acme", status=2)
    changed = [detail for command, detail, _ in commands(tmp_path) if command == "partner change"]
    assert changed == [
        {"partner": "acme", "scopes": ["customers:read", "explore"], "all_customers": False},
        {"partner": "acme", "scopes": ["links:write"], "all_customers": True},
    ]
