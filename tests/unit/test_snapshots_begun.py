"""Reads that the snapshot cache begins without a task."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest

from app.errors import RejectReason, VaultRejected, VaultUnavailable
from app.vault.enums import CustomerRef
from app.vault.provider import Call, Releasable
from app.wallet.reads.cache import Key, Source
from tests.unit.test_snapshots import P, Setup, settle

CALLER: ContextVar[str] = ContextVar("caller", default="-")


class Begun:
    """Stands for a request that was sent; `answer` ends it. `value` None: `complete` must decide."""

    gate: Releasable | None = None

    def __init__(self, on_done: Callable[[Any], object]) -> None:
        self._on_done = on_done
        self.value: str | None = None
        self.error: Exception | None = None
        self.is_cancelled = False

    def answer(self, value: str | None = None, error: Exception | None = None) -> None:
        self.value, self.error = value, error
        self._on_done(self)

    def cancel(self) -> None:
        self.is_cancelled = True


class BeginningSetup(Setup):
    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Begun] = []
        self.callers: list[str] = []
        self.rejection: VaultRejected | None = None
        self.completed = "completed"
        self.source = self.beginning(self.source)

    def beginning(self, source: Source[str]) -> Source[str]:
        return replace(source, begin=self.begin, value_of=self.value_of, complete=self.complete)

    def begin(self, key: Key, call: Call, on_done: Callable[[Any], object]) -> Begun | None:
        if self.rejection is not None:
            raise self.rejection
        self.begun.append(Begun(on_done))
        return self.begun[-1]

    def value_of(self, key: Key, started: Begun, call: Call) -> str | None:
        self.callers.append(CALLER.get())
        if started.error is not None:
            raise started.error
        return started.value

    async def complete(self, key: Key, started: Begun, call: Call) -> str:
        self.callers.append(CALLER.get())
        await self.vault.gate.wait()
        return self.completed


async def test_a_begun_read_fills_the_cache_for_all_that_wait_for_it() -> None:
    setup = BeginningSetup()
    readers = [asyncio.create_task(setup.value("1")) for _ in range(2)]
    await settle()
    (begun,) = setup.begun
    begun.answer("one")
    assert await asyncio.gather(*readers) == ["one", "one"]
    assert await setup.value("1") == "one"
    assert (len(setup.begun), setup.vault.calls) == (1, [])


async def test_an_undecided_reply_is_completed_in_the_callers_context() -> None:
    setup = BeginningSetup()
    CALLER.set("ann")
    reader = asyncio.create_task(setup.value("1"))
    await settle()
    CALLER.set("the connection's")
    setup.begun[0].answer(None)
    assert await reader == "completed"
    assert setup.callers == ["ann", "ann"]


@pytest.mark.parametrize("is_completing", [False, True])
async def test_a_begun_read_ends_when_nothing_waits_for_it_any_more(is_completing: bool) -> None:
    setup = BeginningSetup()
    setup.vault.gate.clear()
    reader = asyncio.create_task(setup.value("1"))
    await settle()
    if is_completing:
        setup.begun[0].answer(None)
        await settle()
    reader.cancel()
    await asyncio.wait([reader])
    assert setup.begun[0].is_cancelled is not is_completing
    setup.vault.gate.set()
    again = asyncio.create_task(setup.value("1"))
    await settle()
    setup.begun[1].answer("again")
    assert await again == "again"


async def test_a_reply_after_a_drop_is_not_kept() -> None:
    setup = BeginningSetup()
    reader = asyncio.create_task(setup.value("1"))
    await settle()
    setup.cache.drop(P, CustomerRef("1"))
    setup.begun[0].answer("old")
    assert await reader == "old"
    assert len(setup.cache) == 0


async def test_errors_and_bugs_of_a_begun_read_are_its_result() -> None:
    setup = BeginningSetup()
    for error in (VaultUnavailable(P), RuntimeError("a bug of the adapter")):
        reader = asyncio.create_task(setup.read("1"))
        await settle()
        setup.begun[-1].answer(error=error)
        if isinstance(error, VaultUnavailable):
            (read,) = await reader
            assert read.error is error
        else:
            with pytest.raises(RuntimeError):
                await reader


async def test_a_ref_that_begin_rejects_is_left_to_fetch() -> None:
    setup = BeginningSetup()
    setup.rejection = VaultRejected(P, RejectReason.CUSTOMER_NOT_FOUND)
    assert await setup.value("1") == "1#1"
