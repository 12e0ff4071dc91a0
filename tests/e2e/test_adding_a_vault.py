"""docs/adding-a-vault.md, followed to the letter: its files are written and its commands are run."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.support.command import Running, environment

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding-a-vault.md"
FILE = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MUTATION = "mutation ($input: {0}Input!) {{ {1}(input: $input) {{ userErrors {{ code path }} {2} }} }}"


@dataclass
class Followed:
    """The folder that the page makes, and the commands that are still to be run."""

    folder: Path
    env: dict[str, str]
    commands: list[list[str]]

    def run(self) -> str:
        """Run the next command; answers what it prints."""
        command = self.commands.pop(0)
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=100, check=False
        )
        return done.stdout if done.stdout else done.stderr


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    """Everything is written, and the toy vault's server runs, on a port that is free here."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    text = PAGE.read_text("utf-8").replace("8900", port)
    for name, content in FILE.findall(text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    # What `pip install` would do to the user's environment happens in a folder of this test, without a network.
    pip = {"PIP_TARGET": str(tmp_path / "site"), "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    paths = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    patient = {"VAULTGRAPH_TOY__DEADLINE_S": "30"}  # for a busy machine
    env = environment(PYTHONPATH=paths, PATH=programs, **pip, **patient)
    commands = [shlex.split(block) for block in COMMAND.findall(text)]
    server = [sys.executable, "toy_server.py"]
    with subprocess.Popen(
        server, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        assert port in running.stdout.readline()
        yield Followed(tmp_path, env, commands)
        running.terminate()


def test_a_reader_who_follows_the_page_has_a_vault(followed: Followed) -> None:
    followed.run()
    assert re.search(r"^toy\s+ok$", followed.run(), re.MULTILINE)
    assert re.search(r"^ +TOY$", followed.run(), re.MULTILINE)
    (command,) = followed.commands
    assert command[0] == "vaultgraph"
    more = {name: followed.env[name] for name in ("PYTHONPATH", "PATH", "VAULTGRAPH_TOY__DEADLINE_S")}
    with Running(*command[1:], "--port", "0", "--sandbox-port", "0", cwd=followed.folder, is_cold=True, **more) as dev:
        found = dev.until(r"curl -s (\S+) -H 'authorization: (Bearer \S+)'")
        card = the_card_of_a_linked_customer(*found.groups())
        assert dev.stop(signal.SIGINT) == 0
    assert card == {"provider": "TOY", "last4": "4242", "expiry": "2039-12"}


def the_card_of_a_linked_customer(url: str, token: str) -> Any:
    def ask(document: str, **variables: Any) -> Any:
        body = json.dumps({"query": document, "variables": variables}).encode()
        headers = {"authorization": token, "content-type": "application/json"}
        with urlopen(Request(url, body, headers), timeout=30) as reply:
            (found,) = json.load(reply)["data"].values()
        return found

    name = {"first": "Ada", "last": "Example"}
    new = {"idempotencyKey": "adding-a-vault-0001", "externalId": "ada", "name": name}
    customer = ask(MUTATION.format("CreateCustomer", "createCustomer", "customer { id }"), input=new)["customer"]["id"]
    link = {"idempotencyKey": "adding-a-vault-0002", "customerId": customer, "provider": "TOY", "customerRef": "7"}
    payload = ask(MUTATION.format("LinkProviderCustomer", "linkProviderCustomer", ""), input=link)
    assert payload["userErrors"] == []
    shown = "paymentMethods { provider last4 ... on Card { expiry } }"
    (card,) = ask(f"query ($id: ID!) {{ customer(id: $id) {{ {shown} }} }}", id=customer)["paymentMethods"]
    return card
