"""Web apps of other origins in a real browser: preflights, and which responses their pages can read."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Running
from tests.support.gateways import StartGateway, patient
from tests.support.node import npm_ci, require_chromium, require_node

BROWSER = Path(__file__).resolve().parent.parent / "browser"
ALLOWED = {
    "query": {"data": {"customer": {"name": "Alex Morales"}}, "requestIdIsExposed": True},
    "stream": {"type": "text/event-stream; charset=utf-8", "first": ":\n\n"},
    "socket": "connection_ack",
}
BLOCKED = {"query": "TypeError: Failed to fetch", "stream": "TypeError: Failed to fetch", "socket": 1006}

pytestmark = [pytest.mark.xdist_group("node")]


def tried_from(pages: list[str], gateway: str, token: str) -> Any:
    """What pages of these origins could do with the gateway."""
    node, chromium = require_node(), require_chromium()
    npm_ci(BROWSER)
    done = subprocess.run(
        [node, "origins.mjs", chromium, gateway, token, *pages],
        cwd=BROWSER, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_a_listed_origin_sends_what_tracing_tools_add_and_another_reads_nothing(start_gateway: StartGateway) -> None:
    """Sentry's `sentry-trace` and `baggage`, OpenTelemetry's `traceparent` and `tracestate`, and `last-event-id`."""
    app, foreign = "http://app.example", "http://evil.example"
    gateway = start_gateway(**patient(), gate={"cors_origins": [app]})
    seen = tried_from([app, foreign], gateway.url, gateway.token())
    assert seen == {app: ALLOWED, foreign: BLOCKED}


def test_dev_serves_web_apps_of_this_machine(tmp_path: Path) -> None:
    pages = ["http://localhost:5173", "http://127.0.0.1:3000", "http://app.localhost:8080"]
    foreign = "http://app.example"
    require_node()
    require_chromium()
    with Running("dev", "--port", "0", "--sandbox-port", "0", "--data-dir", tmp_path / "data") as running:
        url = running.until(r"^Gateway +(http://\S+)/graphql")[1]
        token = running.until(r"Bearer ([\w.-]+)")[1]
        seen = tried_from([*pages, foreign], url, token)
    assert seen == {**dict.fromkeys(pages, ALLOWED), foreign: BLOCKED}
