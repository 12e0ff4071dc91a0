"""Idle sockets do not exhaust a process with a low limit of open files."""

import json
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from app.api.auth.development import DevTokens
from tests.support.command import Running
from tests.support.sandbox import RunningSandbox

HALF = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nx"
WALLET = {"query": '{ customer(id: "cus_alex") { paymentMethods { id } sources { provider state } } }'}


def test_more_idle_sockets_than_files(tmp_path: Path, sandbox: RunningSandbox) -> None:
    folder = tmp_path / "data"
    options = ("--port", "0", "--sandbox-url", sandbox.url, "--data-dir", folder)
    with Running("dev", *options, open_files=256) as running, ExitStack() as sockets:
        url = running.until(r"^Gateway +(http://\S+)/graphql")[1]
        running.until(r"^Try")
        address = urlsplit(url)
        token = DevTokens.open(folder).mint()
        for number in range(300):
            idle = sockets.enter_context(socket.create_connection((address.hostname, address.port), timeout=20))
            if number % 3:
                idle.sendall(b"G" if number % 3 == 1 else HALF)
            if number % 50 == 49:
                sent = {"content-type": "application/json", "authorization": f"Bearer {token}"}
                with urlopen(Request(f"{url}/graphql", json.dumps(WALLET).encode(), sent), timeout=20) as reply:
                    assert json.load(reply)["data"]["customer"]["paymentMethods"]
                with urlopen(f"{url}/healthz", timeout=20) as reply:
                    assert reply.status == 200
        assert running.stop() == 0
        assert "Traceback" not in running.text
