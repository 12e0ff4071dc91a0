"""`vaultgraph dev` and `vaultgraph sandbox` on first use."""

import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from app.cli.main import COMMANDS, load
from tests.support.command import Running, vaultgraph
from tests.support.sandbox import RunningSandbox
from tests.support.vault_proxy import VaultProxy

FREE = ("--port", "0", "--sandbox-port", "0")


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def gateway_of(running: Running) -> str:
    return running.until(r"^Gateway +(http://\S+)/graphql")[1]


def curl_of(running: Running) -> str:
    return running.until(r"^ +(curl .*)")[1]


def pasted(command: str) -> Any:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def get(url: str) -> tuple[int, Any]:
    with urlopen(url, timeout=10) as reply:
        return reply.status, json.load(reply)


def test_dev_prints_what_a_newcomer_needs(tmp_path: Path) -> None:
    with Running("dev", *FREE, "--data-dir", tmp_path / "data", is_cold=True) as running:
        url = gateway_of(running)
        answer = pasted(curl_of(running))
        assert answer["data"]["customer"]["name"] == "Alex Morales"
        assert {row["state"] for row in answer["data"]["customer"]["sources"]} == {"OK"}
        assert f"GraphiQL     {url}/graphql" in running.text
        sandbox = next(line for line in running.lines if line.startswith("Sandboxes")).split()[1]
        assert set(get(f"{sandbox}/__sandbox/credentials")[1]) == {"loanpro", "aloha", "jpmorgan", "caselle"}
        assert get(f"{url}/healthz") == (200, {"status": "ok"})
        assert get(f"{url}/readyz") == (200, {"status": "ready", "failing": []})
        assert [line for line in running.lines if "relaxed" in line.lower()], "what is relaxed is said"
        command = next(line for line in running.lines if line.startswith("Token")).split(maxsplit=1)[1]
        minted = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True).stdout
        body = json.dumps({"query": "{ viewer { scopes } }"}).encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {minted.split()[-1]}"}
        with urlopen(Request(f"{url}/graphql", body, headers), timeout=10) as reply:
            assert "explore" in json.load(reply)["data"]["viewer"]["scopes"]
        status = running.stop()
        assert status == 0
    assert "Traceback" not in running.text
    assert "rror" not in running.text
    assert (tmp_path / "data" / "vaultgraph.db").is_file()
    assert (tmp_path / "data" / "dev-keys.json").stat().st_mode & 0o077 == 0


def test_dev_on_every_address_is_reached_by_address_and_its_page_holds_no_token(tmp_path: Path) -> None:
    with Running("dev", *FREE, "--host", "0.0.0.0", "--data-dir", tmp_path) as running:
        url = gateway_of(running)
        assert running.until(r"^Relaxed .*OPEN TO YOUR NETWORK")
        bearer = re.search(r"Bearer ([^']+)", curl_of(running))
        assert bearer is not None
        for host, status in (("192.168.1.5:8000", 200), ("10.0.2.2:8000", 200), ("evil.example", 403)):
            request = Request(f"{url}/graphql", headers={"accept": "text/html", "host": host})
            try:
                with urlopen(request, timeout=10) as reply:
                    found, page = reply.status, reply.read().decode()
            except HTTPError as refused:
                found, page = refused.code, ""
            assert (found, bearer[1] in page) == (status, False), host


def test_ids_and_sandboxes_survive_a_restart(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        with Running("dev", *FREE, "--data-dir", tmp_path) as running:
            gateway_of(running)
            command = curl_of(running).replace("label provider", "id label")
            seen.append([one["id"] for one in pasted(command)["data"]["customer"]["paymentMethods"]])
            assert running.stop() == 0
    assert len(seen[0]) == 9
    assert seen[0] == seen[1]


def hanging_request(url: str, curl: str) -> threading.Thread:
    """The request of the printed curl command, sent and left without a response."""
    thread = threading.Thread(target=subprocess.run, args=(["sh", "-c", curl],), kwargs={"capture_output": True})
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_is_clean_while_a_vault_hangs_and_connections_are_open(number: int, tmp_path: Path) -> None:
    with Running("dev", *FREE, "--data-dir", tmp_path) as running:
        url = gateway_of(running)
        sandbox = running.until(r"^Sandboxes +(http://\S+)")[1]
        curl = curl_of(running)
        address = urlsplit(url)
        idle = http.client.HTTPConnection(address.hostname or "", address.port)
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        fault = json.dumps({"provider": "jpmorgan", "kind": "hang"}).encode()
        urlopen(Request(f"{sandbox}/__sandbox/faults", fault, {"content-type": "application/json"}), timeout=5).close()
        asking = hanging_request(url, curl)
        wait_for_call(sandbox, "jpmorgan")
        status = running.stop(number)
        asking.join(10)
        idle.close()
        assert status == 0
    assert "Traceback" not in running.text, running.text


def wait_for_call(sandbox: str, provider: str) -> None:
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        rows = get(f"{sandbox}/__sandbox/calls?provider={provider}")[1]
        if [row for row in rows if not row.get("token_route")]:
            return
        time.sleep(0.05)
    raise TimeoutError(provider)


def test_stopping_is_clean_while_a_subscriber_is_connected(tmp_path: Path) -> None:
    with Running("dev", *FREE, "--data-dir", tmp_path) as running:
        url = gateway_of(running)
        token = re.search(r"Bearer (\S+?)'", curl_of(running))
        assert token
        socket_url = f"ws{url.removeprefix('http')}/graphql"
        with connect(socket_url, subprotocols=[Subprotocol("graphql-transport-ws")]) as client:
            client.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token[1]}"}}))
            assert json.loads(client.recv(timeout=10))["type"] == "connection_ack"
            status = running.stop()
            assert status == 0, running.text
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=5)
    assert "Traceback" not in running.text


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """The first waits for a request in flight; the second does not."""
    config = tmp_path / "slow.toml"
    config.write_text("grace_s = 60\nrequest_deadline_s = 60\n[jpmorgan]\ndeadline_s = 60\n")
    with Running("dev", *FREE, "--data-dir", tmp_path / "data", "--config", config) as running:
        url = gateway_of(running)
        sandbox = running.until(r"^Sandboxes +(http://\S+)")[1]
        curl = curl_of(running)
        fault = json.dumps({"provider": "jpmorgan", "kind": "hang"}).encode()
        urlopen(Request(f"{sandbox}/__sandbox/faults", fault, {"content-type": "application/json"}), timeout=5).close()
        asking = hanging_request(url, curl)
        wait_for_call(sandbox, "jpmorgan")
        running.process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert running.process.poll() is None, "it waits for the request"
        status = running.stop(signal.SIGINT)
        asking.join(10)
        assert status == 130, "long before its 60 s of grace are over"


