"""`make release`: the bill of materials is valid and complete; the notes say what was checked for advisories."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import skip_or_fail

ROOT = Path(__file__).resolve().parent.parent


def test_the_bill_of_materials_is_valid_and_complete(tmp_path: Path) -> None:
    if importlib.util.find_spec("cyclonedx_py") is None:
        skip_or_fail("release-tools", "requirements/release.txt is not installed: make release-tools")
    (recipe,) = re.findall(r"\$\(BIN\)/cyclonedx-py (.*?) -o dist/\S+\n", (ROOT / "Makefile").read_text(), re.DOTALL)
    written = tmp_path / "sbom.cdx.json"
    options = recipe.replace("\\\n", " ").split()
    assert "--validate" in options, "against the schema of CycloneDX"
    command = [sys.executable, "-m", "cyclonedx_py", *options, "-o", str(written)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    bill = json.loads(written.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "vaultgraph"
    locked = re.findall(r"^([\w.-]+)==([^ ;]+)", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE)
    assert sorted((one["name"], one["version"]) for one in bill["components"]) == sorted(locked)
    assert all(one["externalReferences"][0]["hashes"] for one in bill["components"])


SKIPPED = {"name": "yarl", "skip_reason": "Dependency not found on PyPI and could not be audited: yarl (1.2)"}
CLEAN = {"name": "pyjwt", "version": "2.15.1", "vulns": []}
AFFECTED = {
    "name": "aiohttp",
    "version": "3.14.5",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["3.14.6"], "aliases": [], "description": ""}],
}


@pytest.mark.parametrize(
    ("packages", "status", "expected"),
    [
        (None, 0, ["**not checked**, the database could not be reached"]),
        ([SKIPPED], 0, ["**not checked**, the database could not be reached"]),
        ([CLEAN, SKIPPED], 0, ["none for the 1 packages that were checked", "**Not checked**", ": yarl\n"]),
        ([CLEAN, AFFECTED], 1, ["1 for the 2 packages", "aiohttp 3.14.5: PYSEC-2026-1, fixed in 3.14.6"]),
    ],
)
def test_the_release_notes_say_what_was_checked(
    packages: list[Any] | None, status: int, expected: list[str], tmp_path: Path
) -> None:
    (tmp_path / "sbom.cdx.json").write_text('{"specVersion": "1.6", "components": [{}, {}]}')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 0.2.0\n\n- New.\n\n## 0.1.0\n\n- Old.\n")
    if packages is not None:
        (tmp_path / "audit.json").write_text(json.dumps({"dependencies": packages, "fixes": []}))
    command = [sys.executable, ROOT / "scripts" / "release_notes.py", tmp_path, tmp_path / "CHANGELOG.md"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == status
    notes = (tmp_path / "release-notes.md").read_text()
    assert notes.startswith("# Vaultgraph 0.2.0\n\n- New.\n\n## Supply chain\n\n")
    assert "2 packages, SHA-256 `" in notes
    assert all(text in notes for text in expected), notes
