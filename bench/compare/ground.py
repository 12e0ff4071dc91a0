"""Shared set-up of the compared gateways: configuration, and one process each on core 0."""

import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.compare.questions import WALLET, Question

PEERS: Final = Path(__file__).parent / "peers"
_WITHIN_S: Final = 30.0


class NotStarted(Exception):
    """This gateway cannot be started here; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Configuration shared by all parties of a comparison: vault URLs, whether replies are cached, and whether a list
    may have 10,000 methods.

    `counter` is the port where the vaults' stub reports its number of requests, `python` the interpreter of
    `ours-python`.
    """

    vaults: str
    counter: int
    folder: Path
    is_kept: bool = False
    is_large: bool = False
    ca: Path | None = None
    python: str | None = None

    def folder_of(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True, slots=True)
class Party:
    """`headers` authenticate one caller, `other` another. `wallet` is the document for a wallet, specific to the party
    or common.
    """

    name: str
    url: str
    pid: int
    headers: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, str] = field(default_factory=dict)
    wallet: Question = WALLET

    def ask(self, content: bytes) -> bytes:
        headers = {"content-type": "application/json", **self.headers}
        with urllib.request.urlopen(urllib.request.Request(self.url, content, headers), timeout=60) as reply:
            answer: bytes = reply.read()
        return answer


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


@contextmanager
def process(command: Sequence[str | Path], environ: Mapping[str, str], cwd: Path) -> Iterator[int]:
    with (cwd / "out.log").open("ab") as log:
        whole = ["taskset", "-c", "0", *map(str, command)]
        started = subprocess.Popen(whole, env={**os.environ, **environ}, cwd=cwd, stdout=log, stderr=log)
    try:
        yield started.pid
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def ready(party: Party, folder: Path) -> Party:
    """Wait until the party answers a wallet query."""
    give_up_at, trouble = time.monotonic() + _WITHIN_S, ""
    while time.monotonic() < give_up_at:
        try:
            answer = json.loads(party.ask(party.wallet.body(1)))
            if not answer.get("errors"):
                return party
            trouble = str(answer["errors"])[:500]
        except (OSError, ssl.SSLError, ValueError) as error:
            trouble = repr(error)
        time.sleep(0.2)
    said = (folder / "out.log").read_text().strip().splitlines()
    raise NotStarted(f"it does not answer: {trouble}; it said: {said[-1] if said else 'nothing'}")
