"""Concurrency limit per vault, with fair queueing between clients."""

import asyncio
from collections import OrderedDict
from typing import Final


class SemaphoreFull(Exception):
    """The queue is full, or the wait timed out; nothing was sent."""


_Queue = dict["asyncio.Future[None]", None]  # in order of arrival, with removal from the middle


class FairSemaphore:
    """A semaphore with one queue per client; released slots go to the clients in round-robin order.

    `queue_limit` bounds all waiters together. At the limit, a client with fewer waiters than the client with the most
    replaces that client's newest waiter, so one client's burst cannot lock out the others.
    """

    def __init__(self, limit: int, queue_limit: int, max_wait_s: float) -> None:
        self.limit: Final = limit
        self.in_flight = 0
        self.waiting = 0
        self._queue_limit = queue_limit
        self._max_wait_s = max_wait_s
        self._queues: OrderedDict[str, _Queue] = OrderedDict()

    def try_acquire(self) -> bool:
        """Acquire without waiting; False if full or if others are queued."""
        if self.in_flight >= self.limit or self.waiting:
            return False
        self.in_flight += 1
        return True

    async def acquire(self, client: str, deadline_at: float) -> None:
        """Acquire a slot; call `release` afterwards. Raises SemaphoreFull. Safe to cancel."""
        if self.try_acquire():
            return
        loop = asyncio.get_running_loop()
        until = min(deadline_at, loop.time() + self._max_wait_s)
        if until <= loop.time():
            raise SemaphoreFull
        self._make_room(client)
        turn: asyncio.Future[None] = loop.create_future()
        self._queues.setdefault(client, {})[turn] = None
        self.waiting += 1
        alarm = loop.call_at(until, self._reject, client, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release()  # the slot was assigned just before the cancellation
            else:
                self._dequeue(client, turn)
            raise
        finally:
            alarm.cancel()

    def release(self) -> None:
        """Pass the slot to the next client's oldest waiter, or free it."""
        while self._queues:
            client, queue = next(iter(self._queues.items()))
            turn = next(iter(queue))
            self._dequeue(client, turn)
            if client in self._queues:
                self._queues.move_to_end(client)
            if not turn.done():
                turn.set_result(None)
                return
        self.in_flight -= 1

    def _make_room(self, client: str) -> None:
        if self.waiting < self._queue_limit:
            return
        largest = max(self._queues, key=lambda name: len(self._queues[name]), default=None)
        if largest is None or len(self._queues.get(client, ())) + 1 >= len(self._queues[largest]):
            raise SemaphoreFull
        self._reject(largest, next(reversed(self._queues[largest])))

    def _reject(self, client: str, turn: "asyncio.Future[None]") -> None:
        self._dequeue(client, turn)
        if not turn.done():
            turn.set_exception(SemaphoreFull())

    def _dequeue(self, client: str, turn: "asyncio.Future[None]") -> None:
        queue = self._queues.get(client)
        if queue is not None and turn in queue:
            del queue[turn]
            self.waiting -= 1
            if not queue:
                del self._queues[client]
