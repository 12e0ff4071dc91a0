"""The cases and their measurement: start all parties, check equality, warm up, run alternating rounds, check equality
again.
"""

import argparse
import json
import math
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from bench.compare import beside, stub
from bench.compare.ground import Ground, NotStarted, Party, free_port
from bench.compare.load import Meter, Sample, call_ms, run
from bench.compare.parties import running
from bench.compare.questions import CUSTOMERS, LARGE_WALLET, WALLET, Question, choosing, wallets

Taken = TypeVar("Taken", Sample, beside.Sample)


class Unequal(Exception):
    """Parties that return different data cannot be compared."""


@dataclass(frozen=True, slots=True)
class Case:
    """`nodes` 0 requests one customer. `is_kept`: everything is a cache hit. `is_large`: a customer has 10,000 methods.

    `is_beside`: one client runs the case while another requests small wallets. `is_changing`: vaults never send the
    same bytes twice.
    """

    clients: tuple[int, ...] = (64,)
    nodes: int = 0
    delay_ms: int = 0
    is_tls: bool = False
    is_kept: bool = False
    is_large: bool = False
    is_beside: bool = False
    is_writing: bool = False
    is_changing: bool = False
    is_renewed: bool = False

    def question(self, party: Party) -> Question:
        if self.is_writing:
            return choosing(party.ask)
        if self.is_large:
            return LARGE_WALLET
        return wallets(self.nodes) if self.nodes else party.wallet


CASES: Final = {
    "uncached": Case((1, 8, 64)),
    "changing": Case(is_changing=True),
    "renewed": Case(is_renewed=True),
    "tls": Case(is_tls=True),
    "slow": Case((1, 64), delay_ms=20),
    "hit": Case((1, 64), is_kept=True),
    "nodes10": Case((8,), nodes=10),
    "mutation": Case((1, 64), is_writing=True),
    "nodes100": Case(nodes=100, is_beside=True),
    "large": Case(is_large=True, is_beside=True),
    "large-hit": Case(is_large=True, is_beside=True, is_kept=True),
}
# A profile is read before its card's status, so the lower bound is two sequential vault calls.
_SEQUENTIAL_CALLS: Final = 2
# Calls per request when everything is cached.
_CACHED_CALLS_AT_MOST: Final = 0.01
_TRIES: Final = 3
_COLUMNS: Final = (
    "c",
    "gateway",
    "req/s (min-max)",
    "x first",
    "p50 / p99 ms",
    "over the vaults ms",
    "CPU us",
    "over five vault calls us",
    "calls",
    "RSS MB",
    "foreign CPU",
    "bad",
)


@contextmanager
def standing(case: Case, folder: Path, python: str | None = None) -> Iterator[Ground]:
    """The running stub of the four vaults."""
    port, counter = free_port(), free_port()
    pair = _certificate(folder) if case.is_tls else None
    configuration = stub.write(
        folder / "stub",
        port=port,
        counter=counter,
        delay_ms=case.delay_ms,
        tls=pair,
        is_changing=case.is_changing,
        is_renewed=case.is_renewed,
    )
    process = stub.start(configuration, 1)
    try:
        time.sleep(0.5)
        scheme = "https" if pair else "http"
        ca = pair[0] if pair else None
        yield Ground(f"{scheme}://127.0.0.1:{port}", counter, folder, case.is_kept, case.is_large, ca, python)
    finally:
        process.terminate()
        process.wait(10)


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "stub.crt", folder / "stub.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stub"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


