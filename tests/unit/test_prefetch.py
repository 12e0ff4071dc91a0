"""Prefetch: a card's status is read in parallel with the list if the last list implies that the query needs it."""

import asyncio
from typing import Any

import pytest

from app.errors import CircuitOpen, VaultUnavailable
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, ProviderName
from app.vault.model import ThreeDSecure
from app.wallet.caller import ALL_SCOPES, Caller
from app.wallet.reads.policy import ReadPolicy
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


async def ask(world: World, query: str, caller: Caller = ANN) -> Any:
    """One complete request; returns its data. The vault's calls are logged in order."""
    context = Context.create(world.services, caller, "req-1")
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


async def test_query_without_statuses_prefetches_none(world: World) -> None:
    await ask(world, STATUSES)
    await ask(world, LIST)
    assert recorder(world).lines == ["list?", "list!"]


async def test_field_that_the_caller_may_not_read_prefetches_nothing(world: World) -> None:
    await ask(world, STATUSES)
    query = '{ customer(id: "cus_a") { authSummary { challengePending { id } } sources { state } } }'
    scopes = ALL_SCOPES - {"payment_methods:read"}
    context = Context.create(world.services, Caller(name="bob", scopes=scopes), "req-1")
    recorder(world).lines.clear()
    result = await schema.execute(query, context_value=context)
    assert [error.path for error in result.errors or []] == [["customer", "authSummary", "challengePending"]]
    assert recorder(world).lines == ["list?", "list!"]


async def test_first_query_for_statuses_is_prefetched_if_the_list_is_known(world: World) -> None:
    await ask(world, LIST)
    await ask(world, STATUSES)
    assert {line for line in began_before_the_list_ended(world) if line.endswith("?")} == {"pm1?", "pm2?"}


async def test_only_the_cards_that_the_query_shows_are_prefetched(world: World) -> None:
    await ask(world, STATUSES)
    first = STATUSES.replace("paymentMethods", "paymentMethods(first: 1)")
    await ask(world, first)
    assert sorted(recorder(world).lines) == sorted(["list?", "list!", "pm1?", "pm1!"])


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
