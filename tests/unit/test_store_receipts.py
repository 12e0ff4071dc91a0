"""Webhook deliveries: stored once, one of a lane at a time, never lost with the worker."""

import asyncio
from datetime import timedelta

from app.store import Store
from app.store.records import DeliveryRecord, DeliveryState, EventType, NewDelivery, NewEvent
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
    record = await store.receipts.add(delivery(delivery_id, lane))
    assert record is not None
    return record


async def claimed(store: Store, worker: str = "w1", limit: int = 10) -> list[str]:
    return [record.delivery_id for record in await store.receipts.claim(worker, lease=LEASE, limit=limit)]


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
    answers = await asyncio.gather(*(store.receipts.add(delivery("d1")) for _ in range(5)))
    assert answers == [None] * 5
    assert await store.receipts.all() == [record]
    assert await store.receipts.receipt(record.id) == record


async def test_a_lane_is_worked_off_in_order_and_lanes_beside_each_other(store: Store) -> None:
    first = await stored(store, "a1", "a")
    await stored(store, "a2", "a")
    await stored(store, "b1", "b")
    assert await claimed(store) == ["a1", "b1"]
    assert await claimed(store, "w2") == []
    assert await store.receipts.done(first.id, "w1")
    assert await claimed(store, "w2") == ["a2"]


async def test_of_many_workers_one_gets_each_receipt(store: Store) -> None:
    for number in range(12):
        await stored(store, f"d{number}", f"lane{number}")
    batches = await asyncio.gather(*(claimed(store, f"w{number}", limit=4) for number in range(6)))
    everything = sorted(delivery_id for batch in batches for delivery_id in batch)
    assert len(everything) == len(set(everything))
    while more := await claimed(store):
        everything.extend(more)
    assert sorted(everything) == sorted(f"d{number}" for number in range(12))


async def test_a_dead_workers_receipt_is_claimed_again_and_its_late_answer_refused(
    store: Store, clock: HandClock
) -> None:
    record = await stored(store, "d1")
    assert await claimed(store, "w1") == ["d1"]
    clock.advance(seconds=30)
    (again,) = await store.receipts.claim("w2", lease=LEASE)
    assert (again.id, again.attempts) == (record.id, 2)
    assert not await store.receipts.done(record.id, "w1")
    assert await store.receipts.done(record.id, "w2")
    assert not await store.receipts.done(record.id, "w2")


async def test_effect_and_done_commit_as_one(store: Store) -> None:
    record = await stored(store, "d1")
    await claimed(store)
    async with store.transaction() as tx:
        await store.events.append(NewEvent(type=EventType.METHOD_UPDATED, customer_id="cus_1"), tx=tx)
        assert await store.receipts.done(record.id, "w1", tx=tx)
    assert len(await store.events.after(None)) == 1
    found = await store.receipts.receipt(record.id)
    assert found is not None
    assert (found.state, found.next_attempt_at) == (DeliveryState.DONE, None)


async def test_retries_wait_and_hold_their_lane_until_it_is_dead(store: Store, clock: HandClock) -> None:
    record = await stored(store, "d1")
    await stored(store, "d2")
    await claimed(store)
    assert await store.receipts.retry(record.id, "w1", at=clock() + timedelta(minutes=1), error="TIMEOUT")
    assert await claimed(store) == []
    clock.advance(minutes=1)
    assert await claimed(store) == ["d1"]
    assert await store.receipts.dead(record.id, "w1", error="UNREADABLE")
    (dead,) = await store.receipts.all(DeliveryState.DEAD)
    assert (dead.id, dead.attempts, dead.error) == (record.id, 2, "UNREADABLE")
    assert await claimed(store) == ["d2"]


async def test_dead_and_done_ones_are_replayed_on_request(store: Store, clock: HandClock) -> None:
    record = await stored(store, "d1")
    assert await store.receipts.replay(record.id) is None
    await claimed(store)
    await store.receipts.dead(record.id, "w1", error="UNREADABLE")
    again = await store.receipts.replay(record.id)
    assert again is not None
    assert (again.state, again.attempts) == (DeliveryState.RECEIVED, 0)
    assert await claimed(store, "w2") == ["d1"]


async def test_only_what_is_done_expires(store: Store, clock: HandClock) -> None:
    done, dead, waiting = [await stored(store, name, name) for name in ("done", "dead", "waiting")]
    await claimed(store)
    await store.receipts.done(done.id, "w1")
    await store.receipts.dead(dead.id, "w1", error="UNREADABLE")
    clock.advance(days=31)
    assert await store.receipts.expire(clock() - timedelta(days=30)) == 1
    assert [record.id for record in await store.receipts.all()] == [dead.id, waiting.id]
    assert [record.id for record in await store.receipts.all(after=dead.id)] == [waiting.id]


async def test_what_a_worker_that_is_gone_had_claimed_is_given_back_at_once(store: Store) -> None:
    for name in ("a", "b", "c"):
        await stored(store, name, name)
    assert await claimed(store, "w1", limit=2) == ["a", "b"]
    assert await claimed(store, "w2") == ["c"]
    assert await store.receipts.release(["w1", "w9"]) == 2
    assert await store.receipts.release(["w1"]) == 0
    assert await claimed(store, "w3") == ["a", "b"]
