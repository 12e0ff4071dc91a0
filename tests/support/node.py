"""Tests that need Node.js, Chromium or pgbouncer: skipped with one reason if missing, or failed if required.

``VAULTGRAPH_TEST_REQUIRE=node,chromium,pgbouncer`` requires them: `.ci/run` sets it after installing them.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

_LOCK = "package-lock.json"
_SKIP_PREFIX = "not here: "


def require_node() -> str:
    """The path of `node`; npm is installed too."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        skip_or_fail("node", "Node.js and npm are not installed here")
    assert node is not None
    return node


def require_chromium() -> str:
    """The path of Chromium or Chrome."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    skip_or_fail("chromium", "Chromium is not installed here")
    raise AssertionError("unreachable")


def require_program(name: str) -> str:
    """The path of this program."""
    found = shutil.which(name)
    if found is None:
        skip_or_fail(name, f"{name} is not installed here")
    assert found is not None
    return found


def npm_ci(folder: Path) -> Path:
    """Install a folder's locked packages into its ``node_modules``, once per lock file; safe with parallel test
    workers.
    """
    require_node()
    lock = (folder / _LOCK).read_bytes()
    stamp = folder / "node_modules" / ".vaultgraph-lock"
    wanted = hashlib.sha256(lock).hexdigest()
    with open(folder / _LOCK, "rb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (stamp.is_file() and stamp.read_text("utf-8") == wanted):
            done = subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
                cwd=folder, capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"npm ci failed: {done.stderr[-2000:]}"
            stamp.write_text(wanted, "utf-8")
    return folder / "node_modules"


def skip_or_fail(what: str, reason: str) -> None:
    """Skip, or fail if `what` is required: ``node chromium pgbouncer python-clients release-tools``."""
    if what in os.environ.get("VAULTGRAPH_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{reason}, and VAULTGRAPH_TEST_REQUIRE asks for it")
    pytest.skip(f"{_SKIP_PREFIX}{reason}")


def skipped_for_want(reports: Iterable[Any]) -> Iterator[str]:
    """One line per reason with its number of tests, for the end of a test run."""
    texts = (report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple))
    found = Counter(text.partition(_SKIP_PREFIX)[2] for text in texts if _SKIP_PREFIX in text)
    for reason, count in sorted(found.items()):
        yield f"{count} {'test' if count == 1 else 'tests'} skipped: {reason}"
