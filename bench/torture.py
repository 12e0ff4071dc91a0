"""Writes under SIGKILL and lost replies: is each applied exactly once, and does the gateway report so?

    python -m bench.torture [--rounds 1000] [--seed N] [--page]

Each round sends adds, defaults, updates and deletes to a gateway while vaults drop connections before and after they
process a request, and kills the gateway with SIGKILL at a random instant. The next gateway gets every idempotency key
of the round again, and is sometimes killed too, until each key has a final reply. Then the vaults' data is checked.
Vaults also reply with any status from 200 to 599, with or without applying the write, with a meaningless body or a
success body.
"""

import argparse
import asyncio
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from app.api.auth.development import DevTokens
from app.vault.enums import ProviderCapability
from app.wallet.caller import ALL_SCOPES
from bench.pages import put_section
from bench.parts import figures
from bench.torture_plan import VAULTS, Json, Plan, Write, can, faults
from tests.support import leaks
from tests.support.command import EXECUTABLE, Running, environment
from tests.support.warm import WarmProcess

DEADLINE_S: Final = 1.2
_READY_WITHIN_S: Final = 60.0
_SETTLED_WITHIN_S: Final = 90.0
_PAUSE_S: Final = 0.05
CONFIG: Final = "raw_cards = true\n" + "".join(
    f"[{name}]\nwrite_deadline_s = {DEADLINE_S}\n[{name}.breaker]\nminimum_calls = 100000\n" for name in VAULTS
)
SHOWN: Final = """query ($id: ID!) { customer(id: $id) { defaultMethodInfo { state reason } defaultMethod { id }
  paymentMethods { id provider last4 nickname isProviderDefault ... on Card { expiry } } } }"""


@dataclass(slots=True)
class Report:
    """What was done, and what was wrong: `wrong` must stay empty."""

    rounds: int = 0
    kills: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    lost_in_flight: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def rows(self) -> Mapping[str, Any]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.writes.items()))
        return {
            "rounds": f"{self.rounds:,}",
            "SIGKILLs": f"{self.kills:,}",
            "keys": f"{sum(self.writes.values()):,} ({kinds})",
            "requests, every key sent again after each kill": f"{self.sent:,}",
            "requests whose answer died with the gateway": f"{self.lost_in_flight:,}",
            "answers `OUTCOME_UNKNOWN`, settled later": f"{self.codes['OUTCOME_UNKNOWN']:,}",
            "answers `IDEMPOTENCY_IN_PROGRESS`": f"{self.codes['IDEMPOTENCY_IN_PROGRESS']:,}",
            "answers proven not applied, run again": f"{self.codes['NOT_APPLIED']:,}",
            "effects too many, effects missing, answers that the vault contradicts": len(self.wrong),
            "took": f"{self.seconds / 60:.1f} min",
        }