class Comparison:
    """One case: its parties and time limit."""

    def __init__(self, name: str, options: argparse.Namespace, give_up_at: float) -> None:
        self.case, self._name, self._options, self._give_up_at = CASES[name], name, options, give_up_at
        self._parties: list[Party] = []

    def lines(self, names: Sequence[str]) -> Iterator[str]:
        """The result table, line by line."""
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            ground = stack.enter_context(standing(self.case, Path(folder), self._options.python))
            for name in names:
                try:
                    self._parties.append(stack.enter_context(running(name, ground, self._name)))
                except NotStarted as reason:
                    yield f"Without {name}: {reason}\n"
            if not self._parties:
                return
            questions = {party.name: self.case.question(party) for party in self._parties}
            self._check_equal(questions)
            yield from self._beside(ground, questions) if self.case.is_beside else self._loads(ground, questions)
            self._check_equal(questions)

    def _check_equal(self, questions: Mapping[str, Question]) -> None:
        check_equal(self._parties, questions, (1, 2, 77, stub.LARGE) if self.case.is_large else (1, 2, 77))

    def _rounds(self) -> Iterator[int]:
        """The first round always runs, the others while there is time."""
        for number in range(self._options.rounds):
            if number and time.monotonic() > self._give_up_at:
                return
            yield number

    def _loads(self, ground: Ground, questions: Mapping[str, Question]) -> Iterator[str]:
        scripts = {party.name: self._script(party, questions[party.name], ground) for party in self._parties}
        reads = {party.name: self._script(party, WALLET, ground) for party in self._parties}
        for party in self._parties:
            self._warm(party, scripts[party.name], ground)
            if self.case.is_writing:
                self._warm(party, reads[party.name], ground)
        floor_ms = 0.0
        if self.case.delay_ms:
            floor_ms = _SEQUENTIAL_CALLS * call_ms(ground.vaults)
            yield f"Two calls of a vault in a row: {floor_ms:.2f} ms.\n"
        yield _head(_COLUMNS)
        for clients in self.case.clients:
            samples: dict[str, list[Sample]] = {party.name: [] for party in self._parties}
            five_calls: dict[str, list[Sample]] = {party.name: [] for party in self._parties}
            for _ in self._rounds():
                for party in self._parties:
                    load = partial(self._load, party, scripts[party.name], ground, clients)
                    samples[party.name].append(self._least_disturbed(load))
                    if self.case.is_writing:
                        load = partial(self._load, party, reads[party.name], ground, clients)
                        five_calls[party.name].append(self._least_disturbed(load))
            yield from _rows(clients, samples, five_calls, floor_ms if clients == 1 else 0)

    def _script(self, party: Party, question: Question, ground: Ground) -> Path:
        return question.write_script(ground.folder, party.headers, len(party.ask(question.body(1))))

    def _load(self, party: Party, script: Path, ground: Ground, clients: int) -> Sample:
        meter = Meter(party.pid, ground.counter)
        return run(party.url, script, meter, clients=clients, seconds=self._options.seconds)

    def _least_disturbed(self, take: Callable[[], Taken]) -> Taken:
        """The least disturbed of up to three samples: other processes on the gateway's core distort a sample."""
        found: list[Taken] = []
        for _ in range(_TRIES):
            found.append(take())
            if found[-1].foreign * 100 <= self._options.foreign or time.monotonic() > self._give_up_at:
                break
        return min(found, key=lambda sample: sample.foreign)

    def _warm(self, party: Party, script: Path, ground: Ground) -> None:
        """Warm up; with caching, until nothing is read any more, for at most three times as long."""
        for _ in range(3):
            meter = Meter(party.pid, ground.counter)
            sample = run(party.url, script, meter, clients=max(self.case.clients), seconds=self._options.warm_up)
            if not self.case.is_kept or sample.calls < _CACHED_CALLS_AT_MOST:
                return

    def _beside(self, ground: Ground, questions: Mapping[str, Question]) -> Iterator[str]:
        numbers = [stub.LARGE] if self.case.is_large else range(1, CUSTOMERS - self.case.nodes, self.case.nodes)

        def measure(party: Party, seconds: float) -> beside.Sample:
            asked = [questions[party.name].body(number) for number in numbers]
            return beside.measure(party, ground, asked, seconds)

        for party in self._parties:
            measure(party, self._options.warm_up / 2)
        yield _head(beside.COLUMNS)
        samples: dict[str, list[beside.Sample]] = {party.name: [] for party in self._parties}
        for _ in self._rounds():
            for party in self._parties:
                samples[party.name].append(self._least_disturbed(partial(measure, party, self._options.seconds)))
        yield from beside.rows(samples)


def _head(columns: Sequence[str]) -> str:
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def check_equal(parties: Sequence[Party], questions: Mapping[str, Question], numbers: Sequence[int]) -> None:
    """Every party's data must equal the first one's, without errors. Parties with another data shape are skipped."""
    for number in numbers:
        answers = {party.name: json.loads(party.ask(questions[party.name].body(number))) for party in parties}
        alike = [party.name for party in parties if party.wallet is WALLET]
        for name, answer in answers.items():
            first = answers[alike[0]] if name in alike else answer
            if answer.get("errors"):
                raise Unequal(f"{name} answers with errors: {json.dumps(answer['errors'])[:2000]}")
            found = _difference(answer["data"], first["data"], "data")
            if found is not None:
                raise Unequal(f"{name} answers otherwise than {alike[0]}: {found}")


def _difference(mine: Any, base: Any, at: str) -> str | None:
    """The first difference and its path. Rows of `sources` may be in any order."""
    if isinstance(mine, dict) and isinstance(base, dict) and mine.keys() == base.keys():
        parts = [(f"{at}.{key}", mine[key], base[key]) for key in mine]
    elif isinstance(mine, list) and isinstance(base, list) and len(mine) == len(base):
        if at.endswith(".sources"):
            mine, base = (sorted(rows, key=json.dumps) for rows in (mine, base))
        parts = [(f"{at}.{place}", *pair) for place, pair in enumerate(zip(mine, base, strict=True))]
    else:
        return (
            None
            if mine == base
            else f"{at}: {_size(mine)}{json.dumps(mine)[:500]} and not {_size(base)}{json.dumps(base)[:500]}"
        )
    return next((found for place, one, two in parts if (found := _difference(one, two, place))), None)


def _size(value: Any) -> str:
    return f"{len(value)} of " if isinstance(value, list) else ""


def _rows(
    clients: int, samples: dict[str, list[Sample]], five_calls: dict[str, list[Sample]], floor_ms: float
) -> Iterator[str]:
    names = list(samples)
    ours = next((name for name in names if name.startswith("ours")), names[0])
    middle = statistics.median
    for name, found in samples.items():
        ratios = [mine.per_s / (base.per_s or math.nan) for mine, base in zip(found, samples[ours], strict=True)]
        p50_ms = middle(one.p50_ms for one in found)
        over = f"{p50_ms - floor_ms:.1f}" if floor_ms else "-"
        cpu_us = middle(one.cpu_us for one in found)
        read = five_calls[name]
        over_us = f"{cpu_us - middle(one.cpu_us for one in read):.0f}" if read else "-"
        yield (
            f"| {clients} | {name} | {middle(one.per_s for one in found):.0f} "
            f"({min(one.per_s for one in found):.0f}-{max(one.per_s for one in found):.0f}) | {middle(ratios):.2f} | "
            f"{p50_ms:.1f} / {middle(one.p99_ms for one in found):.1f} | {over} | "
            f"{cpu_us:.0f} | {over_us} | {middle(one.calls for one in found):.1f} | "
            f"{max(one.rss_mb for one in found):.0f} | {100 * max(one.foreign for one in found):.0f} % | "
            f"{sum(one.bad for one in found)} |"
        )