def test_a_signal_repeated_by_a_wrapper_counts_once(tmp_path: Path) -> None:
    with Running("dev", *FREE, "--data-dir", tmp_path) as running:
        gateway_of(running)
        curl_of(running)
        running.process.send_signal(signal.SIGINT)
        assert running.stop(signal.SIGINT) == 0
    assert "Traceback" not in running.text


def test_stopping_while_it_waits_for_a_sandbox_is_clean(tmp_path: Path) -> None:
    with Running(
        "dev", "--port", "0", "--sandbox-url", f"http://127.0.0.1:{free_port()}", "--data-dir", tmp_path
    ) as running:
        give_up_at = time.monotonic() + 60
        while not (tmp_path / "dev-keys.json").exists() and time.monotonic() < give_up_at:
            time.sleep(0.05)
        time.sleep(1)
        status = running.stop()
        assert status == 0, running.text
    assert "Traceback" not in running.text


def test_dev_waits_for_a_sandbox_that_is_starting(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        taken_port() as taken,
        Running(
            "dev", "--port", "0", "--sandbox-port", str(taken), "--sandbox-url", f"{url}/", "--data-dir", tmp_path / "g"
        ) as dev,
    ):
        time.sleep(2)
        assert dev.process.poll() is None, "--sandbox-url wins: the port of --sandbox-port is not even tried"
        with Running("sandbox", "--port", str(port), "--data-dir", tmp_path / "s") as sandbox:
            sandbox.until("^Sandboxes")
            gateway_of(dev)
            assert pasted(curl_of(dev))["data"]["customer"]["name"] == "Alex Morales"
            assert get(f"{url}/__sandbox/calls")[1], "that sandbox was asked"
            assert dev.stop() == 0
            assert sandbox.stop() == 0
    assert not (tmp_path / "g" / "sandbox").exists(), "no sandbox of its own"


def test_a_sandbox_that_never_starts_is_one_line(tmp_path: Path) -> None:
    for url in ("127.0.0.1:8001", "ftp://127.0.0.1"):
        done = vaultgraph("dev", "--port", "0", "--sandbox-url", url, "--data-dir", tmp_path)
        assert (done.returncode, one_line(done.stderr)) == (1, True), done.stderr
        assert "--sandbox-url" in done.stderr


def one_line(text: str) -> bool:
    return text.startswith("vaultgraph: ") and text.count("\n") == 1


def test_another_server_is_no_sandbox(tmp_path: Path, sandbox: RunningSandbox) -> None:
    with VaultProxy(f"{sandbox.url}/__sandbox", lambda body: {"loanpro": 5}) as other:
        url = other.url.removesuffix("/__sandbox")
        done = vaultgraph("dev", "--port", "0", "--sandbox-url", url, "--data-dir", tmp_path)
    assert (done.returncode, one_line(done.stderr)) == (1, True), done.stderr
    assert "--sandbox-url" in done.stderr


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["dev", "--sandbox-port", "0", "--port"], "--port"),
        (["dev", "--port", "0", "--sandbox-port"], "--sandbox-port"),
        (["sandbox", "--port"], "--port"),
    ],
    ids=["dev --port", "dev --sandbox-port", "sandbox --port"],
)
def test_a_port_in_use_is_one_line(command: list[str], option: str, tmp_path: Path) -> None:
    with taken_port() as port:
        done = vaultgraph(*command, str(port), "--data-dir", tmp_path)
    assert (done.returncode, one_line(done.stderr)) == (1, True), done.stderr
    assert f"127.0.0.1:{port}" in done.stderr
    assert done.stderr.rstrip().endswith(f"with {option}")
    assert done.stdout == ""


