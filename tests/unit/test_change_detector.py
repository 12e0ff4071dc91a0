"""Change detection: comparing lists, expiry events, recording ordinary reads."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.store import Store
from app.store.records import EventOrigin, EventType
from app.vault.enums import AuthStatus, CustomerRef, LinkProof, MethodRef, PaymentMethodStatus, ProviderName
from app.vault.model import BankAccount, Card, Expiry, PaymentMethod, ReplyDigest, ThreeDSecure, VaultWallet
from app.wallet.changes.daily_jobs import DailyJobs
from app.wallet.changes.detector import ChangeDetector, Named, StatusRecorded
from app.wallet.changes.recorder import ObservationPace, ObservationQueue
from tests.support.stores import HandClock

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


async def events_of(store: Store, customer_id: str) -> list[tuple[EventType, str | None]]:
    page = await store.events.of_customer(customer_id, first=200)
    return [(event.type, event.method_ref) for event in reversed(page.events)]


async def test_first_list_gives_no_event_and_each_difference_one(store: Store) -> None:
    customer_id, detector = await linked(store), ChangeDetector(store)
    lists = [
        wallet(card("1"), card("2")),
        wallet(card("1"), card("2")),
        wallet(card("1", expiry=Expiry(2031, 1)), card("2", status=PaymentMethodStatus.INACTIVE), card("3")),
        wallet(card("1", expiry=Expiry(2031, 1)), card("2", status=PaymentMethodStatus.INACTIVE)),
    ]
    for one in lists:
        await detector.compare(one, customer_id, EventOrigin.RECONCILIATION)
    assert await events_of(store, customer_id) == [
        (EventType.METHOD_ADDED, "3"),
        (EventType.METHOD_UPDATED, "1"),
        (EventType.METHOD_DELETED, "2"),
        (EventType.METHOD_DELETED, "3"),
    ]


async def test_reported_method_gives_an_event_even_in_the_first_list(store: Store) -> None:
    customer_id = await linked(store)
    named = Named({MethodRef("2"), MethodRef("9")}, datetime(2026, 1, 1, tzinfo=UTC))
    await ChangeDetector(store).compare(
        wallet(card("1"), card("2")), customer_id, EventOrigin.PROVIDER_WEBHOOK, named=named
    )
    assert await events_of(store, customer_id) == [(EventType.METHOD_UPDATED, "2")]


async def test_two_reported_methods_give_two_events_if_the_first_list_had_both(store: Store, clock: HandClock) -> None:
    customer_id, detector = await linked(store), ChangeDetector(store)
    at = clock.instant
    clock.advance(seconds=1)
    for ref in ("1", "2", "1", "2"):
        named = Named({MethodRef(ref)}, at)
        await detector.compare(wallet(card("1"), card("2")), customer_id, EventOrigin.PROVIDER_WEBHOOK, named=named)
    assert await events_of(store, customer_id) == [(EventType.METHOD_UPDATED, "1"), (EventType.METHOD_UPDATED, "2")]
    later = Named(
        {MethodRef("1"), MethodRef("2")}, clock.advance(seconds=1)
    )  # reported by the vault, without a difference
    await detector.compare(wallet(card("1"), card("2")), customer_id, EventOrigin.PROVIDER_WEBHOOK, named=later)
    assert len(await events_of(store, customer_id)) == 2


async def test_incomplete_list_is_ignored(store: Store) -> None:
    customer_id, detector = await linked(store), ChangeDetector(store)
    await detector.compare(wallet(card("1"), card("2")), customer_id, EventOrigin.RECONCILIATION)
    await detector.compare(wallet(card("1"), skipped=1), customer_id, EventOrigin.RECONCILIATION)
    assert await events_of(store, customer_id) == []


async def test_expiring_and_expired_give_one_event_each(store: Store) -> None:
    customer_id = await linked(store)
    bank = BankAccount(provider=ProviderName.LOANPRO, customer_ref=REF, method_ref=MethodRef("b"), last4="4235")
    cards: list[PaymentMethod] = [card("over", expiry=Expiry(2026, 1)), card("soon", expiry=Expiry(2026, 3))]
    cards += [card("good"), bank]
    await ChangeDetector(store).compare(wallet(*cards), customer_id, EventOrigin.RECONCILIATION)
    instant = datetime(2026, 3, 15, tzinfo=UTC)
    sweep = DailyJobs(store, every_s=60, soon_days=30, now=lambda: instant)
    assert await sweep.sweep() == 2
    assert await sweep.sweep() == 0
    assert set(await events_of(store, customer_id)) == {
        (EventType.METHOD_EXPIRED, "over"),
        (EventType.METHOD_EXPIRING, "soon"),
    }
    instant = datetime(2026, 4, 15, tzinfo=UTC)
    assert await sweep.sweep() == 1
    assert (await events_of(store, customer_id))[-1] == (EventType.METHOD_EXPIRED, "soon")


async def test_expired_card_gives_no_second_event_after_retention(store: Store, clock: HandClock) -> None:
    customer_id = await linked(store)
    cards = [card("over", expiry=Expiry(2026, 1)), card("long over", expiry=Expiry(2024, 5))]
    await ChangeDetector(store).compare(wallet(*cards), customer_id, EventOrigin.RECONCILIATION)
    sweep = DailyJobs(store, every_s=60, soon_days=30, now=clock)
    counted = 0
    for _ in range(30):  # two and a half years, a month at a time
        clock.advance(days=30)
        counted += await sweep.sweep()
    assert counted == 2  # "over" was EXPIRING, then EXPIRED
    assert await events_of(store, customer_id) == []


async def test_concurrent_daily_jobs_give_one_event_per_card(store_url: str, clock: HandClock) -> None:
    replicas = [Store.open(store_url, clock=clock) for _ in range(2)]
    try:
        customer_id = await linked(replicas[0])
        cards = [card(str(number), expiry=Expiry(2026, 1 + number % 4)) for number in range(40)]
        await ChangeDetector(replicas[0]).compare(wallet(*cards), customer_id, EventOrigin.RECONCILIATION)
        for _ in range(6):
            sweeps = [DailyJobs(replica, every_s=60, soon_days=30, now=clock) for replica in replicas for _ in "ab"]
            await asyncio.gather(*(one.sweep() for one in sweeps))
            clock.advance(days=31)
        counted = Counter(await events_of(replicas[0], customer_id))
        kinds = (EventType.METHOD_EXPIRING, EventType.METHOD_EXPIRED)
        assert counted == Counter((kind, one.method_ref) for kind in kinds for one in cards)
    finally:
        for replica in replicas:
            await replica.close()


async def test_ordinary_reads_are_recorded_rate_limited(store: Store) -> None:
    await linked(store)
    observations = ObservationQueue(store, ChangeDetector(store), ObservationPace(per_s=1_000, again_after_s=60))
    working = asyncio.create_task(observations.run())
    try:
        observations.record(wallet(card("1")))
        observations.record(wallet(card("1"), card("2")))
        async with asyncio.timeout(60):
            while not await store.observed_methods.owners(ProviderName.LOANPRO, [MethodRef("1")]):
                await asyncio.sleep(0.01)
        assert await store.observed_methods.owners(ProviderName.LOANPRO, [MethodRef("2")]) == []
        assert await store.observed_methods.unseen_links(ProviderName.LOANPRO, limit=10) == []
    finally:
        working.cancel()


class CountingStore(Store):
    """Counts the batches' sizes. Fails the first `failures` reads."""

    def __init__(self, store: Store, failures: int = 0) -> None:
        super().__init__(store.engine, clock=store.now)
        self.checked: list[int] = []
        self._failures = failures

    async def read(self, step: Any, *args: Any, **kwargs: Any) -> Any:
        self.checked.append(len(args[0]))
        if len(self.checked) <= self._failures:
            raise RuntimeError("not now")
        return await super().read(step, *args, **kwargs)


