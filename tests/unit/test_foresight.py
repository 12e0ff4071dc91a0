"""A card's status is asked beside the list, not after it, where the same question needed it the last time."""

import asyncio
from collections.abc import Hashable
from typing import Any

import pytest

from app.errors import CircuitOpen, VaultUnavailable
from app.vault.model import ThreeDSecure, VaultWallet
from app.vault.names import AuthStatus, CustomerRef, MethodRef, ProviderName
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.foresight import Foresight
from app.wallet.policy import ReadPolicy
from app.wallet.reading import hold
from resolvers.context import Context
from resolvers.schema import schema
from tests.support.memory import MemoryVault, P, World, card

STATUSES = '{ customer(id: "cus_a") { paymentMethods { ... on Card { last4 authStatus } } sources { state } } }'
LIST = '{ customer(id: "cus_a") { paymentMethods { ... on Card { last4 } } } }'
ANN = Caller(name="ann", scopes=ALL_SCOPES)


class Diary(MemoryVault):
    """Notes when each call begins and ends."""

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
    world = World(policy=ReadPolicy(fresh_for_s=0.0), enabled=(P.JPMORGAN,), vault=Diary)
    diary(world).put("PACJGQ", card("pm1"), card("pm2", last4="1111"))
    return world


async def ask(world: World, query: str, question: Hashable | None = 1, caller: Caller = ANN) -> Any:
    """One request from its beginning to its end; its data, and what the vault was asked, in order."""
    context = Context.create(world.services, caller, "req-1")
    context.question = question
    diary(world).lines.clear()
    try:
        result = await schema.execute(query, context_value=context)
    finally:
        context.close()
    assert result.errors is None, result.errors
    return result.data


def diary(world: World) -> Diary:
    vault = world.vaults[P.JPMORGAN]
    assert isinstance(vault, Diary)
    return vault


def began_beside_the_list(world: World) -> set[str]:
    lines = diary(world).lines
    return {line for line in lines[: lines.index("list!")] if line != "list?"} - {"list!"}


def statuses(data: Any) -> list[str]:
    return [one["authStatus"] for one in data["customer"]["paymentMethods"]]


async def test_second_time_is_one_wait(world: World) -> None:
    first = await ask(world, STATUSES)
    assert diary(world).lines[:2] == ["list?", "list!"]
    again = await ask(world, STATUSES)
    assert {line for line in began_beside_the_list(world) if line.endswith("?")} == {"pm1?", "pm2?"}
    assert sorted(diary(world).lines) == sorted(["list?", "list!", "pm1?", "pm1!", "pm2?", "pm2!"])
    assert first == again


async def test_status_is_the_new_one(world: World) -> None:
    await ask(world, STATUSES)
    diary(world).results[MethodRef("pm1")] = ThreeDSecure(status=AuthStatus.AUTHENTICATED)
    assert sorted(statuses(await ask(world, STATUSES))) == ["AUTHENTICATED", "NOT_PERFORMED"]


@pytest.mark.parametrize(
    ("question", "caller"), [(2, ANN), (None, ANN), (1, Caller(name="bob", scopes=ALL_SCOPES - {"import:write"}))]
)
async def test_another_question_is_not_foreseen(world: World, question: Hashable, caller: Caller) -> None:
    await ask(world, STATUSES)
    await ask(world, LIST, question, caller)
    assert diary(world).lines == ["list?", "list!"]


async def test_wrong_foresight_costs_its_calls_once(world: World) -> None:
    await ask(world, STATUSES)
    await ask(world, LIST)  # the same question, its variables such that no status is needed
    assert began_beside_the_list(world) >= {"pm1?", "pm2?"}
    await ask(world, LIST)
    assert diary(world).lines == ["list?", "list!"]


async def test_other_list_is_not_foreseen(world: World) -> None:
    await ask(world, STATUSES)
    diary(world).put("PACJGQ", card("pm1"))
    await ask(world, STATUSES)  # foreseen by the list of before
    diary(world).put("PACJGQ", card("pm7"))
    data = await ask(world, STATUSES)
    assert statuses(data) == ["NOT_PERFORMED"]
    assert "pm7?" in diary(world).lines
    await ask(world, STATUSES)
    assert began_beside_the_list(world) >= {"pm7?"}


async def test_failed_status_is_told_as_before(world: World) -> None:
    await ask(world, STATUSES)
    diary(world).results[MethodRef("pm1")] = VaultUnavailable(P.JPMORGAN)
    data = await ask(world, STATUSES)
    assert sorted(statuses(data)) == ["NOT_PERFORMED", "UNKNOWN"]
    assert "PARTIAL" in [row["state"] for row in data["customer"]["sources"]]


async def test_circuit_that_the_list_mended_is_no_failure(world: World) -> None:
    await ask(world, STATUSES)
    vault, refusals = diary(world), [CircuitOpen(P.JPMORGAN), CircuitOpen(P.JPMORGAN)]
    really = vault.three_d_secure

    async def broken_at_first(ref: CustomerRef, method: MethodRef, call: Any) -> ThreeDSecure | None:
        if refusals:
            raise refusals.pop()
        return await really(ref, method, call)

    vault.three_d_secure = broken_at_first  # type: ignore[method-assign]
    assert statuses(await ask(world, STATUSES)) == ["NOT_PERFORMED", "NOT_PERFORMED"]
    assert not refusals


async def test_list_that_is_no_longer_kept_foresees_nothing(world: World) -> None:
    await ask(world, STATUSES)
    vault = diary(world)
    world.services.reader.snapshots.drop(P.JPMORGAN, CustomerRef("PACJGQ"))
    vault.failure = VaultUnavailable(P.JPMORGAN)
    data = await ask(world, '{ customer(id: "cus_a") { sources { state } } }')
    assert "UNAVAILABLE" in [row["state"] for row in data["customer"]["sources"]]
    assert vault.lines == ["list?"]


async def test_cancelled_request_leaves_no_read(world: World) -> None:
    await ask(world, STATUSES)
    diary(world).hang = True
    asking = asyncio.create_task(ask(world, STATUSES))
    while diary(world).lines != ["list?", "pm1?", "pm2?"] and sorted(diary(world).lines) != ["list?", "pm1?", "pm2?"]:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    while diary(world).cancelled < 2:  # both statuses', which nobody else waits for
        await asyncio.sleep(0)
    assert diary(world).at_once == 0


def test_only_the_latest_questions_are_known() -> None:
    foresight = Foresight()
    for number in range(6):
        foresight.learn(number, [MethodRef(f"pm{number}")])
    assert [sorted(foresight.of(number)) for number in range(6)] == [[], [], ["pm2"], ["pm3"], ["pm4"], ["pm5"]]
    foresight.forget(4)
    foresight.learn(5, [])
    assert [sorted(foresight.of(number)) for number in range(6)] == [[], [], ["pm2"], ["pm3"], [], []]


def test_wallet_that_is_equal_has_an_equal_content_whatever_was_foreseen(world: World) -> None:
    wallet: VaultWallet = diary(world).held[CustomerRef("PACJGQ")]
    one, other = hold(wallet, world.ids), hold(wallet, world.ids)
    one.content.foresight = Foresight()
    assert one == other
