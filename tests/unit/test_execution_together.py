"""Concurrent siblings: all results in order, or the first failure with no tasks left running."""

import asyncio

import pytest

from app.execution.state import together


async def test_results_are_in_order_of_the_awaitables() -> None:
    gate = asyncio.Event()

    async def last() -> str:
        await gate.wait()
        return "a"

    async def first() -> str:
        gate.set()
        return "b"

    assert await together([last(), first()]) == ["a", "b"]


async def test_the_first_failure_is_raised_when_the_others_have_ended() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("cancelled")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await together([waits(), fails()])
    assert ended == ["cancelled"]


async def test_cancellation_cancels_the_siblings() -> None:
    ended: list[int] = []

    async def waits(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    parent = asyncio.create_task(together([waits(1), waits(2)]))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    parent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await parent
    assert sorted(ended) == [1, 2]
