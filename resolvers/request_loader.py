"""The base class of a request's data loaders."""

import asyncio
from typing import Any, TypeVar

from aiodataloader import DataLoader, failed_dispatch
from msgspec import Struct

Key = TypeVar("Key")
Value = TypeVar("Value")
Tasks = set["asyncio.Task[Any]"]
"""The tasks of a request, which cancels them at its end. Loaders start their own tasks and add them."""


class QueuedKey(Struct):  # created in C, unlike DataLoader's tuple of the same fields
    """A key that waits for its batch, and the future of its value."""

    key: Any
    future: "asyncio.Future[Any]"


class RequestLoader(DataLoader[Key, Value]):
    """A DataLoader for one request: caches and batches as every other, but starts one task for a batch, not two.

    A subclass defines `batch_load_fn`. An exception in place of a value rejects that key alone.
    """

    def __init__(self, tasks: Tasks) -> None:
        # Sets what DataLoader's constructor sets, which inspects `batch_load_fn` again for each request.
        self.loop = asyncio.get_running_loop()
        self._cache = {}
        self._queue = []
        self._tasks = tasks

    def get_cache_key(self, key: Key) -> Any:
        return key

    def do_resolve_reject(self, key: Key, future: "asyncio.Future[Value]") -> None:
        """Add the key to the batch that is loaded in the turn after the next, when DataLoader's first task would."""
        self._queue.append(QueuedKey(key, future))  # type: ignore[arg-type]
        if len(self._queue) == 1:
            self.loop.call_soon(self.loop.call_soon, self._dispatch)

    def _dispatch(self) -> None:
        queue: list[Any] = self._queue
        self._queue = []
        self._tasks.add(self.loop.create_task(self._load_batch(queue)))

    async def _load_batch(self, queue: list[QueuedKey]) -> None:
        # Usually one key, and a comprehension would be a call.
        keys = [one.key for one in queue] if queue[1:] else [queue[0].key]
        try:
            values = await self.batch_load_fn(keys)
            for one, value in zip(queue, values, strict=True):
                if one.future.done():
                    continue
                if isinstance(value, Exception):
                    one.future.set_exception(value)
                else:
                    one.future.set_result(value)
        except Exception as error:  # noqa: BLE001 - the error of every key in the batch
            failed_dispatch(self, queue, error)  # type: ignore[arg-type]
