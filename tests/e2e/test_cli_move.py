"""`vaultgraph move`: dry run, pending pairs, missing links, rejects and resuming."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.development import dev_keys
from app.store import Transaction
from app.store.records import EventType
from app.store.statements import Statement
from app.wallet.ids import Ids
from tests.support.command import vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, each_vault
from tests.support.mutating import SET_DEFAULT, UNLINK, UPDATE, methods, run
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

FORGET = Statement("DELETE FROM methods WHERE tenant = :tenant")
DEFAULT = '{ customer(id: "cus_alex") { defaultMethod { id nickname } defaultMethodInfo { reason } } }'


class Moving:
    def __init__(self, gateway: RunningGateway, sandbox: RunningSandbox, folder: Path) -> None:
        self.gateway, self.sandbox, self.folder = gateway, sandbox, folder
        self.file = folder / "moves.csv"
        self._ids = Ids(dev_keys(gateway.data_dir)["id_key"])

    def id_of(self, method_id: str) -> str:
        """The same method's id with the command's key, which differs from the gateway's in tests."""
        address = self.gateway.gateway.ids.decode(method_id)
        assert address is not None
        return self._ids.encode_address(address)

    def write(self, *lines: str) -> None:
        self.file.write_text("\n".join(lines) + "\n")

    def report(self, status: int, *more: str | Path) -> Any:
        words = ["--data-dir", self.gateway.data_dir, "--sandbox-url", self.sandbox.url, "--calls-per-s", "1000"]
        done = vaultgraph("move", self.file, "--json", *words, *more, cwd=self.folder, timeout=120)
        assert done.returncode == status, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    def forget(self) -> None:
        self.gateway.on_loop(self.gateway.gateway.store.transaction(Transaction.execute, FORGET))

    def default(self) -> Any:
        return self.gateway.data(DEFAULT)["customer"]

    def choice(self) -> str | None:
        found = self.gateway.on_loop(self.gateway.gateway.store.directory.choice("cus_alex"))
        return self.gateway.gateway.ids.encode_address(found.address) if found else None


@pytest.fixture
def moving(start_gateway: StartGateway, sandbox: RunningSandbox, tmp_path: Path) -> Moving:
    folder = tmp_path / "files"
    folder.mkdir()
    return Moving(start_gateway(**each_vault(fresh_for_s=0)), sandbox, folder)


