"""A customer's events, heard by the reference clients of both protocols: what was missed first, then what is new."""

import json
import subprocess
from pathlib import Path

import pytest

from app.store.records import EventType, NewEvent
from tests.support.gateway import RunningGateway
from tests.support.node import npm_ci, require_node

FOLDER = Path(__file__).parent / "protocol"

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(300)]


def happen(gateway: RunningGateway) -> str:
    event = NewEvent(type=EventType.METHOD_UPDATED, customer_id="cus_alex")
    return str(gateway.on_loop(gateway.gateway.store.events.append(event)).id)


def test_the_reference_clients_miss_nothing(demo_gateway: RunningGateway) -> None:
    node = require_node()
    npm_ci(FOLDER)
    last, missed = happen(demo_gateway), happen(demo_gateway)
    listening = subprocess.Popen(
        [node, "events.mjs", f"{demo_gateway.url}/graphql", demo_gateway.token(), last],
        cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert listening.stdout is not None
        line = listening.stdout.readline()
        assert line == "LISTENING\n", listening.communicate(timeout=30)
        news = [happen(demo_gateway) for _ in range(2)]
        out, errors = listening.communicate(timeout=60)
        assert listening.returncode == 0, errors[-2000:]
        assert json.loads(out) == {"bySocket": [missed, *news], "byEvents": [missed, *news]}
    finally:
        listening.kill()
        listening.wait(10)
