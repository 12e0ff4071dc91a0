"""Writes dist/release-notes.md for `make release`: the changes, the bill of materials, the advisory check.

Usage: release_notes.py DIST CHANGELOG. DIST/audit.json is what `pip-audit --format json` wrote; if it is missing, the
database of advisories could not be reached, and the notes say that nothing was checked. Exits with 1 if there is an
advisory.
"""

import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any


def main(dist: Path, changelog: Path) -> int:
    newest = re.search(r"^## (.+?)\n(.*?)(?=^## |\Z)", changelog.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert newest is not None, f"{changelog} has no heading of a version"
    bill = (dist / "sbom.cdx.json").read_bytes()
    checked, has_advisories = advisories(dist / "audit.json")
    (dist / "release-notes.md").write_text(
        f"# Vaultgraph {newest[1]}\n\n{newest[2].strip()}\n\n## Supply chain\n\n"
        f"- Bill of materials: `sbom.cdx.json`, CycloneDX {json.loads(bill)['specVersion']}, "
        f"{len(json.loads(bill)['components'])} packages, SHA-256 `{sha256(bill).hexdigest()}`\n{checked}",
        "utf-8",
    )
    sys.stderr.write(checked)
    return int(has_advisories)


def advisories(audit: Path) -> tuple[str, bool]:
    """Lines of Markdown, and whether any package has an advisory."""
    packages: list[dict[str, Any]] = json.loads(audit.read_text("utf-8"))["dependencies"] if audit.exists() else []
    checked = [package for package in packages if "skip_reason" not in package]
    if not checked:
        return "- Advisories (`pip-audit`): **not checked**, the database could not be reached.\n", False
    found = [(package, advisory) for package in checked for advisory in package["vulns"]]
    lines = [f"- Advisories (`pip-audit`): {len(found) or 'none'} for the {len(checked)} packages that were checked."]
    for package, advisory in found:
        fixed = ", ".join(advisory["fix_versions"]) or "no version"
        lines.append(f"  - {package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}")
    if skipped := [package["name"] for package in packages if "skip_reason" in package]:
        lines.append(f"  - **Not checked**, because the database lacks them: {', '.join(skipped)}")
    return "\n".join(lines) + "\n", bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
