"""Webhook deliveries: deduplicated, one per lane at a time, never lost with a worker."""

import asyncio
from datetime import timedelta

from app.store import Store, Transaction
from app.store.events import append_event
from app.store.records import DeliveryRecord, DeliveryState, EventType, NewDelivery, NewEvent
from app.store.webhook_deliveries import finish_delivery
from tests.support.stores import HandClock

LEASE = timedelta(seconds=30)


def delivery(delivery_id: str, lane: str = "cus_1") -> NewDelivery:
    return NewDelivery(
        source="caselle",
        account="main",
        delivery_id=delivery_id,
        event_type="provider.noc",
        lane=lane,
        body={"ids": [delivery_id], "last4": "1111"},
    )


async def stored(store: Store, delivery_id: str, lane: str = "cus_1") -> DeliveryRecord:
    record = await store.deliveries.add(delivery(delivery_id, lane))
    assert record is not None
    return record


async def claimed(store: Store, worker: str = "w1", limit: int = 10) -> list[str]:
    return [record.delivery_id for record in await store.deliveries.claim(worker, lease=LEASE, limit=limit)]


async def test_a_delivery_is_stored_once(store: Store, clock: HandClock) -> None:
    record = await stored(store, "d1")
    assert record == DeliveryRecord(
        id=record.id,
        source="caselle",
        account="main",
        delivery_id="d1",
        event_type="provider.noc",
        lane="cus_1",
        body={"ids": ["d1"], "last4": "1111"},
        state=DeliveryState.RECEIVED,
        attempts=0,
        error=None,
        received_at=clock(),
        next_attempt_at=clock(),
        done_at=None,
    )
    answers = await asyncio.gather(*(store.deliveries.add(delivery("d1")) for _ in range(5)))
    assert answers == [None] * 5
    assert await store.deliveries.all() == [record]
    assert await store.deliveries.delivery(record.id) == record


async def test_a_lane_is_processed_in_order_and_lanes_in_parallel(store: Store) -> None:
    first = await stored(store, "a1", "a")
    await stored(store, "a2", "a")
    await stored(store, "b1", "b")
    assert await claimed(store) == ["a1", "b1"]
    assert await claimed(store, "w2") == []
    assert await store.deliveries.done(first.id, "w1")
    assert await claimed(store, "w2") == ["a2"]


async def test_concurrent_workers_claim_each_delivery_once(store: Store) -> None:
    for number in range(12):
        await stored(store, f"d{number}", f"lane{number}")
    batches = await asyncio.gather(*(claimed(store, f"w{number}", limit=4) for number in range(6)))
    everything = sorted(delivery_id for batch in batches for delivery_id in batch)
    assert len(everything) == len(set(everything))
    while more := await claimed(store):
        everything.extend(more)
    assert sorted(everything) == sorted(f"d{number}" for number in range(12))


async def test_an_expired_claim_is_taken_over_and_the_old_worker_rejected(store: Store, clock: HandClock) -> None:
    record = await stored(store, "d1")
    assert await claimed(store, "w1") == ["d1"]
    clock.advance(seconds=30)
    (again,) = await store.deliveries.claim("w2", lease=LEASE)
    assert (again.id, again.attempts) == (record.id, 2)
    assert not await store.deliveries.done(record.id, "w1")
    assert await store.deliveries.done(record.id, "w2")
    assert not await store.deliveries.done(record.id, "w2")


async def test_effect_and_done_commit_atomically(store: Store) -> None:
    record = await stored(store, "d1")
    await claimed(store)

    def apply(tx: Transaction) -> bool:
        append_event(tx, NewEvent(type=EventType.METHOD_UPDATED, customer_id="cus_1"))
        return finish_delivery(tx, record.id, "w1")

    assert await store.transaction(apply)
    assert len(await store.events.after(None)) == 1
    found = await store.deliveries.delivery(record.id)
    assert found is not None
    assert (found.state, found.next_attempt_at) == (DeliveryState.DONE, None)


async def test_retries_block_their_lane_until_dead_lettered(store: Store, clock: HandClock) -> None:
    record = await stored(store, "d1")
    await stored(store, "d2")
    await claimed(store)
    assert await store.deliveries.retry(record.id, "w1", at=clock() + timedelta(minutes=1), error="TIMEOUT")
    assert await claimed(store) == []
    clock.advance(minutes=1)
    assert await claimed(store) == ["d1"]
    assert await store.deliveries.dead(record.id, "w1", error="UNREADABLE")
    (dead,) = await store.deliveries.all(DeliveryState.DEAD)
    assert (dead.id, dead.attempts, dead.error) == (record.id, 2, "UNREADABLE")
    assert await claimed(store) == ["d2"]


async def test_dead_and_done_deliveries_can_be_replayed(store: Store, clock: HandClock) -> None:
    record = await stored(store, "d1")
    assert await store.deliveries.replay(record.id) is None
    await claimed(store)
    await store.deliveries.dead(record.id, "w1", error="UNREADABLE")
    again = await store.deliveries.replay(record.id)
    assert again is not None
    assert (again.state, again.attempts) == (DeliveryState.RECEIVED, 0)
    assert await claimed(store, "w2") == ["d1"]


async def test_only_done_deliveries_expire(store: Store, clock: HandClock) -> None:
    done, dead, waiting = [await stored(store, name, name) for name in ("done", "dead", "waiting")]
    await claimed(store)
    await store.deliveries.done(done.id, "w1")
    await store.deliveries.dead(dead.id, "w1", error="UNREADABLE")
    clock.advance(days=31)
    assert await store.deliveries.expire(clock() - timedelta(days=30)) == 1
    assert [record.id for record in await store.deliveries.all()] == [dead.id, waiting.id]
    assert [record.id for record in await store.deliveries.all(after=dead.id)] == [waiting.id]


async def test_claims_of_dead_workers_are_released_immediately(store: Store) -> None:
    for name in ("a", "b", "c"):
        await stored(store, name, name)
    assert await claimed(store, "w1", limit=2) == ["a", "b"]
    assert await claimed(store, "w2") == ["c"]
    assert await store.deliveries.release(["w1", "w9"]) == 2
    assert await store.deliveries.release(["w1"]) == 0
    assert await claimed(store, "w3") == ["a", "b"]
