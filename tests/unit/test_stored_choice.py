"""A stored default is forgotten by two complete lists some minutes apart or by a notification: on both backends."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.store import Store
from app.store.records import ChoiceRecord, EventOrigin, EventType, MethodAddress
from app.vault.enums import CustomerRef, LinkProof, MethodRef, ProviderName
from app.vault.model import VaultWallet
from app.wallet.defaults.stored_choice import StoredChoices, apply_list
from tests.support.memory import card
from tests.support.stores import HandClock

P = ProviderName.CASELLE
REF = CustomerRef("cs")
CHOSEN = MethodAddress(P, REF, MethodRef("spm_1"))
AFTER = timedelta(minutes=5)


@pytest.fixture
async def chosen(store: Store, clock: HandClock) -> ChoiceRecord:
    await store.directory.create(customer_id="cus_a", external_id="a")
    await store.directory.link("cus_a", P, REF, proof=LinkProof.TRUSTED_BACKEND, linked_by="test")
    await store.directory.set_choice("cus_a", CHOSEN, set_by="test")
    found = await store.directory.choice("cus_a")
    assert found is not None
    return found


@pytest.fixture
async def replica(store: Store, store_url: str, clock: HandClock) -> AsyncIterator[StoredChoices]:
    """Another process on the same store, or the same one after a restart."""
    opened = Store.open(store_url, clock=clock)
    yield StoredChoices(opened, AFTER)
    await opened.close()


def listing(*refs: str, **fields: bool | int) -> VaultWallet:
    held = tuple(replace(card(ref), provider=P, customer_ref=REF) for ref in refs)
    return VaultWallet(provider=P, customer_ref=REF, methods=held, **fields)  # type: ignore[arg-type]


async def events(store: Store) -> list[tuple[EventOrigin, str | None]]:
    page = await store.events.of_customer("cus_a", first=20, types=[EventType.DEFAULT_CHANGED])
    return [(one.origin, one.method_ref) for one in page.events]


async def marked(store: Store) -> datetime | None:
    choice = await store.directory.choice("cus_a")
    assert choice is not None
    return choice.missing_since


async def test_two_complete_lists_far_enough_apart_forget_it_with_one_event(
    store: Store, chosen: ChoiceRecord, replica: StoredChoices
) -> None:
    here, first = StoredChoices(store, AFTER), chosen.set_at + timedelta(seconds=1)
    await here.observe_list(listing("spm_2"), "cus_a", asked_at=first)
    assert await marked(store) == first
    for early in (timedelta(0), timedelta(seconds=1), AFTER - timedelta(seconds=1)):
        await replica.observe_list(listing(), "cus_a", asked_at=first + early)
    assert (await marked(store), await events(store)) == (first, [])
    for _ in range(2):
        await replica.observe_list(listing(), "cus_a", asked_at=first + AFTER)
    assert await store.directory.choice("cus_a") is None
    assert await events(store) == [(EventOrigin.RECONCILIATION, "spm_1")]


async def test_a_list_that_has_it_again_resets_it(store: Store, chosen: ChoiceRecord, replica: StoredChoices) -> None:
    here, first = StoredChoices(store, AFTER), chosen.set_at + timedelta(seconds=1)
    await here.observe_list(listing(), "cus_a", asked_at=first)
    await replica.observe_list(listing("spm_1"), "cus_a", asked_at=first - timedelta(seconds=1))
    assert await marked(store) == first, "that list is the older one"
    await replica.observe_list(listing("spm_1", skipped=1), "cus_a", asked_at=first + timedelta(seconds=1))
    assert await marked(store) is None
    second = first + AFTER
    await here.observe_list(listing(), "cus_a", asked_at=second)
    assert (await marked(store), await events(store)) == (second, [])


@pytest.mark.parametrize("incomplete", [listing(skipped=1), listing(truncated=True)])
async def test_a_list_that_is_incomplete_or_older_than_the_choice_proves_nothing(
    incomplete: VaultWallet, store: Store, chosen: ChoiceRecord
) -> None:
    here = StoredChoices(store, timedelta(0))
    for seconds in (1, 600):
        await here.observe_list(incomplete, "cus_a", asked_at=chosen.set_at + timedelta(seconds=seconds))
    notified: dict[str, Any] = {"asked_at": chosen.set_at, "notified_of": None}
    await store.transaction(apply_list, listing(), "cus_a", here.clear_after, **notified)
    elsewhere = replace(listing(), provider=ProviderName.LOANPRO)
    notified["asked_at"] = chosen.set_at + AFTER
    await store.transaction(apply_list, elsewhere, "cus_a", here.clear_after, **notified)
    assert await store.directory.choice("cus_a") == chosen


@pytest.mark.parametrize(
    ("notified_of", "is_forgotten"), [(None, True), (["spm_1"], True), (["spm_2"], False), ([], False)]
)
async def test_a_notification_about_it_and_one_list_without_it_forget_it(
    notified_of: list[MethodRef] | None, is_forgotten: bool, store: Store, chosen: ChoiceRecord
) -> None:
    asked_at, origin = chosen.set_at + timedelta(seconds=1), EventOrigin.PROVIDER_WEBHOOK
    seen = {"asked_at": asked_at, "origin": origin, "notified_of": notified_of}
    await store.transaction(apply_list, listing("spm_2"), "cus_a", AFTER, **seen)
    assert (await store.directory.choice("cus_a") is None) == is_forgotten
    assert await events(store) == ([(origin, "spm_1")] if is_forgotten else [])


async def test_another_choice_made_meanwhile_is_left_alone(store: Store, chosen: ChoiceRecord) -> None:
    here = StoredChoices(store, timedelta(0))
    other = MethodAddress(P, REF, MethodRef("spm_2"))
    await store.directory.set_choice("cus_a", other, set_by="test")
    for seconds in (1, 2):
        assert not await here.saw(chosen, is_listed=False, asked_at=chosen.set_at + timedelta(seconds=seconds))
    found = await store.directory.choice("cus_a")
    assert (found and found.address, found and found.missing_since) == (other, None)


async def test_one_that_is_chosen_again_is_not_missing_any_more(store: Store, chosen: ChoiceRecord) -> None:
    here = StoredChoices(store, AFTER)
    await here.observe_list(listing(), "cus_a", asked_at=chosen.set_at + timedelta(seconds=1))
    await store.directory.set_choice("cus_a", CHOSEN, set_by="test")
    assert await marked(store) is None


async def test_without_a_pause_it_still_takes_two_lists(store: Store, chosen: ChoiceRecord) -> None:
    here, first = StoredChoices(store, timedelta(0)), chosen.set_at + timedelta(seconds=1)
    for _ in range(2):
        await here.observe_list(listing(), "cus_a", asked_at=first)
    assert await marked(store) == first
    await here.observe_list(listing(), "cus_a", asked_at=first + timedelta(microseconds=1))
    assert await store.directory.choice("cus_a") is None
