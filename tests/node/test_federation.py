"""`examples/federation`: Hive Gateway answers across Vaultgraph and a subgraph of orders."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.server.sockets import bind
from tests.support.command import EXECUTABLE
from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient, sources
from tests.support.mutating import SET_DEFAULT
from tests.support.node import npm_ci, require_node
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "federation"
README = (EXAMPLE / "README.md").read_text("utf-8")
QUERY: str = json.loads(re.findall(r"-d '(.*)'$", README, re.MULTILINE)[0])["query"]
COMPOSE = "\n".join(
    line.replace("../../.venv/bin/vaultgraph", str(EXECUTABLE)).replace("../../.venv/bin/python", sys.executable)
    for line in README.splitlines()
    if line.endswith(".graphql")
)
"""The commands of the README that write the three schemas."""

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(400)]


class Router:
    """Hive Gateway with the example's own files, except for the ports."""

    def __init__(self, url: str, gateway: RunningGateway, orders: "subprocess.Popen[bytes]") -> None:
        self.url, self.gateway, self.orders = url, gateway, orders

    def __call__(self, text: str, authorized: bool = True, **variables: Any) -> dict[str, Any]:
        headers = {"content-type": "application/json", **(self.gateway.headers if authorized else {})}
        body = json.dumps({"query": text, "variables": variables}).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url, body, headers), timeout=30) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer


@pytest.fixture
def router(start_gateway: StartGateway, tmp_path: Path) -> Iterator[Router]:
    require_node()
    modules = npm_ci(EXAMPLE)
    gateway = start_gateway(**patient(stale_if_error_for_s=0))
    for name in ("orders.py", "compose.mjs", "gateway.config.mjs", "package.json"):
        shutil.copy(EXAMPLE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(modules)
    with bind("127.0.0.1", 0, "--port") as one, bind("127.0.0.1", 0, "--port") as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
    env = {
        **os.environ,
        "VAULTGRAPH_URL": f"{gateway.url}/graphql",
        "ORDERS_URL": f"http://127.0.0.1:{ports[0]}/",
        "PYTHONPATH": str(tmp_path),
    }
    subprocess.run(["bash", "-euc", COMPOSE], cwd=tmp_path, env=env, check=True, timeout=60)
    uvicorn = [sys.executable, "-m", "uvicorn", "orders:app", "--port", str(ports[0]), "--log-level", "error"]
    hive = [
        modules / ".bin" / "hive-gateway",
        "supergraph",
        "--host",
        "127.0.0.1",
        "--port",
        str(ports[1]),
        "--fork",
        "0",
    ]
    with running(uvicorn, tmp_path, env, ports[0]) as orders, running(hive, tmp_path, env, ports[1]):
        yield Router(f"http://127.0.0.1:{ports[1]}/graphql", gateway, orders)


@contextmanager
def running(command: list[Any], folder: Path, env: dict[str, str], port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A process, once its port accepts connections."""
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def answers() -> bool:
        assert process.poll() is None, process.communicate()[0][-2000:]
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    try:
        eventually(answers, f"port {port}", 60)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_a_router_answers_across_both_subgraphs(router: Router, sandbox: RunningSandbox) -> None:
    answer = router(QUERY)
    assert "errors" not in answer, answer["errors"]
    order = answer["data"]["order"]
    customer = order["customer"]
    assert (order["total"], customer["name"]) == ("59.90", "Alex Morales")
    assert [one["id"] for one in customer["orders"]] == ["ord_1001", "ord_1002"]
    methods = router('{ customer(id: "cus_alex") { paymentMethods { id isDefault } } }')["data"]["customer"][
        "paymentMethods"
    ]
    assert len(methods) == len(customer["paymentMethods"]) == 9
    assert set(sources(customer).values()) == {"OK"}

    chosen = next(one["id"] for one in methods if not one["isDefault"])
    written = router(
        SET_DEFAULT, input={"customerId": "cus_alex", "paymentMethodId": chosen, "mirrorToProvider": False}
    )
    assert "errors" not in written, written["errors"]
    after = router('{ customer(id: "cus_alex") { defaultMethod { id } } }')["data"]["customer"]
    assert after["defaultMethod"] == {"id": chosen}

    sandbox.fault("loanpro", "status", status=503)
    customer = router(QUERY)["data"]["order"]["customer"]
    assert sources(customer)["LOANPRO"] == "UNAVAILABLE"
    assert [one["id"] for one in customer["orders"]] == ["ord_1001", "ord_1002"]
    assert {one["provider"] for one in customer["paymentMethods"]} == {"ALOHA", "JPMORGAN", "CASELLE"}
    sandbox.clear_faults()

    anonymous = router('{ order(id: "ord_1001") { customer { name orders { id } } } }', authorized=False)
    assert {one["extensions"]["code"] for one in anonymous["errors"]} == {"UNAUTHENTICATED"}
    customer = anonymous["data"]["order"]["customer"]
    assert (customer["name"], len(customer["orders"])) == (None, 2), "orders are not behind Vaultgraph's rights"

    router.orders.kill()
    router.orders.wait(10)
    without = router('{ customer(id: "cus_alex") { name orders { id } } }')
    assert without["data"]["customer"] == {"name": "Alex Morales", "orders": None}
    assert without["errors"]
