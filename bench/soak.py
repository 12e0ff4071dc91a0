"""A long run under mixed faults: does the gateway's memory stay flat?

    python -m bench.soak [--seconds 600] [--rate 60] [--page]

Requests arrive at a fixed rate regardless of replies; every two seconds another vault gets another fault. Memory is the
gateway's resident set; passes if the end is within 10 % of the value after the first minute.
"""

import argparse
import asyncio
import random
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

VAULTS: Final = tuple(spec.name for spec in specs().values() if spec.sandbox is not None)
FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "delay", "delay_ms": 400},
    {"kind": "hang"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 401},
    {"kind": "throttle", "retry_after_s": 1},
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "truncate"},
    {"kind": "garbage"},
)
WALLET: Final = """query ($id: ID!) { customer(id: $id) { id name authStatus defaultMethod { id }
  paymentMethods { id provider label isDefault isStale authStatus possibleDuplicates { id } }
  sources { provider state } } }"""
MANY: Final = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Customer { id sources { provider state } } } }"
SET_DEFAULT: Final = """mutation ($input: SetDefaultPaymentMethodInput!) { setDefaultPaymentMethod(input: $input) {
  userErrors { code } customer { defaultMethod { id } } } }"""
MOST_OUTSTANDING: Final = 100
"""On a slow machine the load is reduced: this measures duration, not overload."""

WARM_UP_S: Final = 60


@dataclass(slots=True)
class Tally:
    requests: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    user_errors: Counter[str] = field(default_factory=Counter)
    method_ids: dict[str, str] = field(default_factory=dict)
    rss_kb: list[tuple[float, int]] = field(default_factory=list)


