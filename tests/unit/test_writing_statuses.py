"""Every write of every vault, answered with any status or an unusual body, with the write applied or not.

The result must match the vault: APPLIED exists once, NOT_APPLIED does not exist. The default statuses are those with a
meaning; `VAULTGRAPH_STATUSES=all` tries all from 200 to 599. `test_write_outcome.py` checks the tables for all of them.
"""

import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.cli.demo_data import add_demo_customers
from app.sandbox.demo import LOAD_CUSTOMERS, DemoCustomer, load_customer
from app.store.records import MethodAddress, WriteOutcome
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.model import Address, Expiry, PersonName
from app.wallet.commands import CreateCustomer, DeleteMethod, SetDefault, UpdateMethod, WriteResult
from tests.support.calls import soon
from tests.support.sandbox import RunningSandbox
from tests.support.writing import STAFF, Bench, bench_on, new_key, open_store

P = ProviderName
APPLIED, NOT_APPLIED, UNKNOWN = WriteOutcome.APPLIED, WriteOutcome.NOT_APPLIED, WriteOutcome.UNKNOWN
VERBS = {
    P.LOANPRO: ("PUT", "POST"),
    P.ALOHA: ("PUT",),
    P.JPMORGAN: ("POST", "PATCH", "DELETE"),
    P.CASELLE: ("POST", "PUT", "DELETE"),
}
_MEANINGFUL = (
    *(200, 201, 202, 203, 204, 206, 226, 300, 302, 303, 304, 307, 308),
    *(400, 401, 402, 403, 404, 405, 408, 409, 410, 412, 415, 418, 422, 423, 425, 429, 451, 499),
    *(500, 501, 502, 503, 504, 520, 599),
)
STATUSES = range(200, 600) if os.environ.get("VAULTGRAPH_STATUSES") == "all" else _MEANINGFUL
BODIES: dict[str, Any] = {
    "empty": "",
    "HTML": "<html><body>OK</body></html>",
    "array": [],
    "object": {},
    "null": "null",
    "text": '"done"',
    "another": {"result": {"status": "accepted"}},
    "error": {"message": "something", "errors": []},
    "cut short": '{"d": {"id": 3',
}


