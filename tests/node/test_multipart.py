"""A customer's events received by Apollo Client over multipart and by urql: missed ones first, then new ones."""

from pathlib import Path

import pytest

from tests.node.test_events import events_received_by
from tests.support.gateway import RunningGateway

FOLDER = Path(__file__).parent / "clients"

pytestmark = [pytest.mark.xdist_group("node")]


def test_clients_that_read_parts_miss_nothing(demo_gateway: RunningGateway) -> None:
    received, expected = events_received_by(FOLDER, "multipart.mjs", demo_gateway, "3")
    assert received["byApollo"] == expected
    assert received["byUrql"] == expected
    assert 'multipart/mixed; boundary="graphql"; subscriptionSpec="1.0"' in received["types"]
