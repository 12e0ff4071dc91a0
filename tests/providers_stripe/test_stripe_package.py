"""The example of a vault from outside: it installs, and its own tests pass over localstripe."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support.installed import ROOT, install, run_python

PACKAGE = ROOT / "examples" / "providers" / "stripe"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package as it is published: nothing of this repository is beside it."""
    return shutil.copytree(
        PACKAGE, tmp_path / "vaultgraph-stripe", ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
    )


@pytest.mark.parametrize("module", ["test_contract.py", "test_stripe.py", "test_gateway.py"])
def test_its_own_tests_pass(copy: Path, tmp_path: Path, module: str) -> None:
    site = install(copy, tmp_path / "site")
    shutil.rmtree(copy / "vaultgraph_stripe")  # the tests see what was installed
    done = run_python("-m", "pytest", "-p", "no:xdist", copy / "tests" / module, site=site, cwd=copy)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 3
