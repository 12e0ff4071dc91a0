"""Slots: who waits is served in order, and no slot is lost."""

import asyncio

from app.wallet.reads.waiting import Slots


async def test_waiters_are_served_in_order_and_cancelled_ones_lose_no_slot() -> None:
    slots, order = Slots(1), list[int]()
    assert slots.try_acquire()
    assert not slots.try_acquire()

    async def use(number: int) -> None:
        async with slots:
            order.append(number)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(use(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    slots.release()
    tasks[0].cancel()  # the slot has just been passed on to it
    await asyncio.wait(tasks)
    assert order == [2, 3, 4]
    assert slots.try_acquire()
    assert not slots.try_acquire()
