"""`vaultgraph import` and `vaultgraph link` on the command line: a file, its rejects, an interrupted run."""

import csv
import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import command, leaks
from tests.support.sandbox import RunningSandbox

HEADER = [
    "external_id",
    "provider",
    "customer_ref",
    "caselle_processor_token",
    "last4",
    "expiry",
    "brand",
    "holder_name",
    "bin",
    "account_type",
    "routing_number",
]


def vaultgraph(*words: str | Path, data_dir: Path, sandbox: RunningSandbox) -> subprocess.CompletedProcess[str]:
    return command.vaultgraph(*words, "--data-dir", data_dir, "--sandbox-url", sandbox.url, cwd=data_dir, timeout=120)


def written(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path


def link(external_id: str, provider: str, ref: str) -> list[str]:
    return [external_id, provider, ref, *[""] * (len(HEADER) - 3)]


def card(external_id: str, ref: str, token: str, last4: str) -> list[str]:
    leaks.note(token)
    return [external_id, "caselle", ref, token, last4, "2031-05", "VISA", "Load Customer", "411111", "", ""]


def account(external_id: str, ref: str, token: str, last4: str) -> list[str]:
    leaks.note(token)
    return [external_id, "caselle", ref, token, last4, "", "", "Load Customer", "", "checking", "122000247"]


def test_a_file_is_imported_once_and_its_rejects_say_why(folder: Path, tmp_path: Path, sandbox: RunningSandbox) -> None:
    token = "zift-tok-0123456789abcdef"
    path = written(
        tmp_path / "wallets.csv",
        [
            link("shop-1", "loanpro", "1001"),
            card("shop-1", "cus_load0001", token, "8888"),
            link("shop-2", "jpmorgan", "NOBODY"),
            link("shop-3", "paypal", "1"),
            link("4111 1111 1111 1111", "loanpro", "1002"),
            link("shop-4", "loanpro", "1001"),
            [
                *link("shop-5", "caselle", "cus_load0001")[:3],
                *("201:4111111111111111", "1111", "2031-05", "VISA", "A", "", "", ""),
            ],
            account("shop-1", "cus_load0001", "zift-ach-0123456789abcdef", "8899"),
            [*card("shop-1", "cus_load0001", "zift-tok-fedcba9876543210", "8877")[:-2], "CHECKING", ""],
        ],
    )
    done = vaultgraph("import", path, "--create-customers", data_dir=folder, sandbox=sandbox)
    assert done.returncode == 1, done.stderr
    assert "3 imported, 6 rejected" in done.stdout
    with path.with_name("wallets.csv.rejects.csv").open(encoding="utf-8", newline="") as file:
        rejects = [(row["row"], row["code"]) for row in csv.DictReader(file)]
    assert rejects == [
        ("3", "NOT_FOUND"),
        ("4", "INVALID_INPUT"),
        ("5", "PAN_NOT_ALLOWED"),
        ("6", "LINK_CONFLICT"),
        ("7", "PAN_NOT_ALLOWED"),
        ("9", "INVALID_INPUT"),
    ]
    texts = [done.stdout.encode(), done.stderr.encode(), path.with_name("wallets.csv.rejects.csv").read_bytes()]
    assert leaks.found_in(*texts, secrets=[token, "4111 1111 1111 1111", "4111111111111111"]) == []
    assert leaks.found_in_folder(folder) == []
    again = vaultgraph("import", path, "--create-customers", data_dir=folder, sandbox=sandbox)
    assert "already imported completely" in again.stdout
    shown = json.loads(
        vaultgraph("import", path, "--create-customers", "--json", data_dir=folder, sandbox=sandbox).stdout
    )
    assert (shown["rows"], shown["imported"], shown["rejected"]) == (9, 3, 6)
    assert [one["kind"] for one in sandbox.held("caselle", "cus_load0001") if one["last4"] == "8899"] == ["bank"]
    assert [one["last4"] for one in sandbox.held("caselle", "cus_load0001")].count("8888") == 1


def test_a_dry_run_changes_nothing_and_json_lines_are_read_too(
    folder: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    path = tmp_path / "wallets.ndjson"
    path.write_text('{"external_id": "shop-1", "provider": "LOANPRO", "customer_ref": 1001}\n\n', "utf-8")
    done = vaultgraph("import", path, "--create-customers", "--dry-run", data_dir=folder, sandbox=sandbox)
    assert (done.returncode, done.stdout.strip().splitlines()[0]) == (0, "1 checked")
    for provider in ("loanpro", "caselle"):
        assert {call["method"] for call in sandbox.calls(provider)} <= {"GET"}
    real = vaultgraph("import", path, "--create-customers", data_dir=folder, sandbox=sandbox)
    assert "1 imported" in real.stdout


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("external_id,provider\n1,loanpro\n", "lacks the columns: customer_ref"),
        ("external_id,provider,customer_ref,pan\n", "line 1, the header, column 4: is not known"),
    ],
)
def test_a_file_of_another_shape_is_refused_in_one_line(
    folder: Path, tmp_path: Path, sandbox: RunningSandbox, text: str, complaint: str
) -> None:
    path = tmp_path / "wallets.csv"
    path.write_text(text, "utf-8")
    done = vaultgraph("import", path, data_dir=folder, sandbox=sandbox)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_run_resumes_where_it_stopped(folder: Path, tmp_path: Path, sandbox: RunningSandbox) -> None:
    rows = [card(f"shop-{n}", f"cus_load{n:04d}", f"zift-tok-{n:016d}", "7777") for n in range(1, 101)]
    path = written(tmp_path / "many.csv", rows)
    sandbox.fault("caselle", "delay", method="POST", delay_ms=20)
    words = ["import", path, "--create-customers", "--data-dir", folder, "--sandbox-url", sandbox.url]
    with command.Running(*words, cwd=folder) as child:
        give_up_at = time.monotonic() + 60
        posts = 0
        while posts < 20 and time.monotonic() < give_up_at:
            posts = len([call for call in sandbox.calls("caselle") if call["method"] == "POST"])
            time.sleep(0.02)
        child.process.kill()
    assert posts >= 20
    sandbox.clear_faults()
    done = vaultgraph(*words[:3], data_dir=folder, sandbox=sandbox)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 imported" in done.stdout
    held = [[one["last4"] for one in sandbox.held("caselle", f"cus_load{n:04d}")] for n in range(1, 101)]
    assert [last4s.count("7777") for last4s in held] == [1] * 100


def test_one_customer_is_linked_by_hand(folder: Path, tmp_path: Path, sandbox: RunningSandbox) -> None:
    path = written(tmp_path / "one.csv", [link("shop-1", "loanpro", "1001")])
    vaultgraph("import", path, "--create-customers", data_dir=folder, sandbox=sandbox)
    done = vaultgraph("link", "shop-1", "jpmorgan", "FREE01", data_dir=folder, sandbox=sandbox)
    assert (done.returncode, done.stdout.strip()) == (0, "linked")
    refused = vaultgraph("link", "shop-1", "jpmorgan", "PACJGQ", data_dir=folder, sandbox=sandbox)
    assert refused.returncode == 1
    assert "LINK_CONFLICT" in refused.stderr
    assert "no such customer" in vaultgraph("link", "x", "aloha", "1", data_dir=folder, sandbox=sandbox).stderr
