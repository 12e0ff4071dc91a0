"""The concurrency limit: never exceeded, fair, with a bounded queue and no leaked slots."""

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.http.cap import FairSemaphore, SemaphoreFull


def later(seconds: float = 10.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def spin(times: int = 3) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_free_slots_are_taken_without_waiting() -> None:
    cap = FairSemaphore(2, queue_limit=0, max_wait_s=1)
    await cap.acquire("a", later())
    await cap.acquire("a", later())
    with pytest.raises(SemaphoreFull):
        await cap.acquire("a", later())
    cap.release()
    await cap.acquire("a", later())
    assert (cap.in_flight, cap.waiting) == (2, 0)


async def test_slots_are_assigned_round_robin_between_clients() -> None:
    cap = FairSemaphore(1, queue_limit=100, max_wait_s=10)
    await cap.acquire("first", later())
    order: list[str] = []

    async def work(client: str) -> None:
        await cap.acquire(client, later())
        order.append(client)
        cap.release()

    names = ["greedy"] * 5 + ["small", "other"] + ["greedy"] * 2
    tasks = [asyncio.create_task(work(name)) for name in names]
    await spin()
    cap.release()
    await asyncio.gather(*tasks)
    assert order == ["greedy", "small", "other", *["greedy"] * 6]
    assert (cap.in_flight, cap.waiting) == (0, 0)


async def test_waiting_is_bounded_by_the_setting_and_by_the_deadline() -> None:
    loop = asyncio.get_running_loop()
    for cap, patience in ((FairSemaphore(1, 10, 0.05), 1_000), (FairSemaphore(1, 10, 1_000), 0.05)):
        await cap.acquire("a", later())
        began = loop.time()
        with pytest.raises(SemaphoreFull):
            await cap.acquire("b", later(patience))
        assert loop.time() - began > 0.03
        assert (cap.in_flight, cap.waiting) == (1, 0)
        with pytest.raises(SemaphoreFull):
            await cap.acquire("b", later(-1))


async def test_a_full_queue_admits_a_client_with_fewer_waiters() -> None:
    cap = FairSemaphore(1, queue_limit=4, max_wait_s=10)
    await cap.acquire("x", later())
    greedy = [asyncio.create_task(cap.acquire("greedy", later())) for _ in range(4)]
    await spin()
    with pytest.raises(SemaphoreFull):
        await cap.acquire("greedy", later())
    small = asyncio.create_task(cap.acquire("small", later()))
    await spin()
    assert [task.done() for task in greedy] == [False, False, False, True]
    assert isinstance(greedy[3].exception(), SemaphoreFull)
    assert cap.waiting == 4
    for _ in range(4):
        cap.release()
        await spin()
    await asyncio.gather(small, *greedy[:3])
    cap.release()
    assert (cap.in_flight, cap.waiting) == (0, 0)


async def test_a_waiter_cancelled_when_granted_releases_its_slot() -> None:
    cap = FairSemaphore(1, queue_limit=10, max_wait_s=10)
    await cap.acquire("a", later())
    first = asyncio.create_task(cap.acquire("b", later()))
    second = asyncio.create_task(cap.acquire("c", later()))
    await spin()
    cap.release()  # hands the slot to `first` ...
    first.cancel()  # ... which is cancelled before it runs
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert (cap.in_flight, cap.waiting) == (1, 0)
    cap.release()
    assert cap.in_flight == 0


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 4),
    queue_limit=st.integers(0, 12),
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.sampled_from(["run", "cancel", "hurry"])), max_size=40
    ),
)
def test_no_slot_leaks_in_random_schedules(limit: int, queue_limit: int, steps: list[tuple[str, int, str]]) -> None:
    """Random arrivals, hold times, cancellations and timeouts; afterwards all slots are free."""

    async def story() -> None:
        cap = FairSemaphore(limit, queue_limit, max_wait_s=10)
        holding = 0

        async def work(client: str, hold: int, patience: float) -> None:
            nonlocal holding
            await cap.acquire(client, later(patience))
            holding += 1
            assert holding <= cap.in_flight <= limit
            try:
                await spin(hold)
            finally:
                holding -= 1
                cap.release()

        tasks: list[asyncio.Task[None]] = []
        for client, hold, fate in steps:
            tasks.append(asyncio.create_task(work(client, hold, 0.0005 if fate == "hurry" else 10)))
            await spin(hold % 2)
            if fate == "cancel":
                tasks[hold % len(tasks)].cancel()
            assert cap.waiting <= queue_limit
            assert cap.in_flight <= limit
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None or isinstance(result, SemaphoreFull | asyncio.CancelledError) for result in results)
        assert (cap.in_flight, cap.waiting, len(cap._queues)) == (0, 0, 0)

    asyncio.run(story())


async def test_two_thousand_callers_never_exceed_the_cap_and_share_it_fairly() -> None:
    cap = FairSemaphore(16, queue_limit=2000, max_wait_s=30)
    dice = random.Random(7)
    running = most = 0
    served: list[str] = []

    async def work(client: str) -> None:
        nonlocal running, most
        await cap.acquire(client, later(30))
        try:
            running += 1
            most = max(most, running)
            await spin(dice.randrange(1, 5))
            served.append(client)
        finally:
            running -= 1
            cap.release()

    clients = ["flood"] * 1900 + ["quiet"] * 100
    await asyncio.gather(*(work(client) for client in clients))
    assert most == 16
    assert len(served) == 2000
    assert Counter(served[:240])["quiet"] >= 95  # every second slot, although it arrived last
    assert (cap.in_flight, cap.waiting) == (0, 0)
