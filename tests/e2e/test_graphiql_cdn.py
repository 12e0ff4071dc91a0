"""GraphiQL's fallback page in a real browser: its files are those of the npm packages, byte for byte."""

import base64
import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from app.api import graphiql
from tests.e2e.test_graphiql import BROWSER
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.node import npm_ci, require_chromium, require_node


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``NAME@VERSION/...`` of every package that the page loads files from."""
    require_node()
    folder = tmp_path_factory.mktemp("packages")
    for package in sorted({path.split("/")[0] for path in graphiql.CDN_FILES}):
        packed = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, capture_output=True, text=True, timeout=120, check=True
        )
        with tarfile.open(folder / packed.stdout.strip().splitlines()[-1]) as archive:
            archive.extractall(folder / package, filter="data")
        (folder / package / "package").rename(folder / f"{package}.unpacked")
        (folder / package).rmdir()
        (folder / f"{package}.unpacked").rename(folder / package)
    return folder


def test_the_hashes_are_those_of_the_packages(packages: Path) -> None:
    found = {
        path: "sha384-" + base64.b64encode(hashlib.sha384((packages / path).read_bytes()).digest()).decode()
        for path in graphiql.CDN_FILES
    }
    assert found == graphiql.CDN_FILES


@pytest.fixture
def gateway(start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch) -> RunningGateway:
    """A gateway as `vaultgraph dev` runs it, if the package was built without Node.js."""
    monkeypatch.setattr(graphiql, "assets_folder", lambda: None)
    return start_gateway(has_page_token=True, **patient())


def opened(gateway: RunningGateway, packages: Path, folder: Path, tampered: str = "") -> Any:
    node, chromium = require_node(), require_chromium()
    npm_ci(BROWSER)
    done = subprocess.run(
        [
            node, "graphiql-cdn.mjs", chromium, f"{gateway.url}/graphql", str(folder / "cdn.png"), graphiql.CDN,
            str(packages), tampered,
        ],
        cwd=BROWSER, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_the_example_runs_in_the_fallback_page(gateway: RunningGateway, packages: Path, tmp_path: Path) -> None:
    seen = opened(gateway, packages, tmp_path)
    assert sorted(seen["files"]) == sorted(graphiql.CDN_FILES)
    assert seen["elsewhere"] == []
    assert seen["errors"] == []
    assert "Alex Morales" in seen["response"]


def test_a_file_with_another_hash_is_not_run(gateway: RunningGateway, packages: Path, tmp_path: Path) -> None:
    seen = opened(gateway, packages, tmp_path, "react@18.3.1/umd/react.production.min.js")
    assert any("integrity" in error for error in seen["errors"])
