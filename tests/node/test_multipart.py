"""A customer's events heard by Apollo Client, in parts, and urql, as it likes: what was missed, then what is new."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.node.test_events import happen
from tests.support.gateway import RunningGateway
from tests.support.node import npm_ci, require_node

FOLDER = Path(__file__).parent / "clients"

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(300)]


def test_clients_that_read_parts_miss_nothing(demo_gateway: RunningGateway) -> None:
    node = require_node()
    npm_ci(FOLDER)
    last, missed = happen(demo_gateway), happen(demo_gateway)
    listening = subprocess.Popen(
        [node, "multipart.mjs", f"{demo_gateway.url}/graphql", demo_gateway.token(), last, "3"],
        cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert listening.stdout is not None
        line = listening.stdout.readline()
        assert line == "LISTENING\n", listening.communicate(timeout=30)
        news = [happen(demo_gateway) for _ in range(2)]
        out, errors = listening.communicate(timeout=60)
        assert listening.returncode == 0, errors[-2000:]
        heard = json.loads(out)
        assert heard["byApollo"] == [missed, *news]
        assert heard["byUrql"] == [missed, *news]
        assert 'multipart/mixed; boundary="graphql"; subscriptionSpec="1.0"' in heard["types"]
    finally:
        listening.kill()
        listening.wait(10)