@pytest.mark.parametrize("failures", [0, 1])
async def test_identical_list_is_recorded_once_unless_that_failed(store: Store, failures: int) -> None:
    await linked(store)
    counting = CountingStore(store, failures)
    observations = ObservationQueue(
        counting, ChangeDetector(store), ObservationPace(per_s=1_000, every_s=0, again_after_s=0)
    )
    working = asyncio.create_task(observations.run())
    one = replace(wallet(card("1")), reply=ReplyDigest(1))
    two = replace(wallet(card("1"), card("2")), reply=ReplyDigest(2))
    try:
        async with asyncio.timeout(60):
            observations.record(one)
            while not counting.checked:
                await asyncio.sleep(0.01)
            observations.record(replace(one, provider_request_id="another"))
            while len(counting.checked) < 1 + failures:
                await asyncio.sleep(0.01)
            for seen in (one, two, two):
                observations.record(seen)
            while not await store.observed_methods.owners(ProviderName.LOANPRO, [MethodRef("2")]):
                await asyncio.sleep(0.01)
    finally:
        working.cancel()
        await counting.close()
    assert counting.checked == [1] * (1 + failures) + [1]


async def test_a_queue_of_observations_is_one_transaction(store: Store) -> None:
    customer_id, one = await linked(store), card("1")
    counting = CountingStore(store)
    observations = ObservationQueue(counting, ChangeDetector(store), ObservationPace(per_s=20, every_s=0.5))
    observations.record(wallet(one))
    for status in (AuthStatus.NOT_PERFORMED, AuthStatus.FAILED):
        observations.record_status(one, status, datetime(2026, 1, 1, tzinfo=UTC))
    version = await store.changes.version()
    working = asyncio.create_task(observations.run())
    try:
        async with asyncio.timeout(60):
            while not await events_of(store, customer_id):
                await asyncio.sleep(0.01)
    finally:
        working.cancel()
        await counting.close()
    assert counting.checked == [3]
    assert await events_of(store, customer_id) == [(EventType.AUTH_CHANGED, "1")]
    assert await store.changes.version() == version


