"""GraphiQL in a real browser that can reach nothing but the gateway."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.gate import graphiql
from tests.support.command import Running
from tests.support.node import npm_ci, require_chromium, require_node, skip_or_fail

BROWSER = Path(__file__).resolve().parent.parent / "browser"


def opened(url: str, folder: Path) -> Any:
    """What happened when a browser opened the page and ran the example."""
    node, chromium = require_node(), require_chromium()
    npm_ci(BROWSER)
    done = subprocess.run(
        [node, "graphiql.mjs", chromium, url, str(folder / "graphiql.png")],
        cwd=BROWSER, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(600)
def test_the_page_works_with_no_network_beyond_the_gateway(tmp_path: Path) -> None:
    """As `vaultgraph dev` serves it: opened, and the example run, without a thing to fill in."""
    require_node()
    require_chromium()
    if graphiql.assets_folder() is None:
        skip_or_fail("node", "GraphiQL was not bundled when this was installed")
    with Running("dev", "--port", "0", "--sandbox-port", "0", "--data-dir", tmp_path / "data") as running:
        seen = opened(running.until(r"^GraphiQL +(http://\S+)")[1], tmp_path)
        assert "CDN" not in running.text
    assert seen["elsewhere"] == []
    assert seen["failed"] == []
    assert seen["errors"] == []
    assert seen["title"] == "Vaultgraph"
    assert "query Wallet" in seen["query"]
    for answer in (seen["response"], seen["reloaded"]):
        assert '"name": "Alex Morales"' in answer
        assert '"errors"' not in answer
    assert set(seen["graphql"]) == {200}, "introspection, and the example"
    assert len(seen["graphql"]) >= 2
    assert "Query" in seen["docs"]
