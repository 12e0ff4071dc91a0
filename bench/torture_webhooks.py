"""Webhooks under SIGKILL, duplicated and out of order: is every change reported exactly once?

    python -m bench.torture_webhooks [--rounds 200] [--seed N]

Each round changes saved methods at Caselle and sends its webhook deliveries, each several times, some from earlier
rounds again, in any order. It kills the gateway mostly when every delivery was answered with 200 and none is processed
(the vault hangs), sometimes at a random instant. A delivery without a reply is retried at the next gateway, as a sender
would. At the end every acknowledged delivery must be processed, and every change must be one event.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.parts import figures
from bench.torture import Gateway
from tests.support.command import Running

ACCOUNT: Final = "pa_7Qm2"
CUSTOMERS: Final = {"cus_alex": "cus_88420", "cus_sam": "cus_88421"}
_SETTLED_WITHIN_S: Final = 60.0
_EVENTS: Final = """query ($id: ID!, $after: String) { customer(id: $id) {
  events(first: 100, after: $after) {
    pageInfo { hasNextPage endCursor } edges { node { type provider paymentMethodId } } } } }"""
_METHODS: Final = """query ($id: ID!) { customer(id: $id) {
  paymentMethods(filter: { providers: [CASELLE], kinds: [CARD] }) { id providerRef } } }"""


@dataclass(slots=True)
class Report:
    """What was done, and what was wrong: `wrong` must stay empty."""

    rounds: int = 0
    kills: int = 0
    kills_between: int = 0
    changes: int = 0
    sent: int = 0
    unanswered: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def rows(self) -> dict[str, Any]:
        return {
            "rounds": f"{self.rounds:,}",
            "SIGKILLs": f"{self.kills:,}",
            "of them between receipt and processing": f"{self.kills_between:,}",
            "changes at the vault": f"{self.changes:,}",
            "deliveries sent, repeated ones included": f"{self.sent:,}",
            "deliveries whose answer died with the gateway": f"{self.unanswered:,}",
            "changes lost, changes reported twice": len(self.wrong),
            "took": f"{self.seconds / 60:.1f} min",
        }


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery body; a retry is the same delivery."""

    id: str
    raw: bytes

    @classmethod
    def about(cls, number: int, refs: Sequence[str]) -> "Delivery":
        delivery_id = f"evt_torture_{number}"
        body = {"id": delivery_id, "event_type": "provider.noc", "data": {"saved_payment_method_ids": list(refs)}}
        return cls(delivery_id, json.dumps(body).encode())


