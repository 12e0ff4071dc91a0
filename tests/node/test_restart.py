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

pytestmark = [pytest.mark.xdist_group("node")]


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


def test_an_event_source_with_its_own_fetch_resumes(start_gateway: StartGateway, sandbox: RunningSandbox) -> None:
    """By `Last-Event-ID`: what happened while the stream was away comes first, and nothing comes twice."""
    node = require_node()
    npm_ci(FOLDER / "protocol")
    first = start_gateway(**patient())
    command = [node, "resume.mjs", f"{first.url}/graphql", first.token()]
    with listening(command, FOLDER / "protocol") as lines:
        until_joined(first)
        before = happen(first)
        assert lines.get(timeout=60) == "LISTENING"
        first.stop()
        with RunningGateway(sandbox.url, first.data_dir, port=urlsplit(first.url).port or 0, **patient()) as second:
            missed = happen(second)
            lines.say("go on")
            until_joined(second)
            after = happen(second)
            heard = json.loads(lines.get(timeout=60))
    assert heard == {"heard": [before, missed, after], "sent": [None, before]}


class Lines(queue.Queue[str]):
    """What a command prints, line by line, and its input."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        super().__init__()
        self._process = process

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@contextmanager
def listening(command: list[str], folder: Path) -> Iterator[Lines]:
    """The command's lines, as they come; the last item is what it said at its end where it failed."""
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    lines = Lines(process)

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
