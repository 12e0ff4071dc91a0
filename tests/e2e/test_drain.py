"""Graceful shutdown: requests in flight complete, new ones are refused, and slow ones get an error."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
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

WALLET = b'{"query": "{ customer(id: \\"cus_alex\\") { paymentMethods { id } sources { provider state } } }"}'


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

    def ask(self, request: bytes = WALLET) -> Asking:
        return Asking(self.url, self._token, request)


@pytest.fixture
def dev(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Dev]:
    config = tmp_path / "drain.toml"
    config.write_text("grace_s = 3\nrequest_deadline_s = 60\n[caselle]\ndeadline_s = 60\n")
    folder = tmp_path / "data"
    options = ("--port", "0", "--sandbox-url", sandbox.url, "--data-dir", folder, "--config", config)
    with Running("dev", *options) as running:
        yield Dev(running, folder)


def _wait_for_call(sandbox: RunningSandbox, provider: str) -> None:
    give_up_at = time.monotonic() + 10
    while not sandbox.calls(provider):
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_requests_in_flight_complete_and_new_ones_are_refused(dev: Dev, sandbox: RunningSandbox) -> None:
    sandbox.fault("caselle", "delay", delay_ms=1_000)
    asking = [dev.ask() for _ in range(20)]
    _wait_for_call(sandbox, "caselle")
    time.sleep(0.3)  # all twenty have arrived
    dev.running.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    address = urlsplit(dev.url)
    late = http.client.HTTPConnection(address.hostname or "", address.port, timeout=5)
    with pytest.raises(OSError):
        late.connect()
    for one in asking:
        one.join(20)
    assert {one.status for one in asking} == {200}
    assert all(one.body.count(b'"state":"OK"') == 4 for one in asking)
    assert dev.running.ended() == 0
    assert "Traceback" not in dev.running.text


def test_a_write_in_flight_completes_and_is_journalled(dev: Dev, sandbox: RunningSandbox) -> None:
    held = len(sandbox.held("caselle", "cus_88420"))
    wish = adding(caselle_card(sandbox))
    document = "mutation ($input: AddPaymentMethodInput!) { addPaymentMethod(input: $input) { %s } }"
    shown = "operation { state } userErrors { code } paymentMethod { id }"
    request = json.dumps({"query": document % shown, "variables": {"input": wish}}).encode()
    sandbox.fault("caselle", "delay", method="POST", delay_ms=1_000)
    asking = dev.ask(request)
    give_up_at = time.monotonic() + 10
    while not [row for row in sandbox.calls("caselle") if row["method"] == "POST"]:
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
    dev.running.process.send_signal(signal.SIGTERM)
    asking.join(20)
    payload = json.loads(asking.body)["data"]["addPaymentMethod"]
    assert (payload["operation"], payload["userErrors"]) == ({"state": "SUCCEEDED"}, [])
    assert payload["paymentMethod"] is not None
    assert dev.running.ended() == 0
    assert len(sandbox.held("caselle", "cus_88420")) == held + 1


def test_requests_still_in_flight_after_the_grace_period_get_a_retryable_error(
    dev: Dev, sandbox: RunningSandbox
) -> None:
    sandbox.fault("caselle", "hang")
    asking = dev.ask()
    _wait_for_call(sandbox, "caselle")
    began = time.monotonic()
    status = dev.running.stop(signal.SIGTERM)
    took = time.monotonic() - began
    asking.join(20)
    assert (asking.status, asking.headers.get("retry-after")) == (503, "1")
    assert status == 0
    assert took > 2.5
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
