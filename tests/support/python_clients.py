"""Python clients with other dependency versions: installed once into a separate folder, and run without other
packages.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.node import skip_or_fail

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "python_clients"
_LOCK = ROOT / "requirements" / "clients.txt"


def python_clients() -> Path:
    """The packages of `requirements/clients.txt`; safe with parallel test workers."""
    site = FOLDER / "site"
    stamp = site / ".vaultgraph-lock"
    wanted = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    with open(_LOCK, "rb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (stamp.is_file() and stamp.read_text("utf-8") == wanted):
            shutil.rmtree(site, ignore_errors=True)
            command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes"]
            done = subprocess.run(
                [*command, "--target", site, "-r", _LOCK], capture_output=True, text=True, timeout=600, check=False
            )
            if done.returncode != 0:
                skip_or_fail("python-clients", "the clients of requirements/clients.txt cannot be installed here")
            stamp.write_text(wanted, "utf-8")
    return site


def run_python(*words: str | Path, site: Path | None, cwd: Path, **env: str) -> str:
    """The output of a script, run with only the packages of `site`, or with those of the tests."""
    environment = {**os.environ, **env}
    alone: list[str] = []
    if site is not None:
        alone, environment["PYTHONPATH"] = ["-S"], str(site)
    done = subprocess.run(
        [sys.executable, *alone, *words],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