async def test_one_observation_that_cannot_be_recorded_does_not_keep_the_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    customer_id = await linked(store)
    observations = ObservationQueue(store, ChangeDetector(store), ObservationPace(per_s=20, every_s=0.5))
    observations.record_status(card("unreadable\ud800"), AuthStatus.FAILED, datetime(2026, 1, 1, tzinfo=UTC))
    observations.record(wallet(card("1")))
    working = asyncio.create_task(observations.run())
    try:
        async with asyncio.timeout(60):
            while not await store.observed_methods.of_customer(customer_id):
                await asyncio.sleep(0.01)
    finally:
        working.cancel()
    assert [record.message for record in caplog.records] == ["an observation of a vault could not be recorded"]


# ---- 3-D Secure --------------------------------------------------------------------------------------------


async def shown(store: Store, one: Card, status: AuthStatus, asked_at: datetime | None = None) -> bool:
    now = asked_at or datetime(2026, 1, 1, tzinfo=UTC)
    noted = await ChangeDetector(store).status(one, status, EventOrigin.RECONCILIATION, asked_at=now)
    return noted is not StatusRecorded.LEFT


async def test_changed_3d_secure_status_gives_one_event(store: Store) -> None:
    customer_id, one = await linked(store), card("1")
    assert not await shown(store, one, AuthStatus.NOT_PERFORMED)  # the card is not known yet
    await ChangeDetector(store).compare(wallet(one), customer_id, EventOrigin.RECONCILIATION)
    statuses = [AuthStatus.NOT_PERFORMED, AuthStatus.NOT_PERFORMED, AuthStatus.AUTHENTICATED, AuthStatus.AUTHENTICATED]
    for status in statuses:
        assert await shown(store, one, status)
    page = await store.events.of_customer(customer_id, first=10)
    assert [(event.type, event.method_ref, event.detail) for event in page.events] == [
        (EventType.AUTH_CHANGED, "1", {"from": "NOT_PERFORMED", "to": "AUTHENTICATED"})
    ]
    # A later list without 3-D Secure data does not change the stored status.
    await ChangeDetector(store).compare(wallet(one), customer_id, EventOrigin.RECONCILIATION)
    assert await shown(store, one, AuthStatus.AUTHENTICATED)
    assert len((await store.events.of_customer(customer_id)).events) == 1


async def test_concurrent_status_reads_give_one_event(store: Store) -> None:
    customer_id, one = await linked(store), card("1")
    await ChangeDetector(store).compare(wallet(one), customer_id, EventOrigin.RECONCILIATION)
    await shown(store, one, AuthStatus.AUTHENTICATED)
    await asyncio.gather(*(shown(store, one, AuthStatus.FAILED) for _ in range(8)))
    assert await events_of(store, customer_id) == [(EventType.AUTH_CHANGED, "1")]


async def test_status_requested_before_the_last_change_is_ignored(store: Store, clock: HandClock) -> None:
    customer_id, one = await linked(store), card("1")
    await ChangeDetector(store).compare(wallet(one), customer_id, EventOrigin.RECONCILIATION)
    await shown(store, one, AuthStatus.NOT_PERFORMED)
    before = clock.advance(seconds=1)
    clock.advance(seconds=1)
    await shown(store, one, AuthStatus.AUTHENTICATED, clock.instant)
    assert not await shown(store, one, AuthStatus.NOT_PERFORMED, before)
    assert await events_of(store, customer_id) == [(EventType.AUTH_CHANGED, "1")]


async def test_status_in_the_list_is_the_initial_status(store: Store) -> None:
    customer_id = await linked(store)
    one = replace(card("1"), three_d_secure=ThreeDSecure(status=AuthStatus.CHALLENGE_REQUIRED))
    await ChangeDetector(store).compare(wallet(one), customer_id, EventOrigin.RECONCILIATION)
    await shown(store, one, AuthStatus.CHALLENGE_REQUIRED)
    await shown(store, one, AuthStatus.AUTHENTICATED)
    assert await events_of(store, customer_id) == [(EventType.AUTH_CHANGED, "1")]


async def test_unchanged_statuses_are_not_recorded_again(store: Store) -> None:
    customer_id, one = await linked(store), card("1")
    observations = ObservationQueue(store, ChangeDetector(store), ObservationPace(per_s=1_000, again_after_s=60))
    working = asyncio.create_task(observations.run())
    try:
        observations.record(wallet(one))
        for status in (AuthStatus.NOT_PERFORMED, AuthStatus.NOT_PERFORMED, AuthStatus.FAILED, AuthStatus.FAILED):
            observations.record_status(one, status, datetime(2026, 1, 1, tzinfo=UTC))
        async with asyncio.timeout(60):
            while not await events_of(store, customer_id):
                await asyncio.sleep(0.01)
    finally:
        working.cancel()
    assert await events_of(store, customer_id) == [(EventType.AUTH_CHANGED, "1")]
