"""`@defer` as real clients show it: the fast vaults' methods while the slow vault is held, then the rest."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import npm_ci, require_node
from tests.support.sandbox import RunningSandbox
from tests.support.slow_vault import FAST, SlowVault, providers

HERE = Path(__file__).parent
CLIENTS = {
    "apollo": ("clients", 'multipart/mixed; boundary="graphql"; deferSpec=20220824'),
    "apollo by id": ("clients", 'multipart/mixed; boundary="graphql"; incrementalSpec=v0.2'),
    "urql": ("clients", 'multipart/mixed; boundary="graphql"; deferSpec=20220824'),
    "graphql-ws": ("protocol", None),
    "graphql-sse": ("protocol", None),
}
Show = Callable[[str], Iterator[Any]]

pytestmark = [pytest.mark.xdist_group("node")]


@pytest.fixture
def show(slow: SlowVault) -> Iterator[Show]:
    """The lines that a client prints, as it prints them."""
    running: list[subprocess.Popen[str]] = []

    def start(client: str) -> Iterator[Any]:
        folder = HERE / CLIENTS[client][0]
        node = require_node()
        npm_ci(folder)
        words = [node, "defer.mjs", f"{slow.gateway.url}/graphql", slow.gateway.token(), client]
        process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
        assert process.stderr is not None
        assert process.wait(60) == 0, process.stderr.read()[-2000:]

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_shows_the_fast_vaults_first(client: str, slow: SlowVault, show: Show) -> None:
    slow.close()
    shown = show(client)
    if (media_type := CLIENTS[client][1]) is not None:
        assert next(shown) == {"type": media_type}
    first = next(shown)
    assert (first["hasNext"], first["codes"]) == (True, [])
    assert providers(first["data"]["customer"]["fast"]) == FAST
    assert "slow" not in first["data"]["customer"]
    slow.gate.set()
    (last,) = shown
    assert (last["hasNext"], last["codes"]) == (False, [])
    customer = last["data"]["customer"]
    assert (customer["name"], providers(customer["fast"])) == ("Alex Morales", FAST)
    assert providers(customer["slow"]) == {"LOANPRO"}


@pytest.mark.parametrize("client", ["apollo", "apollo by id", "urql"])
def test_a_client_shows_an_error_of_the_part(client: str, slow: SlowVault, sandbox: RunningSandbox, show: Show) -> None:
    slow.gate.set()
    sandbox.fault("loanpro", "status", status=500)
    _, *_, last = show(client)
    assert (last["hasNext"], last["codes"]) == (False, ["SOURCES_UNAVAILABLE"])
    assert providers(last["data"]["customer"]["fast"]) == FAST
    assert last["data"]["customer"]["slow"] is None