class Gateway:
    """The process under test; a new one after each kill, on the same data directory."""

    def __init__(self, folder: Path, sandbox_url: str) -> None:
        self._process: WarmProcess | None = None
        self._folder = folder
        self._log = folder / "gateway.log"
        config = folder / "vaultgraph.toml"
        config.write_text(CONFIG)
        self._command: list[str | Path] = [
            EXECUTABLE, "dev", "--port", "0", "--sandbox-url", sandbox_url, "--config", str(config),
            "--data-dir", str(folder / "data"),
        ]  # fmt: skip
        self.url = ""
        self.headers: dict[str, str] = {}

    async def start(self) -> None:
        with self._log.open("w") as log:
            self._process = WarmProcess(self._command, cwd=None, env=environment(), stdout=log, stderr=log)
        give_up_at = time.monotonic() + _READY_WITHIN_S
        while not (found := re.search(r"Gateway +(http://\S+)/graphql", self._log.read_text())):
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"the gateway did not start: {self._log.read_text()[-2000:]}")
            await asyncio.sleep(0.01)
        self.url = found.group(1)
        token = DevTokens.open(self._folder / "data").mint(ALL_SCOPES)
        self.headers = {"authorization": f"Bearer {token}"}

    def kill(self) -> None:
        """SIGKILL, and wait for the process to end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    close = kill

    @property
    def database(self) -> Path:
        return self._folder / "data" / "vaultgraph.db"


class Torture:
    def __init__(self, gateway: Gateway, sandbox_url: str, rng: random.Random, writes_per_round: int) -> None:
        self._gateway = gateway
        self._control_url = f"{sandbox_url}/__sandbox"
        self._rng = rng
        self._size = writes_per_round
        self._session: aiohttp.ClientSession
        self.plan = Plan(rng, self.control)
        self.report = Report()

    async def run(self, rounds: int) -> Report:
        began = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as self._session:
            await self._gateway.start()
            for _ in range(rounds):
                await self._round()
            await self._check_final_state()
        self.report.seconds = time.monotonic() - began
        return self.report

    async def control(self, method: str, path: str, body: Json | None = None) -> Any:
        async with self._session.request(method, f"{self._control_url}{path}", json=body) as reply:
            answer = await reply.json()
            if reply.status != 200:
                raise RuntimeError(f"the sandbox refused {path}: {answer}")
            return answer

    # ---- one round ----

    async def _round(self) -> None:
        writes = await self.plan.round(self._size)
        for write in writes:
            leaks.note_variables(write.input)
            self.report.writes[write.kind] += 1
        for fault in faults(self._rng):
            await self.control("POST", "/faults", fault)
        sending = [asyncio.create_task(self._send(write)) for write in writes]
        await asyncio.sleep(self._rng.uniform(0.0, 0.45) if self._rng.random() < 0.8 else self._rng.uniform(0.45, 2.0))
        await self._kill_and_start_again()
        await asyncio.gather(*sending)
        if self._rng.random() < 0.3:
            again = [asyncio.create_task(self._send(write)) for write in writes]
            await asyncio.sleep(self._rng.uniform(0.0, 0.3))
            await self._kill_and_start_again()
            await asyncio.gather(*again)
        if self._rng.random() < 0.5:
            await self.control("DELETE", "/faults")
        else:  # more faults while the keys are sent again; each fault ends by itself
            for fault in faults(self._rng):
                await self.control("POST", "/faults", fault)
        await self._settle(writes)
        await self.control("DELETE", "/faults")
        self.report.rounds += 1

    async def _kill_and_start_again(self) -> None:
        self._gateway.kill()
        self.report.kills += 1
        await self._gateway.start()

    async def _settle(self, writes: list[Write]) -> None:
        """Send every key, including answered ones, until each has a final reply."""
        give_up_at = time.monotonic() + _SETTLED_WITHIN_S
        waiting = list(writes)
        while waiting:
            await asyncio.gather(*(self._send(write) for write in waiting))
            waiting = [write for write in waiting if not write.is_done]
            if waiting and time.monotonic() > give_up_at:
                self.report.wrong += [f"{write.kind} {write.key} was never settled: {write.final}" for write in waiting]
                break
            await asyncio.sleep(_PAUSE_S)
        for write in writes:
            if write.final is not None and (not write.final["userErrors"] or _is_default_alone(write.final)):
                self.plan.note(write, write.final)

    async def _send(self, write: Write) -> None:
        answer = await self._post(write.document, {"input": write.input})
        write.sent += 1
        self.report.sent += 1
        if answer is None:
            self.report.lost_in_flight += 1
            return
        done = (answer.get("data") or {}).get("done")
        others = [error for error in answer.get("errors", ()) if error["extensions"]["code"] != "SOURCES_UNAVAILABLE"]
        if others or done is None:  # a payload's own reads may fail; reported beside it
            self.report.wrong.append(f"{write.kind} {write.key}: errors {answer.get('errors')}")
            write.is_done = True
            return
        self._check_reply(write, done)

    def _check_reply(self, write: Write, done: Json) -> None:
        """A reply is final unless it may be retried; two final replies must be equal."""
        errors = done["userErrors"]
        for error in errors:
            self.report.codes["NOT_APPLIED" if error.get("outcome") == "NOT_APPLIED" else error["code"]] += 1
        if any(error["retryable"] for error in errors):
            if write.is_done:
                self.report.wrong.append(f"{write.kind} {write.key}: was final, and is {errors}")
            return
        if errors and not _is_default_alone(done):
            self.report.wrong.append(f"{write.kind} {write.key} at {write.provider}: {errors}")
        outcome = _outcome(done)
        if write.is_done and write.final is not None and not _agree(_outcome(write.final), outcome):
            self.report.wrong.append(f"{write.kind} {write.key}: first {_outcome(write.final)}, then {outcome}")
        shown = done.get("paymentMethod")
        if write.kind == "add" and shown is not None and shown["last4"] != write.last4:
            self.report.wrong.append(f"add {write.key}: answered another method")
        if write.kind == "add" and shown is None and write.final is None:
            return  # the vault could not be read for the reply; the key returns it again
        write.is_done, write.final = True, done if write.final is None else write.final

    async def _post(self, document: str, variables: Json) -> Json | None:
        """None if the gateway died before it replied."""
        body = {"query": document, "variables": variables}
        try:
            async with self._session.post(
                f"{self._gateway.url}/graphql", json=body, headers=self._gateway.headers
            ) as reply:
                answer: Json = await reply.json()
                return answer
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return None

    # ---- the end ----

    async def _check_final_state(self) -> None:
        """Per vault: each add exists once, deleted ones are gone; choices, nicknames and vault defaults agree."""
        for customer in self.plan.customers:
            answer = await self._post(SHOWN, {"id": customer.id})
            shown = (answer or {}).get("data", {}).get("customer")
            if shown is None or shown["paymentMethods"] is None:
                self.report.wrong.append(f"{customer.id} could not be read: {answer}")
                continue
            await self._compare(customer, shown)
        self._check_journal()

    async def _compare(self, customer: Any, shown: Json) -> None:
        by_id = {method["id"]: method for method in shown["paymentMethods"]}
        default = (shown["defaultMethod"] or {}).get("id")
        for provider in VAULTS:
            held = await self.control("GET", f"/customers/{provider}/{customer.refs[provider]}")
            ours = [one for one in self.plan.added if (one.write.customer, one.write.provider) == (customer, provider)]
            active = Counter(row["last4"] for row in held if row["active"])
            every = Counter(row["last4"] for row in held)
            for one in ours:
                expected = 0 if one.is_deleted else 1
                if active[one.write.last4] != expected or every[one.write.last4] > 1:
                    self.report.wrong.append(
                        f"{provider} {customer.id} ..{one.write.last4}: {every[one.write.last4]} there, "
                        f"{active[one.write.last4]} active, expected {expected}"
                    )
                method = by_id.get(one.method_id)
                if (method is None) != one.is_deleted:
                    self.report.wrong.append(f"{provider} {customer.id} ..{one.write.last4}: the graph disagrees")
                if method is not None and method["nickname"] != one.nickname:
                    self.report.wrong.append(f"{provider} {customer.id}: nickname is not the last one given")
            self._compare_default(customer, provider, held, by_id.get(default), shown)

    def _compare_default(
        self, customer: Any, provider: str, held: list[Json], default: Json | None, shown: Json
    ) -> None:
        """If the customer's choice is a method of a vault with defaults, that vault's default must be the same."""
        defaults = [row for row in held if row["is_default"] and row["active"]]
        if len(defaults) > 1:
            self.report.wrong.append(f"{provider} {customer.id}: several defaults")
        if (
            not can(provider, ProviderCapability.SET_DEFAULT)
            or default is None
            or default["provider"].lower() != provider
        ):
            return
        if shown["defaultMethodInfo"]["reason"] == "EXPLICIT_CHOICE" and not default["isProviderDefault"]:
            self.report.wrong.append(f"{provider} {customer.id}: choice and vault disagree about the default")

    def _check_journal(self) -> None:
        with sqlite3.connect(f"file:{self._gateway.database}?mode=ro", uri=True) as database:
            states = dict(database.execute("SELECT state, count(*) FROM operations GROUP BY state"))
            sums = dict(database.execute("SELECT type, count(*) FROM events WHERE actor IS NOT NULL GROUP BY type"))
        settled = sum(self.report.writes.values())
        if not set(states) <= {"SUCCEEDED", "PARTIAL"} or sum(states.values()) != settled:
            self.report.wrong.append(f"the journal's states are {states}, for {settled} keys")
        for kind, written in (("METHOD_ADDED", "add"), ("METHOD_DELETED", "delete")):
            if sums.get(kind, 0) != self.report.writes[written]:
                self.report.wrong.append(f"{sums.get(kind, 0)} events {kind} for {self.report.writes[written]} writes")


def _is_default_alone(done: Json) -> bool:
    """Added, but not made the default; this reply is final."""
    return done["operation"]["state"] == "PARTIAL" and [one["path"] for one in done["userErrors"]] == [
        ["input", "makeDefault"]
    ]


def _outcome(done: Json) -> tuple[Any, ...]:
    method = done.get("paymentMethod") or {}
    return done["operation"]["id"], done["operation"]["state"], method.get("id") or done.get("deletedId")


def _agree(first: tuple[Any, ...], then: tuple[Any, ...]) -> bool:
    """A method that could not be read for one of the replies is ignored."""
    return first[:2] == then[:2] and (None in (first[2], then[2]) or first[2] == then[2])


async def torture(folder: Path, rounds: int, seed: int, writes_per_round: int = 8) -> Report:
    """Run in `folder`, whose contents remain for inspection."""
    with Running("sandbox", "--port", "0", "--data-dir", folder / "vaults") as sandbox:
        sandbox_url = sandbox.until(r"Control +(http://\S+)/__sandbox").group(1)
        with closing(Gateway(folder, sandbox_url)) as gateway:
            report = await Torture(gateway, sandbox_url, random.Random(seed), writes_per_round).run(rounds)
    report.wrong += [f"a secret in {leak}" for leak in leaks.found_in_folder(folder / "data")]
    report.wrong += [f"a secret in the log: {leak}" for leak in leaks.found_in((folder / "gateway.log").read_bytes())]
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--page", action="store_true", help="write the figures into docs/appendix/reliability.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(torture(Path(folder), asked.rounds, asked.seed))
    table = figures(report.rows())
    print(f"seed {asked.seed}\n{table}")
    for line in report.wrong:
        print("WRONG", line)
    if report.wrong:
        sys.exit(1)
    if asked.page:
        put_section("torture", table)


if __name__ == "__main__":
    main()
