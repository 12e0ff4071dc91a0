"""Cards' 3-D Secure statuses: which are read, which are cached, and how failures are reported."""

import asyncio
from dataclasses import replace

from app.errors import VaultTimeout, VaultUnavailable
from app.vault.enums import AuthStatus, CustomerRef, MethodRef, NextActionKind
from app.vault.model import BankAccount, Card, NextAction, ThreeDSecure
from app.vault.secret import Secret
from app.wallet.reads.policy import ReadPolicy
from app.wallet.reads.three_d_secure import StatusReading, status_key
from tests.support.calls import soon
from tests.support.memory import P, World, card

JPM_CARD = replace(card("pm1"), provider=P.JPMORGAN, customer_ref=CustomerRef("PACJGQ"))


async def status_of(world: World, card: Card) -> StatusReading:
    reader = world.services.reader
    (read,) = await reader.try_all([status_key(card)], soon())
    return reader.statuses.to_reading(card, read)


def test_only_cards_of_a_vault_with_3ds_cost_a_call() -> None:
    world = World()
    reader = world.services.reader
    assert not reader.statuses.has_call(card("9"))
    assert reader.statuses.has_call(JPM_CARD)
    bank = BankAccount(provider=P.JPMORGAN, customer_ref=CustomerRef("PACJGQ"), method_ref=MethodRef("ach"))
    assert not reader.statuses.has_call(bank)


async def test_a_status_is_kept_as_long_as_a_wallet_and_dropped_with_it() -> None:
    world = World()
    vault, reader = world.vaults[P.JPMORGAN], world.services.reader
    vault.results[MethodRef("pm1")] = ThreeDSecure(status=AuthStatus.AUTHENTICATED)
    first = await status_of(world, JPM_CARD)
    again = await status_of(world, JPM_CARD)
    assert (first.status, again.status, vault.status_calls) == (AuthStatus.AUTHENTICATED,) * 2 + (["pm1"],)
    reader.snapshots.drop(P.JPMORGAN, CustomerRef("PACJGQ"))
    vault.results[MethodRef("pm1")] = ThreeDSecure(status=AuthStatus.FAILED)
    assert (await status_of(world, JPM_CARD)).status is AuthStatus.FAILED


async def test_no_attempt_is_not_performed_and_a_failed_call_is_unknown() -> None:
    world = World(policy=ReadPolicy(fresh_for_s=0.0))
    vault = world.vaults[P.JPMORGAN]
    never = await status_of(world, JPM_CARD)
    assert (never.status, never.result, never.failed) == (AuthStatus.NOT_PERFORMED, None, False)
    vault.results[MethodRef("pm1")] = VaultUnavailable(P.JPMORGAN)
    failed = await status_of(world, JPM_CARD)
    assert (failed.status, failed.result, failed.failed) == (AuthStatus.UNKNOWN, None, True)


async def test_a_failed_status_is_never_replaced_by_a_stale_one() -> None:
    world = World(policy=ReadPolicy(fresh_for_s=0.0, stale_if_error_for_s=600.0))
    vault = world.vaults[P.JPMORGAN]
    vault.results[MethodRef("pm1")] = ThreeDSecure(status=AuthStatus.AUTHENTICATED)
    await status_of(world, JPM_CARD)
    vault.failure = VaultTimeout(P.JPMORGAN)
    assert (await status_of(world, JPM_CARD)).status is AuthStatus.UNKNOWN


async def test_the_lists_next_action_goes_with_the_status_calls_result() -> None:
    world = World()
    action = NextAction(kind=NextActionKind.CHALLENGE, client_token=Secret("t"))
    listed = replace(JPM_CARD, three_d_secure=ThreeDSecure(status=AuthStatus.CHALLENGE_REQUIRED, next_action=action))
    pending = await status_of(world, listed)
    assert (pending.status, pending.result and pending.result.next_action) == (AuthStatus.CHALLENGE_REQUIRED, action)
    world.services.reader.snapshots.clear()
    world.vaults[P.JPMORGAN].results[MethodRef("pm1")] = ThreeDSecure(status=AuthStatus.AUTHENTICATED)
    done = await status_of(world, listed)
    assert (done.status, done.result and done.result.next_action) == (AuthStatus.AUTHENTICATED, action)


async def test_status_calls_run_side_by_side_up_to_the_cap() -> None:
    world = World(policy=ReadPolicy(three_ds_concurrency=3))
    cards = [replace(JPM_CARD, method_ref=MethodRef(f"pm{number}")) for number in range(10)]
    await asyncio.gather(*(status_of(world, one) for one in cards))
    assert (len(world.vaults[P.JPMORGAN].status_calls), world.vaults[P.JPMORGAN].most_at_once) == (10, 3)
