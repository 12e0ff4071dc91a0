"""A deploy under open subscriptions: the public clients of every transport subscribe again by themselves."""

import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.node.test_events import happen
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.node import npm_ci, require_node
from tests.support.sandbox import RunningSandbox
from tests.support.streams import until_joined

FOLDER = Path(__file__).parent

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(300)]


@pytest.mark.parametrize(("folder", "clients"), [("protocol", ["bySocket", "byEvents"]), ("clients", ["byApollo"])])
def test_clients_come_back_after_a_restart(
    folder: str, clients: list[str], start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    node = require_node()
    npm_ci(FOLDER / folder)
    first = start_gateway(**patient())
    command = [node, "restart.mjs", f"{first.url}/graphql", first.token(), "2"]
    with listening(command, FOLDER / folder) as lines:
        until_joined(first, len(clients))
        before = happen(first)
        assert lines.get(timeout=60) == "READY"
        first.stop()
        with RunningGateway(sandbox.url, first.data_dir, port=urlsplit(first.url).port or 0, **patient()) as second:
            until_joined(second, len(clients))
            after = happen(second)
            heard = json.loads(lines.get(timeout=60))
    assert heard == {name: [before, after] for name in clients}


@contextmanager
def listening(command: list[str], folder: Path) -> Iterator["queue.Queue[str]"]:
    """The command's lines, as they come; the last item is what it said at its end where it failed."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            lines.put(line.rstrip("\n"))
        lines.put(f"ended: {process.stderr.read()[-2000:]}")

    threading.Thread(target=read, daemon=True).start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait(10)
