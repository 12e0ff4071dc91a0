"""The change log: polling misses no commit, on any replica."""

import asyncio

from app.store import Store
from app.store.records import ChangeNotice, ChangeNotices, Topic
from tests.support.stores import HandClock


async def test_polling_sees_each_change_once_and_in_order(store: Store) -> None:
    assert await store.changes.since(0) == ChangeNotices(0, (), is_complete=True)
    ann = await store.directory.create(external_id="a")
    bob = await store.directory.create(external_id="b")
    seen = await store.changes.since(0)
    assert seen == ChangeNotices(
        2, (ChangeNotice(1, Topic.CUSTOMER, ann.id), ChangeNotice(2, Topic.CUSTOMER, bob.id)), is_complete=True
    )
    assert await store.changes.version() == 2
    assert await store.changes.since(2) == ChangeNotices(2, (), is_complete=True)


async def test_pruned_or_too_many_changes_are_incomplete(store: Store, clock: HandClock) -> None:
    for number in range(3):
        await store.directory.create(external_id=f"user-{number}")
    clock.advance(hours=2)
    late = await store.directory.create(external_id="late")
    assert await store.changes.prune(clock.advance(hours=-1)) == 3
    assert await store.changes.prune(clock()) == 0
    assert await store.changes.since(0) == ChangeNotices(4, (), is_complete=False)
    assert await store.changes.since(3) == ChangeNotices(
        4, (ChangeNotice(4, Topic.CUSTOMER, late.id),), is_complete=True
    )
    assert await store.changes.since(3, limit=0) == ChangeNotices(4, (), is_complete=False)
    assert await store.changes.since(99) == ChangeNotices(4, (), is_complete=False)  # another database was restored


async def test_a_second_process_misses_nothing_while_many_write(store_url: str, store: Store) -> None:
    other = Store.open(store_url)
    seen: list[ChangeNotice] = []

    async def write(number: int) -> None:
        writer = store if number % 2 else other
        await writer.directory.create(external_id=f"user-{number}")

    async def poll() -> None:
        while len(seen) < 40:
            seen.extend((await store.changes.since(seen[-1].version if seen else 0)).rows)
            await asyncio.sleep(0)

    try:
        await asyncio.wait_for(asyncio.gather(poll(), *(write(number) for number in range(40))), 60)
    finally:
        await other.close()
    assert [change.version for change in seen] == list(range(1, 41))
    assert len({change.key for change in seen}) == 40
