"""Graceful shutdown: requests in flight complete, new ones are refused, and slow ones get an error."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app import main
from app.api.auth.development import DevTokens
from tests.support.adding import adding, caselle_card
from tests.support.command import Running
from tests.support.gateways import StartGateway
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually

StartDev = Callable[[float], "Dev"]
LONG_S = 60.0


def wallet(customer: str) -> bytes:
    query = f'{{ customer(id: "{customer}") {{ paymentMethods {{ id }} sources {{ provider state }} }} }}'
    return json.dumps({"query": query}).encode()


class Asking(threading.Thread):
    """One request on its own connection, and its response."""

    def __init__(self, url: str, token: str, request: bytes) -> None:
        super().__init__(daemon=True)
        self._address = urlsplit(url)
        self._request = request
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.start()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=30)
        connection.request("POST", "/graphql", self._request, self._headers)
        reply = connection.getresponse()
        self.status, self.headers = reply.status, {name.lower(): value for name, value in reply.getheaders()}
        self.body = reply.read()
        connection.close()


class Dev:
    def __init__(self, running: Running, folder: Path) -> None:
        self.running = running
        self.url: str = running.until(r"^Gateway +(http://\S+)/graphql")[1]
        running.until(r"^Try")
        self._token = DevTokens.open(folder).mint()

    def ask(self, request: bytes) -> Asking:
        return Asking(self.url, self._token, request)


@pytest.fixture
def start_dev(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[StartDev]:
    """``start_dev(grace_s)`` runs a gateway with this grace period."""
    with ExitStack() as running:

        def start(grace_s: float) -> Dev:
            config = tmp_path / "drain.toml"
            config.write_text(f"grace_s = {grace_s}\nrequest_deadline_s = 60\n[caselle]\ndeadline_s = 60\n")
            folder = tmp_path / "data"
            options = ("--port", "0", "--sandbox-url", sandbox.url, "--data-dir", folder, "--config", config)
            return Dev(running.enter_context(Running("dev", *options)), folder)

        yield start


def test_requests_in_flight_complete_and_new_ones_are_refused(start_dev: StartDev, sandbox: RunningSandbox) -> None:
    dev = start_dev(LONG_S)
    sandbox.fault("caselle", "delay", delay_ms=1_000)
    asking = [dev.ask(wallet(f"cus_load-{number:04}")) for number in range(1, 21)]
    eventually(lambda: len(sandbox.calls("caselle")) == 20, "all twenty")
    dev.running.process.send_signal(signal.SIGTERM)
    address = urlsplit(dev.url)

    def is_refused() -> bool:
        late = http.client.HTTPConnection(address.hostname or "", address.port, timeout=5)
        try:
            late.connect()
        except OSError:
            return True
        late.close()
        return False

    eventually(is_refused, "a closed port")
    for one in asking:
        one.join(LONG_S)
    assert {one.status for one in asking} == {200}
    assert all(one.body.count(b'"state":"OK"') == 4 for one in asking)
    assert dev.running.ended() == 0
    assert "Traceback" not in dev.running.text


def test_a_write_in_flight_completes_and_is_journalled(start_dev: StartDev, sandbox: RunningSandbox) -> None:
    dev = start_dev(LONG_S)
    held = len(sandbox.held("caselle", "cus_88420"))
    wish = adding(caselle_card(sandbox))
    document = "mutation ($input: AddPaymentMethodInput!) { addPaymentMethod(input: $input) { %s } }"
    shown = "operation { state } userErrors { code } paymentMethod { id }"
    request = json.dumps({"query": document % shown, "variables": {"input": wish}}).encode()
    sandbox.fault("caselle", "delay", method="POST", delay_ms=1_000)
    asking = dev.ask(request)
    eventually(lambda: [row for row in sandbox.calls("caselle") if row["method"] == "POST"], "the write")
    dev.running.process.send_signal(signal.SIGTERM)
    asking.join(LONG_S)
    payload = json.loads(asking.body)["data"]["addPaymentMethod"]
    assert (payload["operation"], payload["userErrors"]) == ({"state": "SUCCEEDED"}, [])
    assert payload["paymentMethod"] is not None
    assert dev.running.ended() == 0
    assert len(sandbox.held("caselle", "cus_88420")) == held + 1


def test_requests_still_in_flight_after_the_grace_period_get_a_retryable_error(
    start_dev: StartDev, sandbox: RunningSandbox
) -> None:
    grace_s = 1.0
    dev = start_dev(grace_s)
    sandbox.fault("caselle", "hang")
    asking = dev.ask(wallet("cus_alex"))
    eventually(lambda: sandbox.calls("caselle"), "the call")
    began = time.monotonic()
    status = dev.running.stop(signal.SIGTERM)
    took = time.monotonic() - began
    asking.join(20)
    assert (asking.status, asking.headers.get("retry-after")) == (503, "1")
    assert status == 0
    assert took >= grace_s
    assert "Traceback" not in dev.running.text


def test_a_draining_gateway_is_alive_and_not_ready(start_gateway: StartGateway) -> None:
    gateway = start_gateway()

    def probed(path: str) -> tuple[int, Any]:
        reply = gateway.request("GET", path)
        return reply.status, reply.body

    assert probed("/readyz") == (200, {"status": "ready", "failing": []})
    gateway.gateway.begin_drain()
    assert probed("/readyz") == (503, {"status": "not ready", "failing": ["draining"]})
    assert probed("/healthz") == (200, {"status": "ok"})
    assert gateway.query('{ customer(id: "cus_alex") { name } }').status == 200, "who is connected is still served"


@pytest.mark.parametrize("named", ["store", "migrations"])
def test_a_store_that_does_not_answer_is_not_ready(
    named: str, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = start_gateway()

    async def failing(*_: object) -> bool:
        raise OSError("the disk is gone")

    if named == "store":
        monkeypatch.setattr(gateway.gateway.store.changes, "version", failing)
    else:
        monkeypatch.setattr(main, "require_schema", failing)
    reply = gateway.request("GET", "/readyz")
    assert (reply.status, reply.body["failing"]) == (503, [named])
    assert b"disk" not in reply.raw
    assert gateway.request("GET", "/healthz").status == 200
    monkeypatch.undo()
    assert gateway.request("GET", "/readyz").status == 200
