"""Fixtures of the tests over HTTP."""

import shutil
from pathlib import Path

import pytest

from tests.support.gateways import _demo_directory, demo_gateway, start_gateway  # noqa: F401
from tests.support.slow_vault import slow  # noqa: F401


@pytest.fixture
def folder(tmp_path: Path, _sqlite_template: Path) -> Path:
    """A data directory with a store."""
    made = tmp_path / "data"
    made.mkdir()
    shutil.copy(_sqlite_template, made / "vaultgraph.db")
    return made
