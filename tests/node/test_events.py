"""A customer's events received by the reference clients of both protocols: missed ones first, then new ones."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.store.records import EventType, NewEvent
from tests.support.gateway import RunningGateway
from tests.support.node import npm_ci, require_node

FOLDER = Path(__file__).parent / "protocol"

pytestmark = [pytest.mark.xdist_group("node")]


def happen(gateway: RunningGateway) -> str:
    event = NewEvent(type=EventType.METHOD_UPDATED, customer_id="cus_alex")
    return str(gateway.on_loop(gateway.gateway.store.events.append(event)).id)


def events_received_by(folder: Path, script: str, gateway: RunningGateway, *words: str) -> tuple[Any, list[str]]:
    """The JSON that the script prints, and the ids of the events after its first: one missed, two new ones."""
    node = require_node()
    npm_ci(folder)
    last, missed = happen(gateway), happen(gateway)
    listening = subprocess.Popen(
        [node, script, f"{gateway.url}/graphql", gateway.token(), last, *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert listening.stdout is not None
        line = listening.stdout.readline()
        assert line == "LISTENING\n", listening.communicate(timeout=30)
        news = [happen(gateway) for _ in range(2)]
        out, errors = listening.communicate(timeout=60)
        assert listening.returncode == 0, errors[-2000:]
        return json.loads(out), [missed, *news]
    finally:
        listening.kill()
        listening.wait(10)


def test_the_reference_clients_miss_nothing(demo_gateway: RunningGateway) -> None:
    received, expected = events_received_by(FOLDER, "events.mjs", demo_gateway)
    assert received == {"bySocket": expected, "byEvents": expected}
