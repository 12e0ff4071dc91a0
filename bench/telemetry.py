"""CPU per request of logs and traces: gateways that differ in one setting only, loaded in turn.

    nice -n -5 python -m bench.telemetry [--rounds 9] [--requests 2000]

Each gateway is a process on core 0, in production settings in front of the stub of `bench.calls`; the client, stub and
collector are on core 1. `hit`: a wallet from the cache; `uncached`: five vault calls. A figure is the median over the
rounds of CPU time of all threads, exporter included; a difference is that of the same round.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app.api.auth.development import DevTokens
from bench.calls.stub import running_stub
from bench.compare.ground import Ground, Party, free_port, process, ready
from bench.compare.ours import _link_customers, settings_of
from bench.compare.questions import WALLET
from tests.support.otlp import Collector, collecting

_JSON_LOG: Final = {"VAULTGRAPH_LOG__FORMAT": "json", "VAULTGRAPH_LOG__LEVEL": "info"}
_NO_LOG: Final = {"VAULTGRAPH_LOG__LEVEL": "warning"}


def modes(collector: Collector) -> Mapping[str, Mapping[str, str]]:
    traced = {
        **_NO_LOG,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    }
    return {
        "off": _NO_LOG,
        "request log": _JSON_LOG,
        "traces 10 %": {**traced, "OTEL_TRACES_SAMPLER_ARG": "0.1"},
        "traces 100 %": {**traced, "OTEL_TRACES_SAMPLER_ARG": "1"},
    }


@contextmanager
def gateway(folder: Path, vaults: str, environ: Mapping[str, str], *, is_kept: bool) -> Iterator[Party]:
    folder.mkdir()
    port, tokens = free_port(), DevTokens.open(folder)
    text = settings_of(Ground(vaults, 0, folder, is_kept), folder, tokens.jwks_path, port, "lean")
    (folder / "vaultgraph.toml").write_text(text)
    asyncio.run(_link_customers(f"sqlite:///{folder / 'vaultgraph.db'}"))
    headers = {"authorization": f"Bearer {tokens.mint(valid_for_s=14_400)}"}
    command = ["vaultgraph", "serve", "--config", str(folder / "vaultgraph.toml")]
    with process(command, environ, folder) as pid:
        yield ready(Party("", f"http://127.0.0.1:{port}/graphql", pid, headers), folder)


def load(party: Party, requests: int) -> float:
    """CPU microseconds of the gateway per request, sent one after the other."""
    body = json.dumps({"query": WALLET.query, "variables": {"id": "cus_load-0007"}}).encode()
    lines = [f"{name}: {value}" for name, value in party.headers.items()]
    lines += ["content-type: application/json", f"content-length: {len(body)}", "host: 127.0.0.1"]
    sent = ("POST /graphql HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + body
    with socket.create_connection(("127.0.0.1", urlsplit(party.url).port or 0)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _ask(connection, sent)
        before = _cpu_ns(party.pid)
        for _ in range(requests):
            _ask(connection, sent)
        return (_cpu_ns(party.pid) - before) / requests / 1000


def _ask(connection: socket.socket, sent: bytes) -> None:
    connection.sendall(sent)
    received = b""
    while True:
        received += connection.recv(1_000_000)
        head, end, body = received.partition(b"\r\n\r\n")
        if end:
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
            if len(body) >= int(length[16:]):
                assert head.startswith(b"HTTP/1.1 200"), head
                return


def _cpu_ns(pid: int) -> int:
    return sum(int((one / "schedstat").read_text().split()[0]) for one in Path(f"/proc/{pid}/task").iterdir())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=2_000)
    asked = parser.parse_args()
    os.sched_setaffinity(0, {1})
    for case in ("hit", "uncached"):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            vaults, collector = stack.enter_context(running_stub()).url, stack.enter_context(collecting())
            found = {
                name: stack.enter_context(gateway(folder / f"{number}", vaults, environ, is_kept=case == "hit"))
                for number, (name, environ) in enumerate(modes(collector).items())
            }
            many = asked.requests if case == "hit" else asked.requests // 4
            took: dict[str, list[float]] = {name: [] for name in found}
            for number in range(asked.rounds + 1):
                for name, party in found.items():
                    cpu_us = load(party, many)
                    if number:  # the first round warms up
                        took[name].append(cpu_us)
        print(f"{case}: us of CPU per request, difference to off")
        for name, values in took.items():
            more = statistics.median(one / off - 1 for one, off in zip(values, took["off"], strict=True))
            print(f"  {name:14} {statistics.median(values):7.1f}  {more:+.1%}")


if __name__ == "__main__":
    main()
