"""The cases, and how one is measured: everybody up, equal, warm; then rounds that alternate; then equal again."""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.compare import stub
from bench.compare.ground import Ground, NotStarted, Party, free_port
from bench.compare.load import Meter, Sample, run
from bench.compare.parties import running
from bench.compare.questions import WALLET, Question, wallets


@dataclass(frozen=True, slots=True)
class Case:
    """`nodes` 0 asks for one customer. `is_kept`: nothing is read from a vault."""

    clients: tuple[int, ...] = (64,)
    nodes: int = 0
    delay_ms: int = 0
    is_tls: bool = False
    is_kept: bool = False

    def question(self, party: Party) -> Question:
        return wallets(self.nodes) if self.nodes else party.wallet


CASES: Final = {
    "uncached": Case((1, 8, 64)),
    "tls": Case(is_tls=True),
    "slow": Case((1, 64), delay_ms=20),
    "hit": Case((1, 64), is_kept=True),
    "nodes10": Case((8,), nodes=10),
    "nodes100": Case((1,), nodes=100),
}
# A profile is read before the status of its card: no gateway can be faster than two calls of a vault.
_CALLS_IN_A_ROW: Final = 2
_COLUMNS: Final = (
    "c",
    "gateway",
    "req/s (min-max)",
    "x first",
    "p50 / p99 ms",
    "over the vaults ms",
    "CPU us",
    "calls",
    "RSS MB",
    "foreign CPU",
    "bad",
)


@contextmanager
def standing(case: Case, folder: Path) -> Iterator[Ground]:
    """The stub of the four vaults, up."""
    port, counter = free_port(), free_port()
    pair = _certificate(folder) if case.is_tls else None
    configuration = stub.write(folder / "stub", port=port, counter=counter, delay_ms=case.delay_ms, tls=pair)
    process = stub.start(configuration, 1)
    try:
        time.sleep(0.5)
        scheme = "https" if pair else "http"
        yield Ground(f"{scheme}://127.0.0.1:{port}", counter, folder, case.is_kept, pair[0] if pair else None)
    finally:
        process.terminate()
        process.wait(10)


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "stub.crt", folder / "stub.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stub"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def compare(
    case: Case, name: str, names: Sequence[str], options: argparse.Namespace, give_up_at: float
) -> Iterator[str]:
    """The table, line by line."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ground = stack.enter_context(standing(case, Path(folder)))
        parties = []
        for one in names:
            try:
                parties.append(stack.enter_context(running(one, ground)))
            except NotStarted as reason:
                yield f"Without {one}: {reason}"
        if not parties:
            return
        questions = {party.name: case.question(party) for party in parties}
        check_equal(parties, questions)
        yield f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"
        scripts = {}
        for party in parties:
            question = questions[party.name]
            length = len(party.ask(question.body(1)))
            scripts[party.name] = script = question.write_script(ground.folder, party.headers, length)
            meter = Meter(party.pid, ground.counter)
            run(party.url, script, meter, clients=max(case.clients), seconds=options.warm_up)
        for clients in case.clients:
            samples: dict[str, list[Sample]] = {party.name: [] for party in parties}
            for number in range(options.rounds):
                if number and time.monotonic() > give_up_at:
                    break
                for party in parties:
                    meter = Meter(party.pid, ground.counter)
                    sample = run(party.url, scripts[party.name], meter, clients=clients, seconds=options.seconds)
                    samples[party.name].append(sample)
            yield from _rows(clients, samples, _CALLS_IN_A_ROW * case.delay_ms)
        check_equal(parties, questions)


def check_equal(parties: Sequence[Party], questions: dict[str, Question]) -> None:
    """Every party's data is the first one's, and nobody's has errors. Who answers in a shape of its own is let be."""
    for number in (1, 2, 77):
        answers = {party.name: json.loads(party.ask(questions[party.name].body(number))) for party in parties}
        alike = [party.name for party in parties if party.wallet is WALLET]
        for name, answer in answers.items():
            first = answers[alike[0]] if name in alike else answer
            if answer.get("errors") or _plain(answer["data"]) != _plain(first["data"]):
                raise SystemExit(f"{name} answers differently:\n{json.dumps(answer)}\n{json.dumps(first)}")


def _plain(value: Any) -> Any:
    """Rows of `sources` may come in any order."""
    return json.dumps(value, sort_keys=True)


def _rows(clients: int, samples: dict[str, list[Sample]], floor_ms: float) -> Iterator[str]:
    names = list(samples)
    ours = next((name for name in names if name.startswith("ours")), names[0])
    middle = statistics.median
    for name, found in samples.items():
        ratios = [mine.per_s / base.per_s for mine, base in zip(found, samples[ours], strict=True)]
        p50_ms = middle(one.p50_ms for one in found)
        over = f"{p50_ms - floor_ms:.1f}" if floor_ms else "-"
        yield (
            f"| {clients} | {name} | {middle(one.per_s for one in found):.0f} "
            f"({min(one.per_s for one in found):.0f}-{max(one.per_s for one in found):.0f}) | {middle(ratios):.2f} | "
            f"{p50_ms:.1f} / {middle(one.p99_ms for one in found):.1f} | {over} | "
            f"{middle(one.cpu_us for one in found):.0f} | {middle(one.calls for one in found):.1f} | "
            f"{max(one.rss_mb for one in found):.0f} | {100 * max(one.foreign for one in found):.0f} % | "
            f"{sum(one.bad for one in found)} |"
        )