@pytest.mark.parametrize("command", [["dev", *FREE], ["sandbox", "--port", "0"]], ids=["dev", "sandbox"])
def test_a_data_directory_that_cannot_be_used_is_one_line(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = vaultgraph(*command, "--data-dir", tmp_path / "file" / "data")
    assert (done.returncode, one_line(done.stderr)) == (1, True), done.stderr
    assert "--data-dir" in done.stderr


def test_a_store_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "vaultgraph.db").write_text("this is no database" * 100)
    done = vaultgraph("dev", *FREE, "--data-dir", tmp_path)
    assert (done.returncode, one_line(done.stderr)) == (1, True), done.stderr
    assert "the store cannot be opened" in done.stderr


def test_standalone_sandboxes_keep_their_state(tmp_path: Path) -> None:
    token = None
    for turn in range(2):
        with Running("sandbox", "--port", "0", "--data-dir", tmp_path) as running:
            url = running.until(r"^Sandboxes +(http://[^/\s]+)")[1]
            held = get(f"{url}/__sandbox/customers/aloha/82c6fdcb-534f-415a-9e28-87be989e461f")[1]
            if turn == 0:
                assert len(held) == 2
                save_a_card(url)
                token = True
            else:
                assert len(held) == 3, "what was saved is still there"
            status = running.stop()
            assert status == 0
        assert "Traceback" not in running.text
    assert token
    assert {path.name for path in (tmp_path / "sandbox").iterdir()} >= {"aloha.json"}


def save_a_card(url: str) -> None:
    aloha = get(f"{url}/__sandbox/credentials")[1]["aloha"]
    body = {
        "CustomerId": "82c6fdcb-534f-415a-9e28-87be989e461f",
        "ProviderType": 2,
        "MaskedCardNumber": "123456xxxxxx7891",
        "ExpirationDate": "2031-12-01",
        "CardToken": "201:1234567890123499",
        "CardType": 6,
        "CardHolderName": None,
    }
    headers = {**aloha["headers"], "content-type": "application/json", "accept": "application/json"}
    request = Request(
        f"{aloha['base_url']}/v1/Customers/Payment/Token", json.dumps(body).encode(), headers, method="PUT"
    )
    with urlopen(request, timeout=10) as reply:
        assert reply.status == 200


def test_reset_starts_from_the_demo_data_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for turn, more in enumerate(([], ["--reset"])):
        with Running("dev", *FREE, "--data-dir", folder, *more) as running:
            sandbox = running.until(r"^Sandboxes +(http://\S+)")[1]
            assert len(get(f"{sandbox}/__sandbox/customers/aloha/82c6fdcb-534f-415a-9e28-87be989e461f")[1]) == 2
            token = curl_of(running)
            if turn == 0:
                save_a_card(sandbox)
                add = vaultgraph("partner", "add", "acme", "--scope", "explore", "--data-dir", folder)
                assert add.returncode == 0, add.stderr
                keys = (folder / "dev-keys.json").read_bytes()
            assert "Bearer" in token
            assert running.stop() == 0
    listed = vaultgraph("partner", "list", "--data-dir", folder).stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["demo"]
    assert (folder / "dev-keys.json").read_bytes() == keys, "tokens and ids stay valid"


def test_reset_deletes_only_what_dev_has_made(tmp_path: Path) -> None:
    (tmp_path / "vaultgraph.db").write_bytes(b"a store in production")
    done = vaultgraph("dev", *FREE, "--reset", "--data-dir", tmp_path)
    assert (done.returncode, one_line(done.stderr)) == (1, True), done.stderr
    assert (tmp_path / "vaultgraph.db").exists()
    with taken_port() as port:
        folder = tmp_path / "dev"
        folder.mkdir()
        (folder / "dev-keys.json").write_text("{}", "utf-8")
        (folder / "vaultgraph.db").touch()
        done = vaultgraph("dev", "--port", "0", "--sandbox-port", str(port), "--reset", "--data-dir", folder)
    assert (done.returncode, "--sandbox-port" in done.stderr) == (1, True), done.stderr
    assert (folder / "vaultgraph.db").exists(), "a running sandbox may use the directory"


def test_schema_prints_the_committed_schema() -> None:
    done = vaultgraph("schema")
    committed = Path(__file__).resolve().parent.parent.parent / "schema.graphql"
    assert (done.returncode, done.stdout) == (0, committed.read_text("utf-8"))
    subgraph = vaultgraph("schema", "--subgraph")
    assert subgraph.returncode == 0
    assert 'type Customer implements Node @key(fields: "id") {' in subgraph.stdout


def test_help_names_every_command() -> None:
    done = vaultgraph("--help")
    assert done.returncode == 0
    for name, line in COMMANDS.items():
        assert f"\n  {name} " in done.stdout, name
        assert line in done.stdout
        assert load(name).name == name
