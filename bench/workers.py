"""Throughput of two workers on two cores against one, and what 1,000 requests a second need.

    nice -n -5 python -m bench.workers [--rounds 5] [--seconds 4] [--page]

Both gateways run at once, in production settings, and are loaded in turn, so that other work of the machine changes
both alike: the ratio is the median over the rounds. wrk and, for reads that are not cached, the vaults' stub (nginx)
run on the same two cores, which the second worker has to share with them.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from app.api.auth.development import DevTokens
from bench.compare import stub
from bench.compare.ground import Ground, Party, free_port, ready
from bench.compare.load import _cpu_s, _rss_mb
from bench.compare.ours import _link_customers, settings_of
from bench.compare.questions import WALLET
from bench.pages import put_section

PAGE: Final = Path(__file__).parent.parent / "docs" / "appendix" / "scaling.md"
CLIENTS: Final = 64


@dataclass(frozen=True, slots=True)
class Sample:
    per_s: float
    cpu_us: float
    calls: float
    connections: float
    rss_mb: float
    bad: int


@contextmanager
def gateway(workers: int, ground: Ground) -> Iterator[Party]:
    folder, port = ground.folder_of(f"workers-{workers}"), free_port()
    tokens = DevTokens.open(folder)
    settings = folder / "vaultgraph.toml"
    quiet = '\n[log]\nlevel = "warning"\n'
    settings.write_text(settings_of(ground, folder, tokens.jwks_path, port, "lean") + quiet)
    asyncio.run(_link_customers(f"sqlite:///{folder / 'vaultgraph.db'}"))
    headers = {"authorization": f"Bearer {tokens.mint(name='bench', valid_for_s=3600)}"}
    command = [Path(sys.executable).parent / "vaultgraph", "serve", "--config", settings, "--workers", str(workers)]
    with (folder / "out.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/graphql"
        yield ready(Party(f"{workers}", url, process.pid, headers), folder)
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def vaults(folder: Path, *, is_kept: bool) -> Iterator[Ground]:
    port, counter = free_port(), free_port()
    process = subprocess.Popen(["nginx", "-c", stub.write(folder / "stub", port=port, counter=counter)])
    try:
        time.sleep(0.5)
        yield Ground(f"http://127.0.0.1:{port}", counter, folder, is_kept)
    finally:
        process.terminate()
        process.wait(10)


def scraped(party: Party) -> dict[str, float]:
    request = urllib.request.Request(
        party.url.replace("/graphql", "/metrics"), headers={"authorization": "Bearer metrics-of-the-benchmark"}
    )
    found: dict[str, float] = {}
    with urllib.request.urlopen(request, timeout=30) as reply:
        for family in text_string_to_metric_families(reply.read().decode()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def loaded(party: Party, script: Path, seconds: float) -> Sample:
    time.sleep(1.2)  # the other workers' numbers are at most a second old
    before, cpu = scraped(party), _cpu_s(party.pid)
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{round(seconds)}s", "--timeout", "20s", "-s", script, party.url]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    cpu = _cpu_s(party.pid) - cpu
    match = re.search(r"RESULT (\{.*\})", output)
    assert match is not None, output
    found = json.loads(match[1])
    time.sleep(1.2)
    after, made = scraped(party), max(1, found["requests"])
    calls = after.get("vaultgraph_upstream_calls_total", 0) - before.get("vaultgraph_upstream_calls_total", 0)
    return Sample(
        per_s=found["requests"] / (found["us"] / 1e6),
        cpu_us=cpu / made * 1e6,
        calls=calls / made,
        connections=after["vaultgraph_upstream_connections"],
        rss_mb=_rss_mb(party.pid),
        bad=found["bad"],
    )


def measured(*, is_kept: bool, rounds: int, seconds: float) -> dict[str, list[Sample]]:
    with (
        tempfile.TemporaryDirectory() as name,
        vaults(Path(name), is_kept=is_kept) as ground,
        gateway(1, ground) as one,
        gateway(2, ground) as two,
    ):
        samples: dict[str, list[Sample]] = {"1": [], "2": []}
        scripts = {}
        for party in (one, two):
            length = len(party.ask(WALLET.body(1)))
            scripts[party.name] = WALLET.write_script(ground.folder, party.headers, length)
            loaded(party, scripts[party.name], 3)
        for _ in range(rounds):
            for party in (one, two):
                samples[party.name].append(loaded(party, scripts[party.name], seconds))
        return samples


def rows(case: str, samples: dict[str, list[Sample]]) -> Iterator[str]:
    def middle(workers: str, what: str) -> float:
        return statistics.median(getattr(one, what) for one in samples[workers])

    ratio = statistics.median(two.per_s / one.per_s for one, two in zip(samples["1"], samples["2"], strict=True))
    for workers in ("1", "2"):
        cpu = middle(workers, "cpu_us")
        yield (
            f"| {case}, {workers} worker{'s' * (workers == '2')} | {middle(workers, 'per_s'):.0f}"
            f" | {f'{ratio:.2f}' if workers == '2' else '1'} | {cpu:.0f} us | {1000 * cpu / 1e6:.2f}"
            f" | {1000 * middle(workers, 'calls'):.0f} | {middle(workers, 'connections'):.0f}"
            f" | {middle(workers, 'rss_mb'):.0f} MB | {sum(one.bad for one in samples[workers])} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--page", action="store_true", help="write the table to docs/appendix/scaling.md")
    chosen = parser.parse_args()
    lines = [
        "| case | requests/s | ratio | CPU a request | cores for 1,000/s | vault calls for 1,000/s | connections"
        " | memory | bad |",
        f"|{'---|' * 9}",
    ]
    for case, is_kept in (("cached", True), ("not cached", False)):
        lines += rows(case, measured(is_kept=is_kept, rounds=chosen.rounds, seconds=chosen.seconds))
    print("\n".join(lines))
    if chosen.page:
        put_section("workers", "\n".join(lines), PAGE)


if __name__ == "__main__":
    main()
