"""Repeated `vaultgraph import`: after an outage of a vault, from its rejects, and next to existing files."""

import csv
from pathlib import Path

import pytest

from tests.e2e.test_import_command import HEADER, card, link, vaultgraph, written
from tests.support import leaks
from tests.support.sandbox import RunningSandbox

IMPORT = "/api/saved-payment-methods/import"


def rejects_in(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sent(sandbox: RunningSandbox) -> int:
    return len([call for call in sandbox.calls("caselle") if call["path"] == IMPORT])


def held(sandbox: RunningSandbox, ref: str, last4: str) -> int:
    return [one["last4"] for one in sandbox.held("caselle", ref)].count(last4)


@pytest.mark.parametrize("fault", ["status", "throttle", "drop_before"])
def test_a_second_run_completes_the_first(folder: Path, tmp_path: Path, sandbox: RunningSandbox, fault: str) -> None:
    refs = [f"cus_load{number:04d}" for number in (11, 12, 13)]
    rows = [card(f"shop-{ref}", ref, f"zift-tok-{ref}", "9191") for ref in refs]
    path = written(tmp_path / "wallets.csv", [*rows, link("shop-x", "loanpro", "999999")])
    command = ["import", path, "--create-customers"]
    sandbox.fault(
        "caselle", fault, method="POST", path=IMPORT, times=2, **({"status": 503} if fault == "status" else {})
    )
    first = vaultgraph(*command, data_dir=folder, sandbox=sandbox)
    assert first.returncode == 1, first.stderr
    failed = len(refs) - sum(held(sandbox, ref, "9191") for ref in refs)
    assert failed >= 2
    assert f"{failed + 1} rejected" in first.stdout
    assert f"{failed} of them may be imported by running the same command again" in first.stdout
    sandbox.clear_faults()
    sandbox.clear_calls()
    second = vaultgraph(*command, data_dir=folder, sandbox=sandbox)
    assert "3 imported, 1 rejected" in second.stdout, second.stdout + second.stderr
    assert sent(sandbox) == failed
    assert [held(sandbox, ref, "9191") for ref in refs] == [1, 1, 1]
    assert [len(rejects_in(one)) for one in sorted(tmp_path.glob("wallets.csv.rejects*"))] == [1, failed + 1]
    sandbox.clear_calls()
    third = vaultgraph(*command, data_dir=folder, sandbox=sandbox)
    assert (third.returncode, "already imported completely" in third.stdout) == (1, True)
    assert sandbox.calls() == []


def test_rejects_are_corrected_and_imported(folder: Path, tmp_path: Path, sandbox: RunningSandbox) -> None:
    token = "zift-tok-a-token-to-withhold"
    wrong = card("=shop+1", "cus_load0021", token, "92x2")
    path = written(tmp_path / "wallets.csv", [wrong, link("@shop", "loanpro", "999999")])
    assert vaultgraph("import", path, "--create-customers", data_dir=folder, sandbox=sandbox).returncode == 1
    (rejects,) = tmp_path.glob("wallets.csv.rejects.csv")
    assert leaks.found_in(rejects.read_bytes(), secrets=[token]) == []
    rows = rejects_in(rejects)
    assert [row["external_id"] for row in rows] == ["'=shop+1", "'@shop"]
    rows[0]["last4"], rows[1]["customer_ref"] = "9292", "1003"
    for number, give in enumerate(("[put the token back]", token)):
        rows[0]["caselle_processor_token"] = give
        corrected = tmp_path / f"corrected-{number}.csv"
        with corrected.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        done = vaultgraph("import", corrected, "--create-customers", data_dir=folder, sandbox=sandbox)
        assert f"{number + 1} imported" in done.stdout, done.stdout + done.stderr
    assert held(sandbox, "cus_load0021", "9292") == 1
    linked = vaultgraph("link", "=shop+1", "loanpro", "1004", data_dir=folder, sandbox=sandbox)
    assert linked.stdout.strip() == "linked", linked.stderr


def test_a_damaged_file_is_not_sent_and_no_file_is_overwritten(
    folder: Path, tmp_path: Path, sandbox: RunningSandbox
) -> None:
    rows = [card(f"shop-{n}", f"cus_load{n:04d}", f"zift-tok-{n:016d}", "9393") for n in range(31, 34)]
    path = written(tmp_path / "wallets.csv", rows)
    sound = path.read_text("utf-8")
    path.write_text(sound.replace("Load Customer", '"Load Customer', 1), "utf-8")
    done = vaultgraph("import", path, "--create-customers", data_dir=folder, sandbox=sandbox)
    place = f"{path}: line 2, row 1, column {HEADER.index('holder_name') + 1} (holder_name): has no closing quote"
    assert (done.returncode, done.stdout) == (1, "")
    assert place in done.stderr
    path.write_text(sound, "utf-8")
    existing = tmp_path / "wallets.csv.rejects.csv"
    existing.write_text("mine", "utf-8")
    (tmp_path / "link.csv").symlink_to(path)
    for more in ([], ["--rejects", path], ["--rejects", tmp_path / "link.csv"]):
        refused = vaultgraph("import", path, "--create-customers", *more, data_dir=folder, sandbox=sandbox)
        assert refused.returncode == 1
        assert refused.stderr.strip().splitlines()[-1].startswith("vaultgraph: "), refused.stderr
    assert (path.read_text("utf-8"), existing.read_text("utf-8")) == (sound, "mine")
    assert sandbox.calls("caselle") == []
