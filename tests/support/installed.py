"""Installs packages for one test, into a folder on the path of the test's processes."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def install(package: Path, site: Path) -> Path:
    """Install a package of this repository like a user, but offline and without dependencies."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--target", site, package],
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return site


def run_python(*words: str | Path, site: Path, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the packages in `site`, this repository and the test dependencies."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VAULTGRAPH_", "PYTEST_"))}
    path = os.pathsep.join([str(site), str(ROOT)])
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd, env={**kept, "PYTHONPATH": path, **env},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
