"""Overload: far more requests than the gateway accepts, and its recovery.

    python -m bench.overload [--seconds 10] [--crowd 1000] [--page]

Three phases of equal length over the same gateway, whose limit is 150 requests in flight: a few clients, a crowd that
requests again after each reply (after a 503, when `Retry-After` has passed), and the few again. Every vault call takes
100 ms and its reply is fresh for a second. Passes if all replies are 200 or 503, every 503 has `Retry-After`, and the
few get only 200 once the crowd is gone.
"""

import argparse
import asyncio
import math
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from app.providers.registry import specs
from bench.pages import put_section
from bench.parts import Parts, figures, running_parts

FEW: Final = 10
CUSTOMERS: Final = 20
"""Few customers, whose reads are shared, so that the single-process sandbox is not the bottleneck."""

WALLET: Final = """query ($id: ID!) { customer(id: $id) { paymentMethods { id label } sources { provider state } } }"""
VAULTS: Final = tuple(spec.name for spec in specs().values() if spec.sandbox is not None)
SETTINGS: Final = """
[gate]
max_in_flight = 150
[rate.staff]
requests_per_s = 1000000
requests_burst = 1000000
cost_per_s = 1000000
cost_burst = 1000000
""" + "".join(f"[{vault}]\nfresh_for_s = 1.0\n" for vault in VAULTS)


@dataclass(slots=True)
class Phase:
    clients: int
    seconds: float
    statuses: Counter[str] = field(default_factory=Counter)
    served_s: list[float] = field(default_factory=list)
    shed_s: list[float] = field(default_factory=list)
    without_retry_after: int = 0
    states: Counter[str] = field(default_factory=Counter)

    def shown(self) -> str:
        served = f"{len(self.served_s) / self.seconds:.0f} served a second, {_percentiles(self.served_s)}"
        if not self.shed_s:
            return f"{served}; none refused"
        share = 100 * len(self.shed_s) / (len(self.shed_s) + len(self.served_s))
        return f"{served}; {share:.0f} % refused, {_percentiles(self.shed_s)}"


async def run_phase(parts: Parts, clients: int, seconds: float) -> Phase:
    phase = Phase(clients, seconds)
    ends_at = time.monotonic() + seconds
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(parts.gateway_url, headers=parts.headers, connector=connector) as session:
        await asyncio.gather(*(_client(session, number, ends_at, phase) for number in range(clients)))
    return phase


async def _client(session: aiohttp.ClientSession, number: int, ends_at: float, phase: Phase) -> None:
    while time.monotonic() < ends_at:
        number += 7
        body = {"query": WALLET, "variables": {"id": f"cus_load-{1 + number % CUSTOMERS:04d}"}}
        began = time.monotonic()
        try:
            async with session.post("/graphql", json=body) as reply:
                answer: dict[str, Any] = await reply.json()
        except aiohttp.ClientError as error:
            phase.statuses[type(error).__name__] += 1
            continue
        took = time.monotonic() - began
        phase.statuses[str(reply.status)] += 1
        if reply.status == 503:
            phase.shed_s.append(took)
            phase.without_retry_after += "retry-after" not in reply.headers
            await asyncio.sleep(float(reply.headers.get("retry-after", 1)))
        elif reply.status == 200:
            phase.served_s.append(took)
            phase.states.update(row["state"] for row in answer["data"]["customer"]["sources"])


async def three_phases(parts: Parts, crowd: int, seconds: float) -> list[Phase]:
    async with aiohttp.ClientSession() as session:
        for vault in VAULTS:
            fault = {"provider": vault, "kind": "delay", "delay_ms": 100}
            async with session.post(f"{parts.control}/faults", json=fault) as reply:
                reply.raise_for_status()
    await run_phase(parts, FEW, 2)  # documents, tokens and connections exist
    return [await run_phase(parts, clients, seconds) for clients in (FEW, crowd, FEW)]


def faults_of(phases: list[Phase]) -> list[str]:
    before, crowd, after = phases
    found = [f"answered {dict(phase.statuses)}" for phase in phases if set(phase.statuses) - {"200", "503"}]
    if any(phase.without_retry_after for phase in phases):
        found.append("a 503 came without Retry-After")
    if not crowd.shed_s:
        found.append("the crowd was too small to cause a refusal")
    if before.shed_s or after.shed_s:
        found.append("the few were refused")
    return found


def _percentiles(seconds: list[float]) -> str:
    if not seconds:
        return "-"
    ordered = sorted(seconds)
    half, most = (ordered[math.ceil(share * len(ordered)) - 1] * 1000 for share in (0.5, 0.99))
    return f"half within {half:.0f} ms, 99 % within {most:.0f} ms"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=10, help="duration of each of the three phases")
    options.add_argument("--crowd", type=int, default=1000)
    options.add_argument("--page", action="store_true", help="write the figures into docs/appendix/reliability.md")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_parts(Path(folder), SETTINGS) as parts:
        rss_before = parts.rss_kb()
        phases = asyncio.run(three_phases(parts, chosen.crowd, chosen.seconds))
        rss_after = parts.rss_kb()
    before, crowd, after = phases
    rows = {
        f"{before.clients} clients": before.shown(),
        f"then {crowd.clients} clients": crowd.shown(),
        f"then {after.clients} clients again": after.shown(),
        "sources while the crowd was there": ", ".join(f"{name} {n}" for name, n in crowd.states.most_common()),
        "memory before and after": f"{rss_before / 1024:.0f} MB, {rss_after / 1024:.0f} MB",
    }
    text = figures(rows)
    print(text)
    if wrong := faults_of(phases):
        sys.exit("\n".join(wrong))
    if chosen.page:
        put_section("overload", text)


if __name__ == "__main__":
    main()
