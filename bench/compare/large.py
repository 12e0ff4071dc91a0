"""Ten thousand methods in one answer, and what another caller's small question waits for meanwhile."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.compare import stub
from bench.compare.ground import Ground, Party
from bench.compare.load import Meter
from bench.compare.probe import Order, Running, Told
from bench.compare.questions import CUSTOMERS, LARGE_WALLET, WALLET

# So seldom that the questions themselves are little load.
_PER_S: Final = 40.0
COLUMNS: Final = (
    "gateway",
    "large answer ms: p50 (min-max of rounds)",
    "max",
    "CPU ms",
    "small alone ms: p50 / p99 / max",
    "small beside the large ms: p50 / p99 / max",
    "answers",
    "RSS MB",
    "foreign CPU",
    "bad",
)


@dataclass(frozen=True, slots=True)
class Sample:
    large: Told
    alone: Told
    beside: Told
    cpu_ms: float
    rss_mb: float
    foreign: float


def measure(party: Party, ground: Ground, seconds: float) -> Sample:
    """The small question alone, then both: one caller asks for the large answer again and again, another for little."""
    bodies = [WALLET.body(number).decode() for number in range(1, CUSTOMERS + 1)]
    length = len(party.ask(WALLET.body(1)))
    small = Order(party.url, {**party.headers, **party.other}, bodies, length, seconds, _PER_S)
    alone = Running(small).told()
    body = LARGE_WALLET.body(stub.LARGE)
    large = Order(party.url, party.headers, [body.decode()], len(party.ask(body)), seconds)
    meter = Meter(party.pid, ground.counter)
    first, second = Running(large), Running(small)
    answers, beside = first.told(), second.told()
    cpu_us, _, rss_mb, foreign = meter.read(len(answers.took_ms))
    return Sample(answers, alone, beside, cpu_us / 1000, rss_mb, foreign)


def rows(samples: Mapping[str, Sequence[Sample]]) -> Iterator[str]:
    middle = statistics.median
    for name, found in samples.items():
        p50s = [middle(one.large.took_ms) for one in found]
        bad = sum(told.bad for one in found for told in (one.large, one.alone, one.beside))
        yield (
            f"| {name} | {middle(p50s):.1f} ({min(p50s):.1f}-{max(p50s):.1f}) | "
            f"{max(one.large.took_ms[-1] for one in found):.0f} | {middle(one.cpu_ms for one in found):.1f} | "
            f"{_latency([one.alone for one in found])} | {_latency([one.beside for one in found])} | "
            f"{sum(len(one.large.took_ms) for one in found)} | {max(one.rss_mb for one in found):.0f} | "
            f"{100 * max(one.foreign for one in found):.0f} % | {bad} |"
        )


def _latency(told: Sequence[Told]) -> str:
    """Of all rounds together."""
    every = sorted(took for one in told for took in one.took_ms)
    return f"{statistics.median(every):.1f} / {every[len(every) * 99 // 100]:.1f} / {every[-1]:.1f}"
