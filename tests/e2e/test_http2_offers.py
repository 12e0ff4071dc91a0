"""Clients that offer HTTP/2 with an ordinary request (`Upgrade: h2c`) are answered in HTTP/1.1."""

import shutil
import subprocess
from pathlib import Path

import orjson
import pytest

from tests.support.gateway import RunningGateway

JAVA = Path(__file__).resolve().parent.parent / "java"
QUERY = '{ customer(id: "cus_alex") { name } }'


def printed(*command: str | Path) -> list[str]:
    done = subprocess.run([*command], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_javas_http_client(demo_gateway: RunningGateway) -> None:
    if shutil.which("java") is None or shutil.which("javac") is None:
        pytest.skip("there is no JDK here")
    url, token = f"{demo_gateway.url}/graphql", demo_gateway.token()
    replies = [line.split(" ", 2) for line in printed("java", JAVA / "Wallet.java", url, token)]
    assert [(status, version) for status, version, _ in replies] == [("200", "HTTP_1_1")] * 3
    assert [orjson.loads(body)["data"] for *_, body in replies] == [{"customer": {"name": "Alex Morales"}}] * 3


def test_curl_with_http2(demo_gateway: RunningGateway) -> None:
    if shutil.which("curl") is None or "HTTP2" not in subprocess.check_output(["curl", "--version"], text=True):
        pytest.skip("there is no curl with HTTP/2 here")
    headers = ["-H", "content-type: application/json", "-H", f"authorization: Bearer {demo_gateway.token()}"]
    body = orjson.dumps({"query": QUERY}).decode()
    result = ["-w", "\n%{response_code} %{http_version}"]
    reply, said = printed("curl", "-sS", "--http2", *headers, "-d", body, *result, f"{demo_gateway.url}/graphql")
    assert (said, orjson.loads(reply)["data"]) == ("200 1.1", {"customer": {"name": "Alex Morales"}})