class World:
    """One customer per write, so that writes do not affect each other."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._number = 0

    async def next(self) -> DemoCustomer:
        self._number += 1
        return load_customer(1 + (self._number - 1) % LOAD_CUSTOMERS)

    def held(self, name: ProviderName, who: DemoCustomer) -> list[dict[str, Any]]:
        return self.bench.sandbox.held(name.value, who.refs[name.value])

    def id(self, name: ProviderName, who: DemoCustomer, ref: str) -> str:
        address = MethodAddress(name, CustomerRef(who.refs[name.value]), MethodRef(ref))
        return self.bench.ids.encode_address(address)


Send = Callable[[], Awaitable[WriteResult]]
Count = Callable[[], Awaitable[int]]


@dataclass(frozen=True)
class Op:
    """`prepare` returns a function that sends the write, and one that counts how often the vault has applied it."""

    name: str
    provider: ProviderName
    prepare: Callable[["World", ProviderName], Awaitable[tuple[Send, Count]]]


async def an_add(world: World, name: ProviderName) -> tuple[Send, Count]:
    who, bench = await world.next(), world.bench
    command = bench.adding(name, customer_id=who.id)
    before = len(world.held(name, who))

    async def count() -> int:
        return len(world.held(name, who)) - before

    return lambda: bench.writer.run(command, STAFF, soon()), count


async def a_default(world: World, name: ProviderName) -> tuple[Send, Count]:
    who, bench = await world.next(), world.bench
    target = next(row["ref"] for row in world.held(name, who) if row["active"] and not row["is_default"])
    command = SetDefault(customer_id=who.id, method_id=world.id(name, who, target), idempotency_key=new_key())

    async def count() -> int:
        return [row["ref"] for row in world.held(name, who) if row["is_default"]].count(target)

    return lambda: bench.writer.run(command, STAFF, soon()), count


async def _last(world: World, name: ProviderName) -> tuple[DemoCustomer, str]:
    """An active method; resets the vaults if no customer has one left."""
    who = await world.next()
    if not any(row["active"] for row in world.held(name, who)):
        world.bench.sandbox.reset()
    return who, [row["ref"] for row in world.held(name, who) if row["active"]][-1]


async def a_delete(world: World, name: ProviderName) -> tuple[Send, Count]:
    bench = world.bench
    who, target = await _last(world, name)
    command = DeleteMethod(method_id=world.id(name, who, target), idempotency_key=new_key())

    async def count() -> int:
        return int(target not in {row["ref"] for row in world.held(name, who) if row["active"]})

    return lambda: bench.writer.run(command, STAFF, soon()), count


async def an_update(world: World, name: ProviderName) -> tuple[Send, Count]:
    bench = world.bench
    who, target = await _last(world, name)
    wish: dict[str, Any] = {"expiry": Expiry(2037, 7)} if name is P.JPMORGAN else {"active": False}
    if name is P.JPMORGAN:
        cards = [row["ref"] for row in world.held(name, who) if row["kind"] == "card"]
        target = cards[-1]
        held = (await bench.wallet(name, who.refs[name.value]))[MethodRef(target)]
        if getattr(held, "expiry", None) == wish["expiry"]:
            wish["expiry"] = Expiry(2036, 6)
    command = UpdateMethod(method_id=world.id(name, who, target), idempotency_key=new_key(), **wish)

    async def count() -> int:
        held = (await bench.wallet(name, who.refs[name.value]))[MethodRef(target)]
        is_done = getattr(held, "expiry", None) == wish["expiry"] if "expiry" in wish else held.status != "ACTIVE"
        return int(is_done)

    return lambda: bench.writer.run(command, STAFF, soon()), count


async def a_customer(world: World, name: ProviderName) -> tuple[Send, Count]:
    bench, key = world.bench, new_key()
    command = CreateCustomer(
        external_id=key,
        idempotency_key=new_key(),
        name=PersonName("Ada", "Example"),
        email=f"{key}@example.com",
        address=Address(line1=f"1 {key} St", city="Austin", region="TX", postal_code="78701", country="US"),
        provision_at=(name,),
    )

    async def count() -> int:
        return int(await bench.providers[name].find_customer(key, soon()) is not None)

    return lambda: bench.writer.run(command, STAFF, soon()), count


OPS = (
    *(Op("add", name, an_add) for name in P),
    *(Op("default", name, a_default) for name in (P.LOANPRO, P.JPMORGAN, P.CASELLE)),
    *(Op("delete", name, a_delete) for name in (P.LOANPRO, P.JPMORGAN, P.CASELLE)),
    *(Op("update", name, an_update) for name in (P.LOANPRO, P.JPMORGAN)),
    *(Op("create", name, a_customer) for name in (P.LOANPRO, P.CASELLE)),
)
each_op = pytest.mark.parametrize("op", OPS, ids=lambda op: f"{op.provider.value}-{op.name}")


async def reported(op: Op, world: World, kind: str, **fault: Any) -> tuple[WriteOutcome, int]:
    """The reported outcome of one write under one fault, and how often the vault has applied it."""
    send, count = await op.prepare(world, op.provider)
    sandbox = world.bench.sandbox
    for verb in VERBS[op.provider]:
        sandbox.fault(op.provider.value, kind, method=verb, times=1, **fault)
    result = await send()
    sandbox.clear_faults()
    outcomes = [problem.outcome for problem in result.problems]
    outcome = APPLIED if not outcomes else outcomes[0]
    assert outcome is not None, result.problems
    return outcome, await count()


def faults() -> Iterator[tuple[str, dict[str, Any]]]:
    for status in STATUSES:
        for commit in (False, True):
            yield "status", {"status": status, "commit": commit}


@each_op
async def test_reported_outcome_matches_the_vault(op: Op, sandbox: RunningSandbox, sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store) as bench:
        world, wanted = World(bench), list(faults())
        await store.transaction(add_demo_customers, map(load_customer, range(1, 1 + min(LOAD_CUSTOMERS, len(wanted)))))
        wrong = []
        for kind, fault in wanted:
            found = await reported(op, world, kind, **fault)
            if found != ((APPLIED, 1) if fault["commit"] else (NOT_APPLIED, 0)):
                wrong.append((fault, found))
        assert wrong == []
    await store.close()


@each_op
async def test_write_with_unusual_body_is_looked_up(op: Op, sandbox: RunningSandbox, sqlite_url: str) -> None:
    """The write is applied, and its answer replaced."""
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store) as bench:
        world = World(bench)
        await store.transaction(add_demo_customers, map(load_customer, range(1, 1 + len(BODIES) * 3)))
        wrong = []
        for name, body in BODIES.items():
            for status in (200, 201, 400):
                found = await reported(op, world, "rewrite", status=status, body=body)
                if found != (APPLIED, 1):
                    wrong.append((name, status, found))
        assert wrong == []
    await store.close()


@each_op
async def test_success_with_another_status_is_found(op: Op, sandbox: RunningSandbox, sqlite_url: str) -> None:
    """The vault's own answer, with a status that the vault never uses."""
    store = open_store(sqlite_url)
    async with bench_on(sandbox, store) as bench:
        world = World(bench)
        statuses = (200, 201, 202, 207, 302, 400, 403, 404, 409, 410, 422, 429, 503)
        await store.transaction(add_demo_customers, map(load_customer, range(1, 1 + len(statuses))))
        found = [await reported(op, world, "rewrite", status=status) for status in statuses]
        assert found == [(APPLIED, 1)] * len(statuses)
    await store.close()
