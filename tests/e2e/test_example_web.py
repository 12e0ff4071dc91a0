"""The example web app in a real browser, on a desk and on a phone."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.node.test_restart import listening
from tests.support import leaks
from tests.support.command import EXECUTABLE
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient
from tests.support.mutating import SET_DEFAULT
from tests.support.node import npm_ci, require_chromium, require_node
from tests.support.sandbox import RunningSandbox

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "examples" / "web"
BROWSER = ROOT / "tests" / "browser"
SCREENSHOTS = ROOT / "build" / "screenshots"
NUMBER = "4242424242424242"

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(500)]


@pytest.fixture(scope="session")
def built() -> Path:
    """The app, generated, type-checked and bundled as its README says."""
    require_node()
    npm_ci(APP)
    env = {**os.environ, "VAULTGRAPH_COMMAND": str(EXECUTABLE)}
    done = subprocess.run(["npm", "run", "build"], cwd=APP, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return APP


@contextmanager
def dev_server(app: Path, gateway: RunningGateway) -> Iterator[str]:
    env = {
        **os.environ,
        "VAULTGRAPH_COMMAND": str(EXECUTABLE),
        "VAULTGRAPH_DATA_DIR": str(gateway.data_dir),
        "VITE_VAULTGRAPH_URL": f"{gateway.url}/graphql",
        "NO_COLOR": "1",
    }
    vite = [require_node(), "node_modules/vite/bin/vite.js", "--port", "0"]
    with subprocess.Popen(vite, cwd=app, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield next(line.split()[-1] for line in process.stdout if "http://" in line)
        finally:
            process.kill()


@pytest.mark.parametrize("width", ["1280", "390"])
def test_a_customer_uses_the_wallet(
    width: str, built: Path, start_gateway: StartGateway, sandbox: RunningSandbox
) -> None:
    node, chromium = require_node(), require_chromium()
    npm_ci(BROWSER)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    leaks.note(NUMBER)
    settings = patient(retries=0)
    settings["caselle"]["write_deadline_s"] = 1
    gateway = start_gateway(**settings)
    with dev_server(built, gateway) as url:
        command = [node, "web-app.mjs", chromium, url, sandbox.url, NUMBER, width, str(SCREENSHOTS)]
        with listening(command, BROWSER) as lines:
            first = lines.get(timeout=240)
            assert first == "READY", first
            methods = gateway.data('{ customer(id: "cus_alex") { paymentMethods { id } } }')["customer"][
                "paymentMethods"
            ]
            chosen = {"customerId": "cus_alex", "paymentMethodId": methods[2]["id"], "mirrorToProvider": False}
            gateway.data(SET_DEFAULT, input=chosen)
            seen = json.loads(lines.get(timeout=60))
    assert seen["errors"] == []
    assert (seen["shown"]["methods"], seen["kept"]) == (9, 10)
    assert seen["shown"]["default"].startswith("Visa ending 1111")
    assert seen["optimistic"] == 0, "shown before the reply"
    assert seen["chosen"].startswith("Visa ending 4242")
    assert "cannot be restored" in seen["question"]
    assert seen["total"].startswith("Pay 2")
    assert "LOANPRO" in seen["partial"]
    assert "Checking account ending 1156" in seen["decided"]
    assert (seen["scrolls"], seen["sentNumber"]) == (False, False)
