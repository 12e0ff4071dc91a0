"""`vaultgraph reconcile`: what it finds, what --apply changes, resuming, and vaults that do not answer."""

import csv
import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.cli.reconcile import _write_csv
from app.store import Transaction
from app.store.records import EventType, MethodAddress
from app.store.statements import Statement
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from tests.e2e.test_customer_not_found import UNKNOWN
from tests.support.command import Running, vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

LINKS = 47
GONE = MethodAddress(ProviderName.CASELLE, CustomerRef("cus_88421"), MethodRef("spm_gone"))


@pytest.fixture
def every(start_gateway: StartGateway) -> RunningGateway:
    """With 203 customers and 807 links: three pages."""
    return start_gateway()


@pytest.fixture
def gateway(every: RunningGateway) -> RunningGateway:
    """With 13 customers and 47 links."""
    others = Statement("DELETE FROM customers WHERE tenant = :tenant AND id > 'cus_load-0010' AND id < 'cus_load-9'")
    every.on_loop(every.gateway.store.transaction(Transaction.execute, others))
    return every


def words(gateway: RunningGateway, sandbox: RunningSandbox, *more: str | Path, rate: str = "5000") -> list[str | Path]:
    options = [
        "--calls-per-s",
        rate,
        "--concurrency",
        "8",
        "--data-dir",
        gateway.data_dir,
        "--sandbox-url",
        sandbox.url,
    ]
    return ["reconcile", *options, *more]


def reconcile(
    gateway: RunningGateway, sandbox: RunningSandbox, *more: str | Path
) -> "subprocess.CompletedProcess[str]":
    return vaultgraph(*words(gateway, sandbox, *more), cwd=gateway.data_dir, timeout=180)


def report(gateway: RunningGateway, sandbox: RunningSandbox, status: int, *more: str | Path) -> Any:
    done = reconcile(gateway, sandbox, "--json", *more)
    assert done.returncode == status, (done.stdout[-500:], done.stderr)
    found = json.loads(done.stdout)
    assert Counter(one["code"] for one in found["findings"]) == found["counts"]
    assert not (gateway.data_dir / "vaultgraph-reconcile.ndjson").exists(), "the run is complete"
    return found


def changed_by(gateway: RunningGateway) -> list[tuple[str | None, str, str]]:
    events = gateway.on_loop(gateway.gateway.store.events.after(None, types=[EventType.OPERATOR_COMMAND], limit=10_000))
    assert all(one.detail["command"] == "reconcile --apply" for one in events)
    return [(one.customer_id, one.detail["vault"], one.detail["change"]) for one in events]