class Torture:
    def __init__(self, gateway: Gateway, sandbox_url: str, rng: random.Random) -> None:
        self._gateway = gateway
        self._control_url = f"{sandbox_url}/__sandbox"
        self._rng = rng
        self._session: aiohttp.ClientSession
        self._secret = ""
        self._refs: list[str] = []
        self._changes: Counter[str] = Counter()
        self._acknowledged: set[str] = set()
        self._old: list[Delivery] = []
        self._number = 0
        self.report = Report()

    async def run(self, rounds: int) -> Report:
        began = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as self._session:
            self._secret = (await self._control("GET", "/credentials"))["caselle"]["webhook_secret"]
            for ref in CUSTOMERS.values():
                held = await self._control("GET", f"/customers/caselle/{ref}")
                self._refs += [str(one["ref"]) for one in held if one["kind"] == "card"]
            await self._start()
            for _ in range(rounds):
                await self._round()
            await self._check_final_state()
        self.report.seconds = time.monotonic() - began
        return self.report

    # ---- one round ----

    async def _round(self) -> None:
        is_held = self._rng.random() < 0.6
        if is_held:  # the vault's lists hang: deliveries are stored but not processed
            await self._control("POST", "/faults", {"provider": "caselle", "method": "GET", "kind": "hang"})
        fresh = await self._change()
        sending = [
            *fresh,
            *self._rng.choices(fresh, k=len(fresh)),
            *self._rng.sample(self._old, min(2, len(self._old))),
        ]
        self._rng.shuffle(sending)
        deliveries = [asyncio.create_task(self._send(one)) for one in sending]
        if is_held:
            await asyncio.gather(*deliveries)
            self._check_nothing_processed(fresh)
            self.report.kills_between += 1
        else:
            await asyncio.sleep(self._rng.uniform(0.0, 0.03))
        self._gateway.kill()
        self.report.kills += 1
        await asyncio.gather(*deliveries)
        await self._control("DELETE", "/faults")
        await self._start()
        missing = [one for one in fresh if one.id not in self._acknowledged]
        await asyncio.gather(*(self._send(one) for one in [*missing, *self._rng.choices(fresh, k=2)]))
        await self._until_settled()
        self._old += fresh
        self.report.rounds += 1

    async def _change(self) -> list[Delivery]:
        """Change some methods at the vault; returns the events: once each, or twice under different ids."""
        found: list[Delivery] = []
        for ref in self._rng.sample(self._refs, self._rng.randint(1, len(self._refs))):
            self._changes[ref] += 1
            self.report.changes += 1
            year, month = divmod(self._changes[ref], 12)
            wish = {"provider": "caselle", "saved_payment_method_ids": [ref], "signature": "bad"}
            await self._control("POST", "/noc", {**wish, "exp_month": month + 1, "exp_year": 2040 + year})
            for _ in range(self._rng.randint(1, 2)):
                self._number += 1
                found.append(Delivery.about(self._number, [ref, "spm_of_nobody"]))
        return found

    async def _send(self, delivery: Delivery) -> None:
        self.report.sent += 1
        stamp = str(int(time.time()))
        signed = hmac.new(self._secret.encode(), stamp.encode() + b"." + delivery.raw, hashlib.sha256).hexdigest()
        headers = {"x-webhook-timestamp": stamp, "x-webhook-signature": f"sha256={signed}"}
        url = f"{self._gateway.url}/webhooks/caselle/{ACCOUNT}"
        try:
            async with self._session.post(url, data=delivery.raw, headers=headers) as reply:
                if reply.status == 200:
                    self._acknowledged.add(delivery.id)
                else:
                    self.report.wrong.append(f"{delivery.id} was refused: {reply.status}")
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            self.report.unanswered += 1

    def _check_nothing_processed(self, fresh: Sequence[Delivery]) -> None:
        states = self._states()
        for one in fresh:
            if states.get(one.id) != "RECEIVED":
                self.report.wrong.append(f"{one.id} was acknowledged and is {states.get(one.id)} before the kill")

    async def _until_settled(self) -> None:
        """Wait until every acknowledged delivery is processed; then there are as many events as changes."""
        give_up_at = time.monotonic() + _SETTLED_WITHIN_S
        while open_ones := [one for one in self._acknowledged if self._states().get(one) != "DONE"]:
            if time.monotonic() > give_up_at:
                self.report.wrong += [f"{one} was never processed: {self._states().get(one)}" for one in open_ones]
                return
            await asyncio.sleep(0.05)

    # ---- the end ----

    async def _check_final_state(self) -> None:
        """Per method: as many events as changes."""
        reported: Counter[str] = Counter()
        for customer_id in CUSTOMERS:
            shown = (await self._ask(_METHODS, id=customer_id))["paymentMethods"]
            refs = {one["id"]: one["providerRef"] for one in shown}
            after, more = None, True
            while more:
                page = (await self._ask(_EVENTS, id=customer_id, after=after))["events"]
                for edge in page["edges"]:
                    event = edge["node"]
                    if event["provider"] == "CASELLE" and event["type"].startswith("METHOD_"):
                        reported[refs.get(event["paymentMethodId"], "another")] += 1
                after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        for ref in {*reported, *self._changes}:
            if reported[ref] != self._changes[ref]:
                self.report.wrong.append(f"{ref} had {self._changes[ref]} changes and {reported[ref]} events")

    async def _ask(self, document: str, **variables: Any) -> Any:
        body = {"query": document, "variables": variables}
        async with self._session.post(
            f"{self._gateway.url}/graphql", json=body, headers=self._gateway.headers
        ) as reply:
            answer = await reply.json()
            if "errors" in answer:
                raise RuntimeError(f"the gateway answered {answer['errors']}")
            return answer["data"]["customer"]

    # ---- the processes ----

    async def _start(self) -> None:
        await self._gateway.start()
        await self._control("POST", "/webhooks", {"provider": "caselle"})  # only the test delivers

    async def _control(self, method: str, path: str, body: Any = None) -> Any:
        async with self._session.request(method, f"{self._control_url}{path}", json=body) as reply:
            answer = await reply.json()
            if reply.status != 200:
                raise RuntimeError(f"the sandbox refused {path}: {answer}")
            return answer

    def _states(self) -> dict[str, str]:
        with closing(sqlite3.connect(f"file:{self._gateway.database}?mode=ro", uri=True)) as database:
            return dict(database.execute("SELECT delivery_id, state FROM receipts"))


async def torture(folder: Path, rounds: int, seed: int) -> Report:
    with Running("sandbox", "--port", "0", "--data-dir", folder / "vaults") as sandbox:
        sandbox_url = sandbox.until(r"Control +(http://\S+)/__sandbox").group(1)
        with closing(Gateway(folder, sandbox_url)) as gateway:
            return await Torture(gateway, sandbox_url, random.Random(seed)).run(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(torture(Path(folder), asked.rounds, asked.seed))
    print(f"seed {asked.seed}\n{figures(report.rows())}")
    for line in report.wrong:
        print("WRONG", line)
    if report.wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
