"""Events: deduplicated, in commit order, and never missed by a reader with a cursor."""

import asyncio
from datetime import timedelta

import pytest

from app.store import Store, Transaction
from app.store.directory import create_customer
from app.store.events import append_event
from app.store.records import EventOrigin, EventPage, EventRecord, EventType, NewEvent
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from tests.support.stores import HandClock


def added(number: int = 0, customer_id: str = "cus_1", once: str | None = None) -> NewEvent:
    return NewEvent(
        type=EventType.METHOD_ADDED,
        customer_id=customer_id,
        provider=ProviderName.LOANPRO,
        customer_ref=CustomerRef("37"),
        method_ref=MethodRef(str(number)),
        actor="staff:ann",
        outcome="APPLIED",
        request_id=f"r{number}",
        once=once,
        detail={"number": number},
    )


async def kept(store: Store, event: NewEvent) -> EventRecord:
    record = await store.events.append(event)
    assert record is not None
    return record


async def test_an_event_is_stored_completely(store: Store, clock: HandClock) -> None:
    record = await kept(store, added(7))
    assert record == EventRecord(
        id=record.id,
        type=EventType.METHOD_ADDED,
        origin=EventOrigin.GATEWAY,
        occurred_at=clock(),
        customer_id="cus_1",
        provider=ProviderName.LOANPRO,
        customer_ref=CustomerRef("37"),
        method_ref=MethodRef("7"),
        actor="staff:ann",
        outcome="APPLIED",
        request_id="r7",
        detail={"number": 7},
    )
    assert await store.events.event(record.id) == record
    assert await store.events.event("evt_nothing") is None
    assert await store.events.last_id() == record.id


async def test_an_audit_event_needs_no_customer(store: Store, clock: HandClock) -> None:
    earlier = clock() - timedelta(days=1)
    refused = NewEvent(type=EventType.ACCESS_REFUSED, actor="partner:acme", occurred_at=earlier)
    record = await kept(store, refused)
    assert (record.customer_id, record.provider, record.occurred_at) == (None, None, earlier)
    assert await store.events.after(None) == [record]


async def test_a_customers_events_are_paged_from_the_newest(store: Store) -> None:
    records = [await kept(store, added(number)) for number in range(5)]
    await kept(store, added(9, customer_id="cus_2"))
    newest = list(reversed(records))
    first = await store.events.of_customer("cus_1", first=2)
    assert first == EventPage(tuple(newest[:2]), has_next=True)
    second = await store.events.of_customer("cus_1", first=3, after=first.events[-1].id)
    assert second == EventPage(tuple(newest[2:]), has_next=False)
    none = await store.events.of_customer("cus_1", types=[EventType.METHOD_DELETED])
    assert none == EventPage((), has_next=False)
    assert await store.events.of_customer("nul\x00") == EventPage((), has_next=False)


async def test_live_feeds_resume_after_the_last_id(store: Store) -> None:
    assert await store.events.last_id() is None
    records = [await kept(store, added(number)) for number in range(4)]
    assert await store.events.after(None, limit=3) == records[:3]
    assert await store.events.after(records[2].id) == records[3:]
    assert await store.events.after(records[3].id) == []
    assert await store.events.after(None, customer_id="cus_2") == []
    assert await store.events.after(None, types=[EventType.METHOD_ADDED]) == records


async def test_events_are_deduplicated_by_once(store: Store) -> None:
    first = await kept(store, added(1, once="expiring:1:2026-01"))
    assert await store.events.append(added(2, once="expiring:1:2026-01")) is None
    batch = await store.events.append_all([added(3, once="a"), added(4, once="a"), added(5), added(6)])
    assert [record.request_id for record in batch] == ["r3", "r5", "r6"]
    assert await store.events.after(None) == [first, *batch]


async def test_concurrent_duplicates_are_stored_once(store: Store) -> None:
    answers = await asyncio.gather(*(store.events.append(added(number, once="noc:1")) for number in range(10)))
    assert len([answer for answer in answers if answer is not None]) == 1
    assert len(await store.events.after(None)) == 1


async def test_an_event_commits_with_its_transaction(store: Store) -> None:
    def create(tx: Transaction) -> Transaction:
        append_event(tx, added(customer_id=create_customer(tx, external_id="user-1").id))
        return tx

    def fail_late(tx: Transaction) -> None:
        create(tx)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await store.transaction(fail_late)
    assert await store.events.after(None) == []
    tx = await store.transaction(create)
    ann = await store.directory.customer_by_external_id("user-1")
    assert await store.events.after(None) == list(tx.events)
    assert (ann and ann.id) == tx.events[0].customer_id


async def test_readers_miss_nothing_while_two_processes_write(store_url: str, store: Store) -> None:
    other = Store.open(store_url)
    seen: list[EventRecord] = []
    paged: list[EventRecord] = []

    async def read() -> None:
        while len(seen) < 60:
            seen.extend(await store.events.after(seen[-1].id if seen else None, limit=7))
            await asyncio.sleep(0)

    async def read_pages() -> None:
        position: str | None = None
        while len(paged) < 30:
            page = await other.events.page(
                [EventType.METHOD_ADDED], lambda event: event.detail["number"] % 2 == 0, first=3, after=position
            )
            paged.extend(page.events)
            position = page.position

    writes = ((store, other)[number % 2].events.append(added(number)) for number in range(60))
    try:
        await asyncio.wait_for(asyncio.gather(read(), read_pages(), *writes), 60)
    finally:
        await other.close()
    assert {record.request_id for record in seen} == {f"r{number}" for number in range(60)}
    assert [record.id for record in seen] == sorted(record.id for record in seen)
    assert paged == [record for record in seen if record.detail["number"] % 2 == 0]


async def test_erasure_removes_details_and_expiry_deletes_events(store: Store, clock: HandClock) -> None:
    mine, other = await kept(store, added(1)), await kept(store, added(2, customer_id="cus_2"))
    await store.events.forget("cus_1")
    assert [record.detail for record in await store.events.after(None)] == [{}, other.detail]
    clock.advance(days=400)
    late = await kept(store, added(3))
    assert await store.events.expire(clock() - timedelta(days=365)) == 2
    assert await store.events.after(mine.id) == [late]
    assert await store.events.last_id() == late.id
