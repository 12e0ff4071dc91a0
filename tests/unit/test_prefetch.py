"""Prefetch: a card's status is read in parallel with the list if the same query needed it last time."""

import asyncio
from collections.abc import Hashable
from typing import Any

import pytest

from app.errors import CircuitOpen, VaultUnavailable
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, ProviderName
from app.vault.model import ThreeDSecure, VaultWallet
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.prefetch import PrefetchHints
from app.wallet.reads.reader import to_cached_wallet
from resolvers.context import Context
from resolvers.schema import schema
from tests.support.memory import MemoryVault, P, World, card

STATUSES = '{ customer(id: "cus_a") { paymentMethods { ... on Card { last4 authStatus } } sources { state } } }'
LIST = '{ customer(id: "cus_a") { paymentMethods { ... on Card { last4 } } } }'
ANN = Caller(name="ann", scopes=ALL_SCOPES)


class RecordingVault(MemoryVault):
    """Logs when each call begins and ends."""

    def __init__(self, name: ProviderName) -> None:
        super().__init__(name)
        self.lines: list[str] = []

    async def wallets(self, refs: Any, call: Any) -> Any:
        self.lines.append("list?")
        for _ in range(5):
            await asyncio.sleep(0)
        found = await super().wallets(refs, call)
        self.lines.append("list!")
        return found

    async def three_d_secure(self, ref: CustomerRef, method: MethodRef, call: Any) -> ThreeDSecure | None:
        self.lines.append(f"{method}?")
        found = await super().three_d_secure(ref, method, call)
        self.lines.append(f"{method}!")
        return found


@pytest.fixture
def world() -> World:
    world = World(policy=ReadPolicy(fresh_for_s=0.0), enabled=(P.JPMORGAN,), vault=RecordingVault)
    recorder(world).put("PACJGQ", card("pm1"), card("pm2", last4="1111"))
    return world


async def ask(world: World, query: str, question: Hashable | None = 1, caller: Caller = ANN) -> Any:
    """One complete request; returns its data. The vault's calls are logged in order."""
    context = Context.create(world.services, caller, "req-1")
    context.question = question
    recorder(world).lines.clear()
    try:
        result = await schema.execute(query, context_value=context)
    finally:
        context.close()
    assert result.errors is None, result.errors
    return result.data


def recorder(world: World) -> RecordingVault:
    vault = world.vaults[P.JPMORGAN]
    assert isinstance(vault, RecordingVault)
    return vault


def began_before_the_list_ended(world: World) -> set[str]:
    lines = recorder(world).lines
    return {line for line in lines[: lines.index("list!")] if line != "list?"} - {"list!"}


def statuses(data: Any) -> list[str]:
    return [one["authStatus"] for one in data["customer"]["paymentMethods"]]


async def test_second_request_reads_statuses_in_parallel(world: World) -> None:
    first = await ask(world, STATUSES)
    assert recorder(world).lines[:2] == ["list?", "list!"]
    again = await ask(world, STATUSES)
    assert {line for line in began_before_the_list_ended(world) if line.endswith("?")} == {"pm1?", "pm2?"}
    assert sorted(recorder(world).lines) == sorted(["list?", "list!", "pm1?", "pm1!", "pm2?", "pm2!"])
    assert first == again


async def test_prefetched_status_is_current(world: World) -> None:
    await ask(world, STATUSES)
    recorder(world).results[MethodRef("pm1")] = ThreeDSecure(status=AuthStatus.AUTHENTICATED)
    assert sorted(statuses(await ask(world, STATUSES))) == ["AUTHENTICATED", "NOT_PERFORMED"]


@pytest.mark.parametrize(
    ("question", "caller"), [(2, ANN), (None, ANN), (1, Caller(name="bob", scopes=ALL_SCOPES - {"import:write"}))]
)
async def test_another_query_is_not_prefetched(world: World, question: Hashable, caller: Caller) -> None:
    await ask(world, STATUSES)
    await ask(world, LIST, question, caller)
    assert recorder(world).lines == ["list?", "list!"]


