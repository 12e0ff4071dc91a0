"""`make sbom`: the bill of materials names every package of an installation, and is valid CycloneDX."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

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