def test_findings_and_what_apply_does_with_them(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    store = gateway.gateway.store
    gateway.on_loop(store.directory.set_choice("cus_sam", GONE, set_by="staff:ann"))
    found = report(gateway, sandbox, 3)
    assert (found["checked"], found["is_complete"], found["not_checked"]) == (LINKS, True, {})
    counts = found["counts"]
    assert set(counts) == {"METHOD_NOT_SEEN", "DUPLICATE_LOOK", "DEFAULT_GONE"}
    assert counts["METHOD_NOT_SEEN"] > 100
    (default,) = (one for one in found["findings"] if one["code"] == "DEFAULT_GONE")
    assert (default["customer_id"], default["vaults"]) == ("cus_sam", ["caselle"])
    alike = [one for one in found["findings"] if one["code"] == "DUPLICATE_LOOK" and one["customer_id"] == "cus_alex"]
    assert any(len(one["vaults"]) > 1 for one in alike), "across vaults"
    assert all(len(one["payment_method_ids"]) > 1 for one in alike)
    assert gateway.on_loop(store.observed_methods.of_customer("cus_alex")) == []
    assert gateway.on_loop(store.directory.choice("cus_sam")) is not None
    assert changed_by(gateway) == [], "nothing changes without --apply"
    writes = [call for call in sandbox.calls() if call["method"] != "GET" and "graphql" not in call["path"]]
    again = report(gateway, sandbox, 3, "--apply", "--csv", gateway.data_dir / "found.csv")
    assert again["counts"] == counts
    applied = {code: {one["applied"] for one in again["findings"] if one["code"] == code} for code in counts}
    assert applied == {"METHOD_NOT_SEEN": {True}, "DUPLICATE_LOOK": {False}, "DEFAULT_GONE": {True}}
    with (gateway.data_dir / "found.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["code"] for row in rows) == counts
    assert {row["applied"] for row in rows} == {"yes", "no"}
    assert gateway.on_loop(store.directory.choice("cus_sam")) is None
    changes = Counter(change for _, _, change in changed_by(gateway))
    assert set(changes) == {"list stored", "default cleared"}
    assert ("cus_sam", "caselle", "default cleared") in changed_by(gateway)
    month = '{ expiringPaymentMethods(before: "2999-01", first: 1) { nodes { observedAt } } }'
    assert gateway.data(month)["expiringPaymentMethods"]["nodes"], "what was stored is found"
    rest = report(gateway, sandbox, 3)
    assert rest["counts"] == {"DUPLICATE_LOOK": counts["DUPLICATE_LOOK"]}, "nothing else is left"
    assert writes == [call for call in sandbox.calls() if call["method"] != "GET" and "graphql" not in call["path"]]

    sandbox.fault("jpmorgan", "rewrite", method="GET", **UNKNOWN["JPMORGAN"], times=1)
    sandbox.fault("caselle", "rewrite", method="GET", body=[], times=1)
    drifted = report(gateway, sandbox, 3, "--apply")
    assert drifted["counts"]["CUSTOMER_GONE"] == 1
    gone = [one for one in drifted["findings"] if one["code"] == "METHOD_GONE"]
    assert {one["applied"] for one in gone} == {True}
    assert len({one["customer_id"] for one in gone}) == 1

    method = gateway.on_loop(store.observed_methods.of_customer("cus_sam"))[0]
    chosen = MethodAddress(method.provider, method.customer_ref, method.method_ref)
    gateway.on_loop(store.directory.set_choice("cus_sam", chosen, set_by="staff:ann"))
    vault = chosen.provider.name
    sandbox.fault(chosen.provider.value, "rewrite", method="GET", **UNKNOWN[vault])
    unknown = report(gateway, sandbox, 3, "--apply", "--vault", chosen.provider.value)
    assert unknown["counts"]["CUSTOMER_GONE"] > 1
    assert [one["applied"] for one in unknown["findings"] if one["code"] == "DEFAULT_GONE"] == [False]
    assert gateway.on_loop(store.directory.choice("cus_sam")) is not None, "no list has shown that it is gone"


def test_a_vault_that_does_not_answer_is_no_finding(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.fault("caselle", "status", status=503)
    sandbox.fault("aloha", "rewrite", method="GET", body={"unexpected": True})
    sandbox.fault("jpmorgan", "rewrite", method="GET", status=401)
    done = reconcile(gateway, sandbox, "--vault", "caselle", "--vault", "aloha", "--vault", "jpmorgan", "--apply")
    assert done.returncode == 4, done.stdout
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines if "links not checked" in line} == {"caselle", "aloha", "jpmorgan"}
    assert sum(int(line.split()[1]) for line in lines if "links not checked" in line) == LINKS - 12
    assert lines[-1] == "0 links checked; no findings"
    assert changed_by(gateway) == []
    sandbox.clear_faults()
    done = reconcile(gateway, sandbox, "--vault", "loanpro")
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[-1]) == (3, "Nothing was changed: see --apply.")
    assert lines[0].split("\t")[0] in ("METHOD_NOT_SEEN", "DUPLICATE_LOOK")
    assert lines[-2].startswith("12 links checked; ")


def test_an_interrupted_run_goes_on_where_it_was(
    every: RunningGateway, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    whole = report(every, sandbox, 3)
    file = tmp_path / "progress.ndjson"
    options = ("--json", "--progress-file", file)
    with Running(*words(every, sandbox, *options, rate="60"), cwd=every.data_dir) as first:
        eventually(lambda: file.exists() and '"after"' in file.read_text(), "a complete page")
        busy = vaultgraph(*words(every, sandbox, *options), cwd=every.data_dir)
        assert (busy.returncode, "another run uses" in busy.stderr) == (1, True)
        assert first.stop(signal.SIGKILL) != 0
    with file.open("a") as cut_off:
        cut_off.write('{"finding": {"key"')
    other = vaultgraph(*words(every, sandbox, *options, "--apply"), cwd=every.data_dir)
    assert (other.returncode, "--restart" in other.stderr) == (1, True)
    sandbox.clear_calls()
    second = vaultgraph(*words(every, sandbox, *options), cwd=every.data_dir, timeout=180)
    assert second.returncode == 3, second.stderr
    assert "Continuing the run" in second.stderr
    assert len(sandbox.calls("caselle")) < 202
    assert json.loads(second.stdout) == whole
    assert not file.exists()


def test_cells_that_are_formulas_are_quoted(tmp_path: Path) -> None:
    path = tmp_path / "found.csv"
    row = {"code": "=1+1", "customer_id": "@x", "vaults": ["-a", "b"], "message": "plain", "applied": None}
    _write_csv(path, tuple(row), iter([row]))
    assert path.read_text().splitlines()[1] == "'=1+1,'@x,'-a b,plain,unknown"
    assert path.stat().st_mode & 0o077 == 0
