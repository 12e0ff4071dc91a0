"""`schema.graphql`, introspection and the subgraph, as tools of the JavaScript world read them."""

import subprocess
from pathlib import Path

import orjson
import pytest

from tests.support.command import vaultgraph
from tests.support.gateway import RunningGateway
from tests.support.node import npm_ci, require_node

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "clients"

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(400)]


def test_graphql_js_loads_the_schema_and_a_composer_the_subgraph(demo_gateway: RunningGateway, tmp_path: Path) -> None:
    node = require_node()
    npm_ci(FOLDER)
    subgraph = tmp_path / "subgraph.graphql"
    subgraph.write_text(vaultgraph("schema", "--subgraph").stdout, "utf-8")
    done = subprocess.run(
        [node, "schema.mjs", ROOT / "schema.graphql", subgraph, f"{demo_gateway.url}/graphql", demo_gateway.token()],
        cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert orjson.loads(done.stdout) == {"differences": [], "compositionErrors": [], "joins": True}
