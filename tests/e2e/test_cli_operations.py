"""`vaultgraph operations`: what an operator sees of a write whose outcome is unknown."""

import json
import sqlite3
from pathlib import Path
from typing import Any, Final

from tests.support.adding import adding, caselle_card, new_key
from tests.support.command import on_terminal, vaultgraph
from tests.support.gateway import KEYS, RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.mutating import ADD, CREATE, codes, run
from tests.support.sandbox import RunningSandbox

KEY_VARIABLES: Final = {f"VAULTGRAPH_{name.upper()}": value for name, value in KEYS.items()}


def shown(gateway: RunningGateway, *arguments: str) -> Any:
    done = vaultgraph("operations", *arguments, "--json", "--data-dir", gateway.data_dir, **KEY_VARIABLES)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_unknown_write_is_listed_and_shown(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    done = run(gateway, ADD, adding(caselle_card(sandbox)))
    sandbox.fault("aloha", "drop_after", method="PUT", times=1)
    person = {
        "externalId": "crm-lost",
        "idempotencyKey": new_key(),
        "name": {"first": "Ada", "last": "Example"},
        "email": "ada-lost@example.com",
        "phone": "+1 385 555 0187",
        "provisionAt": ["ALOHA"],
    }
    lost = run(gateway, CREATE, person)
    assert codes(lost) == ["OUTCOME_UNKNOWN"]
    (listed,) = shown(gateway, "list")
    assert {name: listed[name] for name in ("id", "state", "outcome", "needs_operator", "mutation", "lookups")} == {
        "id": lost["operation"]["id"],
        "state": "UNKNOWN",
        "outcome": "UNKNOWN",
        "needs_operator": True,
        "mutation": "createCustomer",
        "lookups": 0,
    }
    detail = shown(gateway, "show", listed["id"])
    assert {name: detail[name] for name in listed} == listed
    assert [one["code"] for one in detail["errors"]] == ["OUTCOME_UNKNOWN"]
    assert [(row["vault"], row["state"], row["code"]) for row in detail["results"]] == [
        ("aloha", "UNKNOWN", "OUTCOME_UNKNOWN")
    ]
    assert person["email"] not in json.dumps(detail)

    (added,) = [one for one in shown(gateway, "list", "--state", "succeeded") if one["mutation"] == "addPaymentMethod"]
    (row,) = shown(gateway, "show", added["id"])["results"]
    assert (row["payment_method_id"], row["code"]) == (done["paymentMethod"]["id"], None)


def test_operations_are_readable_without_json(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    operation = run(gateway, ADD, adding(caselle_card(sandbox)))["operation"]["id"]
    source = ("--data-dir", gateway.data_dir)
    listed = vaultgraph("operations", "list", "--state", "succeeded", *source, **KEY_VARIABLES).stdout
    assert listed.split("\t")[:3] == [operation, "SUCCEEDED", "False"]
    lines = vaultgraph("operations", "show", operation, *source, **KEY_VARIABLES).stdout.splitlines()
    assert ["mutation", "addPaymentMethod"] in [line.split("\t") for line in lines]
    assert "MUTATION" in on_terminal("operations", "list", "--state", "succeeded", *map(str, source), **KEY_VARIABLES)
    unknown = vaultgraph("operations", "show", "op_none", *source, **KEY_VARIABLES)
    assert (unknown.returncode, "vaultgraph operations list" in unknown.stderr) == (1, True)


def test_a_pending_write_is_listed_as_unsettled(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    gateway = start_gateway(**patient())
    operation = run(gateway, ADD, adding(caselle_card(sandbox)))["operation"]["id"]
    gateway.stop()
    with sqlite3.connect(Path(gateway.data_dir) / "vaultgraph.db") as connection:
        connection.execute("UPDATE operations SET state = 'PENDING' WHERE id = ?", (operation,))
    (listed,) = shown(gateway, "list")
    assert (listed["id"], listed["state"], listed["needs_operator"]) == (operation, "PENDING", False)
