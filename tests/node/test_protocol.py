"""The public suites: every audit of `graphql-http`, and the reference clients of the two streaming protocols."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import RunningGateway
from tests.support.node import npm_ci, require_node

FOLDER = Path(__file__).parent / "protocol"
AUDITS = 61

pytestmark = [pytest.mark.xdist_group("node")]


def run_script(name: str, gateway: RunningGateway) -> Any:
    node = require_node()
    npm_ci(FOLDER)
    done = subprocess.run(
        [node, name, f"{gateway.url}/graphql", gateway.token()],
        cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_audit_of_graphql_over_http_passes(demo_gateway: RunningGateway) -> None:
    results = run_script("audits.mjs", demo_gateway)
    assert [one for one in results if one["status"] != "ok"] == []
    assert len(results) == AUDITS
    assert len({one["id"] for one in results}) == AUDITS


def test_the_reference_clients_get_along(demo_gateway: RunningGateway) -> None:
    report = run_script("clients.mjs", demo_gateway)
    for transport in ("socket", "events"):
        (answer,) = report[transport]["found"]
        assert answer["data"]["customer"] == {"name": "Alex Morales"}
        assert "errors" not in answer
    assert report["socketManyAtOnce"] == 20
    assert report["socketInvalid"] == {"errors": ["GRAPHQL_VALIDATION_FAILED"]}
    assert report["socketRefused"]["code"] == 4403
    assert "400" in report["eventsInvalid"]["message"]
