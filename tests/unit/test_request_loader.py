"""RequestLoader caches, batches and fails as aiodataloader's own loader does."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiodataloader import DataLoader

from resolvers.request_loader import RequestLoader, Tasks

Loader = DataLoader[str, Any]
Batches = list[list[str]]


async def load(keys: list[str]) -> list[Any]:
    if "broken" in keys:
        raise RuntimeError("broken")
    return [] if "short" in keys else [ValueError(one) if one == "bad" else one.upper() for one in keys]


def library(batches: Batches) -> Loader:
    async def batch(keys: list[str]) -> list[Any]:
        batches.append(keys)
        return await load(keys)

    return DataLoader(batch)


class OwnLoader(RequestLoader[str, Any]):
    def __init__(self, batches: Batches, tasks: Tasks) -> None:
        super().__init__(tasks)
        self._batches = batches

    async def batch_load_fn(self, keys: list[str]) -> list[Any]:
        self._batches.append(keys)
        return await load(keys)


def own(batches: Batches) -> Loader:
    return OwnLoader(batches, set())


both = pytest.mark.parametrize("made", [library, own])


async def test_constructor_sets_what_the_library_sets() -> None:
    """An upgrade of aiodataloader that needs more state fails here."""
    ours = vars(OwnLoader([], set()))
    theirs = vars(library([]))
    assert ours.keys() - {"_tasks", "_batches"} == theirs.keys() - {"batch_load_fn", "get_cache_key"}
    assert all(ours[name] == theirs[name] for name in ("loop", "_cache", "_queue"))


@both
async def test_each_key_is_loaded_once(made: Callable[[Batches], Loader]) -> None:
    batches: Batches = []
    loader = made(batches)
    assert await asyncio.gather(*map(loader.load, ("a", "b", "a"))) == ["A", "B", "A"]
    assert await loader.load("b") == "B"
    assert batches == [["a", "b"]]


@both
@pytest.mark.parametrize(("turns", "expected"), [(0, 1), (1, 1), (2, 2), (3, 2)])
async def test_keys_of_a_turn_are_loaded_together(made: Callable[[Batches], Loader], turns: int, expected: int) -> None:
    """Also those of the next turn; with the same boundary as the library's."""
    batches: Batches = []
    loader = made(batches)
    first = loader.load("a")
    for _ in range(turns):
        await asyncio.sleep(0)
    assert list(await asyncio.gather(first, loader.load("b"))) == ["A", "B"]
    assert len(batches) == expected


@both
async def test_an_exception_rejects_its_key_alone(made: Callable[[Batches], Loader]) -> None:
    loader = made([])
    bad, good = await asyncio.gather(loader.load("bad"), loader.load("a"), return_exceptions=True)
    assert (type(bad), good) == (ValueError, "A")


@both
@pytest.mark.parametrize("wrong", ["broken", "short"])
async def test_a_failed_batch_is_loaded_again(made: Callable[[Batches], Loader], wrong: str) -> None:
    batches: Batches = []
    loader = made(batches)
    found = await asyncio.gather(loader.load(wrong), loader.load("a"), return_exceptions=True)
    assert all(isinstance(one, Exception) for one in found)
    assert await loader.load("a") == "A"
    assert batches == [[wrong, "a"], ["a"]]


async def test_the_request_can_cancel_a_batch() -> None:
    tasks: Tasks = set()
    loader = OwnLoader([], tasks)
    loading = loader.load("a")
    while not tasks:
        await asyncio.sleep(0)
    (task,) = tasks
    task.cancel()
    await asyncio.wait(tasks)
    assert task.cancelled()
    assert not loading.done()
