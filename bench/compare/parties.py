"""The gateways that are compared, each a process on core 0: ours in production settings, and the peers."""

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.commands.demo_data import add_demo_customer
from app.gate.callers import development
from app.sandbox.demo import load_customer
from app.store import Store, migrate
from bench.compare.load import CUSTOMERS, body

PEERS: Final = Path(__file__).parent / "peers"
_WITHIN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Party:
    name: str
    url: str
    pid: int
    headers: Mapping[str, str]

    def ask(self, content: bytes) -> bytes:
        headers = {"content-type": "application/json", **self.headers}
        with urllib.request.urlopen(urllib.request.Request(self.url, content, headers), timeout=60) as reply:
            answer: bytes = reply.read()
        return answer


@dataclass(frozen=True, slots=True)
class Ground:
    """What all parties of one comparison share: where the vaults are, and whether what was read is kept."""

    vaults: str
    folder: Path
    is_kept: bool
    ca: Path | None = None


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


@contextmanager
def running(name: str, ground: Ground) -> Iterator[Party]:
    """`name` is one of NAMES."""
    with ExitStack() as stack:
        yield stack.enter_context(_ours(name, ground) if name.startswith("ours") else _peer(name, ground))


@contextmanager
def _process(command: Sequence[str | Path], environ: Mapping[str, str], cwd: Path) -> Iterator[int]:
    with (cwd / "out.log").open("ab") as log:
        whole = ["taskset", "-c", "0", *map(str, command)]
        process = subprocess.Popen(whole, env={**os.environ, **environ}, cwd=cwd, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _peer(name: str, ground: Ground) -> Iterator[Party]:
    port = free_port()
    environ = {"BENCH_PORT": str(port), "BENCH_VAULTS": ground.vaults, "NODE_ENV": "production"}
    script, _, client = name.partition("-")
    if client:
        environ["BENCH_CLIENT"] = client
    if ground.is_kept:
        environ["BENCH_ENTITY_CACHE"] = "1"
    if ground.ca:
        environ |= {"BENCH_CA_FILE": str(ground.ca), "NODE_EXTRA_CA_CERTS": str(ground.ca)}
    folder = _folder(ground, name)
    with _process(["node", PEERS / f"{script}.mjs"], environ, folder) as pid:
        url = f"http://127.0.0.1:{port}/" + ("graphql" if script == "yoga" else "")
        yield _ready(Party(name, url, pid, {}), folder)


@contextmanager
def _ours(name: str, ground: Ground) -> Iterator[Party]:
    folder, port = _folder(ground, name), free_port()
    tokens = development.DevTokens.open(folder)
    settings = folder / "vaultgraph.toml"
    settings.write_text(_settings(ground, folder, tokens.jwks_path, port, name.partition("-")[2] or "aiohttp"))
    asyncio.run(_link_customers(f"sqlite+aiosqlite:///{folder / 'vaultgraph.db'}"))
    headers = {"authorization": f"Bearer {tokens.mint(name='bench', valid_for_s=3600)}"}
    environ = {"SSL_CERT_FILE": str(ground.ca)} if ground.ca else {}
    command = [Path(sys.executable).parent / "vaultgraph", "serve", "--config", settings]
    with _process(command, environ, folder) as pid:
        yield _ready(Party(name, f"http://127.0.0.1:{port}/graphql", pid, headers), folder)


async def _link_customers(url: str) -> None:
    store = Store.open(url)
    try:
        await migrate(store.engine)
        async with store.transaction() as tx:
            for number in range(1, CUSTOMERS + 1):
                await add_demo_customer(store, load_customer(number), tx)
    finally:
        await store.close()


def _settings(ground: Ground, folder: Path, jwks: Path, port: int, transport: str) -> str:
    """Production: tokens checked, every limit on, metrics on. Only the budget of the one caller is raised."""
    top = {
        "data_dir": str(folder),
        "port": port,
        "id_key": "a key that only this benchmark has, 1234567890",
        "digest_key": "another key that only this benchmark has, 1",
        "metrics_token": "metrics-of-the-benchmark",
    }
    plenty = dict.fromkeys(("requests_per_s", "requests_burst", "cost_per_s", "cost_burst"), 1e9)
    every = {
        "enabled": True,
        "transport": transport,
        "fresh_for_s": 3600.0 if ground.is_kept else 0.0,
        "deadline_s": 20.0,
        "max_body_bytes": 64_000_000,
    }
    at = ground.vaults
    oauth = {"token_url": f"{at}/oauth2/token", "client_id": "bench", "client_secret": "bench-secret"}
    sections = {
        "auth": {"issuer": development.ISSUER, "audience": [development.AUDIENCE], "jwks_path": str(jwks)},
        "gate": {"cors_origins": ["none"], "cost": 100_000},
        "rate.staff": plenty,
        "loanpro": {**every, "base_url": f"{at}/loanpro/api/public", "api_token": "bench-token", "instance_id": "1"},
        "aloha": {
            **every,
            "base_url": f"{at}/aloha",
            "username": "bench",
            "password": "bench-password",
            "company_code": "B1",
        },
        "jpmorgan": {**every, **oauth, "base_url": f"{at}/jpmorgan/api/v2", "merchant_identifier": "000000000001"},
        "caselle": {**every, **oauth, "base_url": f"{at}/caselle/api", "payment_account_uid": "pa_bench"},
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"request_deadline_s": 20.0, **top}.items()]
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines)


def _folder(ground: Ground, name: str) -> Path:
    folder = ground.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _ready(party: Party, folder: Path) -> Party:
    """Waits until it answers a wallet."""
    give_up_at, trouble = time.monotonic() + _WITHIN_S, ""
    while time.monotonic() < give_up_at:
        try:
            answer = json.loads(party.ask(body(1)))
            if not answer.get("errors"):
                return party
            trouble = str(answer["errors"])[:500]
        except (OSError, ssl.SSLError) as error:
            trouble = repr(error)
        time.sleep(0.2)
    raise RuntimeError(f"{party.name} does not answer: {trouble}\n{(folder / 'out.log').read_text()[-2000:]}")
