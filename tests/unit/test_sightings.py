"""What was seen before decides what is news: lists compared, expiries told once, ordinary reads noted."""

import asyncio
from datetime import UTC, datetime

from app.store import Store
from app.store.records import EventOrigin, EventType
from app.vault.model import BankAccount, Card, Expiry, PaymentMethod, VaultWallet
from app.vault.names import CustomerRef, LinkProof, MethodRef, PaymentMethodStatus, ProviderName
from app.wallet.noting import Noting, NotingPace
from app.wallet.sightings import Sightings
from app.wallet.sweeps import DailySweep

REF = CustomerRef("37")


def card(ref: str, *, expiry: Expiry | None = None, status: PaymentMethodStatus = PaymentMethodStatus.ACTIVE) -> Card:
    return Card(
        provider=ProviderName.LOANPRO,
        customer_ref=REF,
        method_ref=MethodRef(ref),
        last4="1111",
        expiry=expiry or Expiry(2030, 1),
        status=status,
    )


def wallet(*methods: PaymentMethod, skipped: int = 0) -> VaultWallet:
    return VaultWallet(provider=ProviderName.LOANPRO, customer_ref=REF, methods=methods, skipped=skipped)


async def linked(store: Store) -> str:
    customer = await store.directory.create(external_id="ext-1")
    await store.directory.link(
        customer.id, ProviderName.LOANPRO, REF, proof=LinkProof.TRUSTED_BACKEND, linked_by="test"
    )
    return customer.id


async def told(store: Store, customer_id: str) -> list[tuple[EventType, str | None]]:
    page = await store.events.of_customer(customer_id, first=100)
    return [(event.type, event.method_ref) for event in reversed(page.events)]


async def test_the_first_list_is_no_news_and_each_difference_is_one_event(store: Store) -> None:
    customer_id, sightings = await linked(store), Sightings(store)
    lists = [
        wallet(card("1"), card("2")),
        wallet(card("1"), card("2")),
        wallet(card("1", expiry=Expiry(2031, 1)), card("2", status=PaymentMethodStatus.INACTIVE), card("3")),
        wallet(card("1", expiry=Expiry(2031, 1)), card("2", status=PaymentMethodStatus.INACTIVE)),
    ]
    for one in lists:
        await sightings.compare(one, customer_id, EventOrigin.RECONCILIATION)
    assert await told(store, customer_id) == [
        (EventType.METHOD_ADDED, "3"),
        (EventType.METHOD_UPDATED, "1"),
        (EventType.METHOD_DELETED, "2"),
        (EventType.METHOD_DELETED, "3"),
    ]


async def test_a_method_named_by_its_vault_is_news_even_at_first_sight(store: Store) -> None:
    customer_id = await linked(store)
    named = {MethodRef("2"), MethodRef("9")}
    await Sightings(store).compare(wallet(card("1"), card("2")), customer_id, EventOrigin.PROVIDER_WEBHOOK, named=named)
    assert await told(store, customer_id) == [(EventType.METHOD_UPDATED, "2")]


async def test_an_incomplete_list_proves_nothing(store: Store) -> None:
    customer_id, sightings = await linked(store), Sightings(store)
    await sightings.compare(wallet(card("1"), card("2")), customer_id, EventOrigin.RECONCILIATION)
    await sightings.compare(wallet(card("1"), skipped=1), customer_id, EventOrigin.RECONCILIATION)
    assert await told(store, customer_id) == []


async def test_expiring_and_expired_are_told_once_each(store: Store) -> None:
    customer_id = await linked(store)
    bank = BankAccount(provider=ProviderName.LOANPRO, customer_ref=REF, method_ref=MethodRef("b"), last4="4235")
    cards = [card("over", expiry=Expiry(2026, 1)), card("soon", expiry=Expiry(2026, 3)), card("good"), bank]
    await Sightings(store).compare(wallet(*cards), customer_id, EventOrigin.RECONCILIATION)
    instant = datetime(2026, 3, 15, tzinfo=UTC)
    sweep = DailySweep(store, every_s=60, soon_days=30, now=lambda: instant)
    assert await sweep.sweep() == 2
    assert await sweep.sweep() == 0
    assert set(await told(store, customer_id)) == {
        (EventType.METHOD_EXPIRED, "over"),
        (EventType.METHOD_EXPIRING, "soon"),
    }
    instant = datetime(2026, 4, 15, tzinfo=UTC)
    assert await sweep.sweep() == 1
    assert (await told(store, customer_id))[-1] == (EventType.METHOD_EXPIRED, "soon")


async def test_ordinary_reads_are_noted_at_a_pace_and_not_again_at_once(store: Store) -> None:
    await linked(store)
    noting = Noting(store, Sightings(store), NotingPace(per_s=1_000, again_after_s=60))
    working = asyncio.create_task(noting.run())
    try:
        noting.saw(wallet(card("1")))
        noting.saw(wallet(card("1"), card("2")))
        async with asyncio.timeout(10):
            while not await store.seen.owners(ProviderName.LOANPRO, [MethodRef("1")]):
                await asyncio.sleep(0.01)
        assert await store.seen.owners(ProviderName.LOANPRO, [MethodRef("2")]) == []
        assert await store.seen.unseen_links(ProviderName.LOANPRO, limit=10) == []
    finally:
        working.cancel()