class Soak:
    def __init__(self, parts: Parts, seconds: float, rate: float, seed: int) -> None:
        self._parts = parts
        self._seconds = seconds
        self._rate = rate
        self._random = random.Random(seed)
        self.tally = Tally()

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(limit=MOST_OUTSTANDING)
        async with aiohttp.ClientSession(headers=self._parts.headers, connector=connector) as session:
            side = [asyncio.create_task(self._set_faults(session)), asyncio.create_task(self._watch())]
            try:
                await self._load(session)
            finally:
                for task in side:
                    task.cancel()
                await asyncio.gather(*side, return_exceptions=True)
            await session.delete(f"{self._parts.control}/faults")
        await asyncio.sleep(12)  # requests in flight finish, and idle connections are closed
        self.tally.rss_kb.append((self._seconds, self._parts.rss_kb()))

    async def _load(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        began, sent, outstanding = loop.time(), 0, set[asyncio.Task[None]]()
        while (now := loop.time()) < began + self._seconds:
            if len(outstanding) < MOST_OUTSTANDING and sent < (now - began) * self._rate:
                sent += 1
                task = asyncio.create_task(self._one(session))
                outstanding.add(task)
                task.add_done_callback(outstanding.discard)
            else:
                await asyncio.sleep(0.005)
        await asyncio.gather(*outstanding)

    async def _one(self, session: aiohttp.ClientSession) -> None:
        self.tally.requests += 1
        body, patience_s, headers = self._request()
        try:
            async with asyncio.timeout(patience_s):
                url = f"{self._parts.gateway_url}/graphql"
                async with session.post(url, json=body, headers=headers) as reply:
                    self._count(reply.status, await reply.json())
        except TimeoutError:
            self.tally.outcomes["the client left"] += 1
        except aiohttp.ClientError as error:
            self.tally.outcomes[type(error).__name__] += 1

    def _request(self) -> tuple[dict[str, Any], float, dict[str, str]]:
        """Mostly wallets; some batches, writes, clients with short deadlines, and client disconnects."""
        pick = self._random.random()
        customer = f"cus_load-{self._random.randint(1, 200):04d}"
        headers = {"x-deadline-ms": "300"} if self._random.random() < 0.1 else {}
        patience_s = 0.05 if self._random.random() < 0.05 else 30.0
        if pick < 0.05:
            ids = [f"cus_load-{self._random.randint(1, 200):04d}" for _ in range(10)]
            return {"query": MANY, "variables": {"ids": ids}}, patience_s, headers
        if pick < 0.10 and self.tally.method_ids:
            customer, method = self._random.choice(list(self.tally.method_ids.items()))
            wish = {"customerId": customer, "paymentMethodId": method}
            return {"query": SET_DEFAULT, "variables": {"input": wish}}, 30.0, {}
        return {"query": WALLET, "variables": {"id": customer}}, patience_s, headers

    def _count(self, status: int, body: dict[str, Any]) -> None:
        codes = sorted({error["extensions"]["code"] for error in body.get("errors", ())})
        self.tally.outcomes[" ".join([str(status), *codes])] += 1
        data = body.get("data") or {}
        for customer in filter(None, [data.get("customer"), *(data.get("nodes") or ())]):
            self.tally.states.update(row["state"] for row in customer["sources"])
            for method in customer.get("paymentMethods") or ():
                if method["provider"] != "ALOHA":
                    self.tally.method_ids[customer["id"]] = method["id"]
        payload = data.get("setDefaultPaymentMethod")
        if payload is not None:
            self.tally.user_errors.update(error["code"] for error in payload["userErrors"])
            self.tally.user_errors["done"] += not payload["userErrors"]

    async def _set_faults(self, session: aiohttp.ClientSession) -> None:
        while True:
            fault = self._random.choice(FAULTS)
            vault = self._random.choice(VAULTS)
            async with session.post(f"{self._parts.control}/faults", json={"provider": vault, **fault}) as reply:
                await reply.read()
            await asyncio.sleep(2)
            async with session.delete(f"{self._parts.control}/faults") as reply:
                await reply.read()
            await asyncio.sleep(0.5)

    async def _watch(self) -> None:
        began = time.monotonic()
        while True:
            passed, rss_kb = time.monotonic() - began, self._parts.rss_kb()
            self.tally.rss_kb.append((passed, rss_kb))
            print(f"{passed:4.0f} s: {rss_kb / 1024:.1f} MB, {self.tally.requests} requests", file=sys.stderr)
            await asyncio.sleep(5)


def summary(tally: Tally, seconds: float, files: tuple[int, int]) -> tuple[dict[str, Any], bool]:
    """The figures, and whether memory was flat."""
    first = next(rss for at, rss in tally.rss_kb if at >= min(WARM_UP_S, seconds / 2))
    last, most = tally.rss_kb[-1][1], max(rss for _, rss in tally.rss_kb)
    rows = {
        "length": f"{seconds:.0f} s",
        "requests": f"{tally.requests} ({tally.requests / seconds:.0f} a second)",
        "answers": _counts(tally.outcomes),
        "sources": _counts(tally.states),
        "writes": _counts(tally.user_errors),
        "memory after the first minute": f"{first / 1024:.1f} MB",
        "memory at the end": f"{last / 1024:.1f} MB ({100 * (last - first) / first:+.1f} %)",
        "most memory": f"{most / 1024:.1f} MB",
        "open files at the start and the end": f"{files[0]}, {files[1]}",
    }
    return rows, last <= 1.1 * first


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in found.most_common())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--rate", type=float, default=60, help="requests a second")
    options.add_argument("--seed", type=int, default=4)
    options.add_argument("--page", action="store_true", help="write the figures into docs/appendix/reliability.md")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_parts(Path(folder)) as parts:
        soak = Soak(parts, chosen.seconds, chosen.rate, chosen.seed)
        files_before = parts.open_files()
        asyncio.run(soak.run())
        rows, is_flat = summary(soak.tally, chosen.seconds, (files_before, parts.open_files()))
    text = figures(rows)
    print(text)
    if chosen.page:
        put_section("soak", text)
    if not is_flat:
        sys.exit("memory grew by more than 10 %")


if __name__ == "__main__":
    main()
