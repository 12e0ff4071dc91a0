"""Latency of one caller's small requests while another caller's large ones run sequentially."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.compare.ground import Ground, Party
from bench.compare.load import Meter
from bench.compare.probe import ClientReport, Order, Running
from bench.compare.questions import WALLET

# Low enough that the small requests add little load.
_PER_S: Final = 40.0
# Few enough customers that the warm-up caches all of them.
_SMALL: Final = 50
COLUMNS: Final = (
    "gateway",
    "big answer ms: p50 (min-max of rounds)",
    "max",
    "CPU ms",
    "calls",
    "small alone ms: p50 / p99 / max",
    "small beside the big ms: p50 / p99 / max",
    "answers",
    "RSS MB",
    "foreign CPU",
    "bad",
)


@dataclass(frozen=True, slots=True)
class Sample:
    big: ClientReport
    alone: ClientReport
    beside: ClientReport
    cpu_ms: float
    calls: float
    rss_mb: float
    foreign: float


def measure(party: Party, ground: Ground, asked: Sequence[bytes], seconds: float) -> Sample:
    """Measure small requests alone, then beside large ones: one caller sends `asked` sequentially, another small
    requests.

    CPU and calls are the totals of both callers, per large reply.
    """
    bodies = [WALLET.body(number).decode() for number in range(1, _SMALL + 1)]
    length = len(party.ask(WALLET.body(1)))
    small = Order(party.url, {**party.headers, **party.other}, bodies, length, seconds, _PER_S)
    alone = Running(small).report()
    bodies = [body.decode() for body in asked]
    big = Order(party.url, party.headers, bodies, len(party.ask(asked[0])), seconds)
    meter = Meter(party.pid, ground.counter)
    first, second = Running(big), Running(small)
    answers, beside = first.report(), second.report()
    cpu_us, calls, rss_mb, foreign = meter.read(len(answers.took_ms))
    return Sample(answers, alone, beside, cpu_us / 1000, calls, rss_mb, foreign)


def rows(samples: Mapping[str, Sequence[Sample]]) -> Iterator[str]:
    middle = statistics.median
    for name, found in samples.items():
        p50s = [middle(one.big.took_ms) for one in found]
        bad = sum(part.bad for one in found for part in (one.big, one.alone, one.beside))
        yield (
            f"| {name} | {middle(p50s):.1f} ({min(p50s):.1f}-{max(p50s):.1f}) | "
            f"{max(one.big.took_ms[-1] for one in found):.0f} | {middle(one.cpu_ms for one in found):.1f} | "
            f"{middle(one.calls for one in found):.1f} | "
            f"{_latency([one.alone for one in found])} | {_latency([one.beside for one in found])} | "
            f"{sum(len(one.big.took_ms) for one in found)} | {max(one.rss_mb for one in found):.0f} | "
            f"{100 * max(one.foreign for one in found):.0f} % | {bad} |"
        )


def _latency(rounds: Sequence[ClientReport]) -> str:
    """Over all rounds."""
    every = sorted(took for one in rounds for took in one.took_ms)
    return f"{statistics.median(every):.1f} / {every[len(every) * 99 // 100]:.1f} / {every[-1]:.1f}"