async def test_wrong_prefetch_costs_its_calls_once(world: World) -> None:
    await ask(world, STATUSES)
    await ask(world, LIST)  # the same query key, but no status is needed
    assert began_before_the_list_ended(world) >= {"pm1?", "pm2?"}
    await ask(world, LIST)
    assert recorder(world).lines == ["list?", "list!"]


async def test_changed_list_is_not_prefetched(world: World) -> None:
    await ask(world, STATUSES)
    recorder(world).put("PACJGQ", card("pm1"))
    await ask(world, STATUSES)  # prefetched by the previous list
    recorder(world).put("PACJGQ", card("pm7"))
    data = await ask(world, STATUSES)
    assert statuses(data) == ["NOT_PERFORMED"]
    assert "pm7?" in recorder(world).lines
    await ask(world, STATUSES)
    assert began_before_the_list_ended(world) >= {"pm7?"}


async def test_failed_status_is_reported_as_without_prefetch(world: World) -> None:
    await ask(world, STATUSES)
    recorder(world).results[MethodRef("pm1")] = VaultUnavailable(P.JPMORGAN)
    data = await ask(world, STATUSES)
    assert sorted(statuses(data)) == ["NOT_PERFORMED", "UNKNOWN"]
    assert "PARTIAL" in [row["state"] for row in data["customer"]["sources"]]


async def test_circuit_closed_by_the_list_is_no_failure(world: World) -> None:
    await ask(world, STATUSES)
    vault, refusals = recorder(world), [CircuitOpen(P.JPMORGAN), CircuitOpen(P.JPMORGAN)]
    real = vault.three_d_secure

    async def broken_at_first(ref: CustomerRef, method: MethodRef, call: Any) -> ThreeDSecure | None:
        if refusals:
            raise refusals.pop()
        return await real(ref, method, call)

    vault.three_d_secure = broken_at_first  # type: ignore[method-assign]
    assert statuses(await ask(world, STATUSES)) == ["NOT_PERFORMED", "NOT_PERFORMED"]
    assert not refusals


async def test_dropped_list_prefetches_nothing(world: World) -> None:
    await ask(world, STATUSES)
    vault = recorder(world)
    world.services.reader.snapshots.drop(P.JPMORGAN, CustomerRef("PACJGQ"))
    vault.failure = VaultUnavailable(P.JPMORGAN)
    data = await ask(world, '{ customer(id: "cus_a") { sources { state } } }')
    assert "UNAVAILABLE" in [row["state"] for row in data["customer"]["sources"]]
    assert vault.lines == ["list?"]


async def test_cancelled_request_leaves_no_read(world: World) -> None:
    await ask(world, STATUSES)
    recorder(world).hang = True
    asking = asyncio.create_task(ask(world, STATUSES))
    while recorder(world).lines != ["list?", "pm1?", "pm2?"] and sorted(recorder(world).lines) != [
        "list?",
        "pm1?",
        "pm2?",
    ]:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    while recorder(world).cancelled < 2:  # both status reads have no other waiter
        await asyncio.sleep(0)
    assert recorder(world).at_once == 0


def test_only_the_latest_queries_are_kept() -> None:
    foresight = PrefetchHints()
    for number in range(6):
        foresight.learn(number, [MethodRef(f"pm{number}")])
    assert [sorted(foresight.of(number)) for number in range(6)] == [[], [], ["pm2"], ["pm3"], ["pm4"], ["pm5"]]
    foresight.forget(4)
    foresight.learn(5, [])
    assert [sorted(foresight.of(number)) for number in range(6)] == [[], [], ["pm2"], ["pm3"], [], []]


def test_equal_wallets_have_equal_content_whatever_the_hints(world: World) -> None:
    wallet: VaultWallet = recorder(world).held[CustomerRef("PACJGQ")]
    one, other = to_cached_wallet(wallet, world.ids), to_cached_wallet(wallet, world.ids)
    one.content.foresight = PrefetchHints()
    assert one == other
