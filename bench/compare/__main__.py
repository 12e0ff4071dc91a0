"""Our gateway and others doing the same work, on the same machine, in alternating rounds.

    python -m bench.compare [--cases uncached,hit,...] [--parties ours,ours-lean,apollo,yoga,...] [--rounds 3]
                            [--seconds 4] [--warm-up 10]

Two cores: gateways on core 0, one at a time under load; the vaults' stub (nginx) and the load (wrk) on core 1. Needs
Linux, `wrk`, `nginx` with its Lua module (Debian: wrk, nginx-light, libnginx-mod-http-lua), Node.js, and
`npm ci --prefix bench/compare/peers`. Every party's JSON must be equal before anything is measured.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench.compare import stub
from bench.compare.load import Sample, body, run, write_script
from bench.compare.parties import PEERS, Ground, Party, free_port, running


@dataclass(frozen=True, slots=True)
class Case:
    """`nodes` 0 asks for one customer. `extra` methods more in one vault. `is_kept`: nothing is read from a vault."""

    clients: tuple[int, ...] = (64,)
    nodes: int = 0
    delay_ms: int = 0
    is_tls: bool = False
    is_kept: bool = False


CASES: Final = {
    "uncached": Case((1, 8, 64)),
    "tls": Case(is_tls=True),
    "slow": Case((1, 64), delay_ms=20),
    "hit": Case((1, 64), is_kept=True),
    "nodes10": Case((8,), nodes=10),
    "nodes100": Case((1,), nodes=100),
}
COLUMNS: Final = (
    "c",
    "gateway",
    "req/s (min-max)",
    "x first",
    "p50 / p99 ms",
    "CPU us",
    "RSS MB",
    "foreign CPU",
    "bad",
)
PARTIES: Final = ("ours", "ours-lean", "apollo", "yoga", "yoga-fetch")


@contextmanager
def _ground(case: Case, folder: Path) -> Iterator[Ground]:
    """The stub of the four vaults, up."""
    port = free_port()
    pair = _certificate(folder) if case.is_tls else None
    configuration = stub.write(folder / "stub", port=port, delay_ms=case.delay_ms, tls=pair)
    process = stub.start(configuration, 1)
    try:
        time.sleep(0.5)
        scheme = "https" if pair else "http"
        yield Ground(f"{scheme}://127.0.0.1:{port}", folder, case.is_kept, pair[0] if pair else None)
    finally:
        process.terminate()
        process.wait(10)


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "stub.crt", folder / "stub.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stub"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def compare(case: Case, names: Sequence[str], options: argparse.Namespace) -> Iterator[str]:
    """Rows of the table."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        ground = stack.enter_context(_ground(case, folder))
        parties = [stack.enter_context(running(one, ground)) for one in names]
        check_equal(parties, case.nodes)
        scripts = {party.name: write_script(folder, party.headers, case.nodes) for party in parties}
        for party in parties:
            run(party.url, scripts[party.name], party.pid, clients=max(case.clients), seconds=options.warm_up)
        for clients in case.clients:
            samples: dict[str, list[Sample]] = {party.name: [] for party in parties}
            for _ in range(options.rounds):
                for party in parties:
                    script = scripts[party.name]
                    sample = run(party.url, script, party.pid, clients=clients, seconds=options.seconds)
                    samples[party.name].append(sample)
            yield from _rows(clients, samples)
        check_equal(parties, case.nodes)


def check_equal(parties: Sequence[Party], nodes: int) -> None:
    """Every party's data is the first one's, and nobody's has errors."""
    for number in (1, 2, 77):
        answers = {party.name: json.loads(party.ask(body(number, nodes))) for party in parties}
        first, *_ = answers.values()
        for name, answer in answers.items():
            if answer.get("errors") or _plain(answer["data"]) != _plain(first["data"]):
                raise SystemExit(f"{name} answers differently:\n{json.dumps(answer)}\n{json.dumps(first)}")


def _plain(value: Any) -> Any:
    """Rows of `sources` may come in any order."""
    return json.dumps(value, sort_keys=True)


def _rows(clients: int, samples: dict[str, list[Sample]]) -> Iterator[str]:
    names = list(samples)
    ours = next((name for name in names if name.startswith("ours")), names[0])
    for name, found in samples.items():
        ratios = [mine.per_s / base.per_s for mine, base in zip(found, samples[ours], strict=True)]
        middle = statistics.median
        yield (
            f"| {clients} | {name} | {middle(one.per_s for one in found):.0f} "
            f"({min(one.per_s for one in found):.0f}-{max(one.per_s for one in found):.0f}) | {middle(ratios):.2f} | "
            f"{middle(one.p50_ms for one in found):.1f} / {middle(one.p99_ms for one in found):.1f} | "
            f"{middle(one.cpu_us for one in found):.0f} | {max(one.rss_mb for one in found):.0f} | "
            f"{100 * max(one.foreign for one in found):.0f} % | {sum(one.bad for one in found)} |"
        )


def versions() -> str:
    listed = json.loads((PEERS / "package-lock.json").read_text())["packages"]
    wanted = ("@apollo/server", "graphql-yoga", "graphql", "undici", "dataloader")
    peers = [f"{name} {listed[f'node_modules/{name}']['version']}" for name in wanted]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    ours = [f"{name} {version(name)}" for name in ("strawberry-graphql", "uvicorn", "uvloop", "aiohttp", "httptools")]
    return ", ".join([f"Python {platform.python_version()}", *ours, f"Node {node}", *peers])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", default=",".join(CASES))
    options.add_argument("--parties", default=",".join(PARTIES))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--warm-up", type=float, default=10)
    chosen = options.parse_args()
    print(versions())
    for name in chosen.cases.split(","):
        if name not in CASES:
            sys.exit(f"no case {name}: {', '.join(CASES)}")
        print(f"\n**{name}**\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
        for row in compare(CASES[name], chosen.parties.split(","), chosen):
            print(row, flush=True)


if __name__ == "__main__":
    main()