def test_the_old_method_stays_the_default_until_the_new_one_answers(moving: Moving) -> None:
    gateway, sandbox = moving.gateway, moving.sandbox
    old, new = methods(gateway, "LOANPRO")[-1]["id"], methods(gateway, "CASELLE")[0]["id"]
    run(gateway, UPDATE, {"id": old, "nickname": "Blue"})
    run(gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": old})
    moving.write(
        "old_id,new_id,old_provider,old_customer_ref,old_method_ref",
        f"{moving.id_of(old)},{moving.id_of(new)},,,",
        f",{moving.id_of(new)},loanpro,999999,1",
        f"{moving.id_of(old)},pm_nonsense,,,",
        f"{moving.id_of(old)},{moving.id_of(old)},,,",
        f",{moving.id_of(new)},loanpro,37,",
    )
    dry = moving.report(1, "--csv", "report.csv")
    assert (dry["rows"], dry["ready"], dry["rejected"], dry["moved"]) == (5, 1, 4, 0)
    with (moving.folder / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["code"] for row in rows] == ["", "NOT_LINKED", "NOT_FOUND", "INVALID_INPUT", "REQUIRED"]
    assert (rows[0]["customer_id"], rows[0]["is_default"]) == ("cus_alex", "yes")
    with Path(moving.folder / dry["rejects_file"]).open(encoding="utf-8", newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == ["2", "3", "4", "5"]
    assert moving.choice() == old, "a dry run changes nothing"

    moving.write("old_id,new_id", f"{moving.id_of(old)},{moving.id_of(new)}")
    sandbox.fault("caselle", "status", status=503)
    moving.forget()
    pending = moving.report(4, "--apply")
    assert (pending["pending"], pending["moved"]) == (1, 0)
    assert moving.choice() == old
    sandbox.clear_faults()
    assert moving.default()["defaultMethod"]["id"] == old, "the old one is preferred while both exist"
    done = moving.report(0, "--apply")
    assert (done["moved"], done["pending"]) == (1, 0)
    moved = {"id": new, "nickname": "Blue"}
    eventually(lambda: moving.default()["defaultMethod"] == moved, "the gateway notices the command's change")
    shown = moving.default()
    assert shown["defaultMethodInfo"]["reason"] == "EXPLICIT_CHOICE"
    sandbox.clear_calls()
    again = moving.report(0, "--apply")
    assert again["moved"] == 1
    assert sandbox.calls("caselle") == [], "a row that is done is not sent again"
    events = gateway.on_loop(gateway.gateway.store.events.after(None, types=[EventType.OPERATOR_COMMAND]))
    assert [one.detail["change"] for one in events if one.detail["command"] == "move --apply"] == ["PENDING", "DONE"]


def test_the_gateway_completes_pending_pairs(moving: Moving) -> None:
    gateway, sandbox = moving.gateway, moving.sandbox
    old, new = methods(gateway, "LOANPRO")[-1]["id"], methods(gateway, "CASELLE")[0]["id"]
    run(gateway, SET_DEFAULT, {"customerId": "cus_alex", "paymentMethodId": old})
    moving.file = moving.folder / "moves.jsonl"
    moving.write(json.dumps({"old_id": moving.id_of(old), "new_id": moving.id_of(new)}))
    sandbox.fault("caselle", "status", status=503)
    moving.forget()
    moving.report(4, "--apply")
    sandbox.clear_faults()

    words = ("--vault", "caselle", "--calls-per-s", "5000", "--sandbox-url", sandbox.url)

    def reconcile() -> str:
        return vaultgraph(
            "reconcile", "--apply", "--data-dir", gateway.data_dir, *words, cwd=moving.folder, timeout=120
        ).stdout

    assert "METHOD_NOT_SEEN" in reconcile()
    assert moving.choice() == old
    # A list read within 3 seconds of the customer's last write is not stored: the next run stores it.
    eventually(lambda: "METHOD_NOT_SEEN" not in reconcile(), "the list, stored as observed")
    gateway.on_loop(gateway.gateway.sweep.sweep())
    assert moving.choice() == new


def test_a_missing_link_is_made_and_the_rules_default_is_kept(moving: Moving) -> None:
    gateway = moving.gateway
    store = gateway.gateway.store
    new = methods(gateway, "CASELLE")[0]["id"]
    address = gateway.gateway.ids.decode(new)
    assert address is not None
    for provider in ("CASELLE", "JPMORGAN", "ALOHA"):
        run(gateway, UNLINK, {"customerId": "cus_alex", "provider": provider, "reason": "Test"})
    old = moving.default()["defaultMethod"]["id"]
    assert moving.choice() is None
    moving.write(
        "old_id,new_provider,new_customer_ref,new_method_ref",
        f"{moving.id_of(old)},caselle,{address.customer_ref},{address.method_ref}",
        f"{moving.id_of(old)},caselle,cus_88421,spm_1",
    )
    dry = moving.report(1)
    assert (dry["ready"], dry["rejected"]) == (1, 1)
    assert [link.provider for link in gateway.on_loop(store.directory.entry("cus_alex")).links] == ["loanpro"]
    done = moving.report(1, "--apply")
    assert (done["moved"], done["rejected"]) == (1, 1)
    assert moving.choice() == new, "the default that the rules had chosen moves too"


def test_a_damaged_file_is_refused_as_a_whole(moving: Moving) -> None:
    moving.write("old_id,new_id,amount", "a,b,1")
    done = vaultgraph("move", moving.file, "--data-dir", moving.gateway.data_dir, cwd=moving.folder)
    assert (done.returncode, "valid columns are" in done.stderr) == (1, True), done.stderr
