"""At most so many calls to one vault at a time, and fair turns for the callers who wait."""

import asyncio
from collections import OrderedDict
from typing import Final


class CapFull(Exception):
    """No place in the queue, or no turn in time; nothing was sent."""


_Queue = dict["asyncio.Future[None]", None]  # in order of arrival, with removal from the middle


class FairCap:
    """A counting lock whose waiters queue per client; freed slots go round the clients, one each.

    `queue_limit` bounds all waiters together. When it is reached, a client that waits for less than the greediest
    takes the place of that client's last waiter: one client's flood cannot shut the others out.
    """

    def __init__(self, limit: int, queue_limit: int, max_wait_s: float) -> None:
        self.limit: Final = limit
        self.in_flight = 0
        self.waiting = 0
        self._queue_limit = queue_limit
        self._max_wait_s = max_wait_s
        self._queues: OrderedDict[str, _Queue] = OrderedDict()

    def take(self) -> bool:
        """A slot at once, where one is free and nobody waits for it."""
        if self.in_flight >= self.limit or self.waiting:
            return False
        self.in_flight += 1
        return True

    async def acquire(self, client: str, deadline_at: float) -> None:
        """Take a slot, to be given back with `release`; raises CapFull. Cancellation leaves nothing behind."""
        if self.take():
            return
        loop = asyncio.get_running_loop()
        until = min(deadline_at, loop.time() + self._max_wait_s)
        if until <= loop.time():
            raise CapFull
        self._make_room(client)
        turn: asyncio.Future[None] = loop.create_future()
        self._queues.setdefault(client, {})[turn] = None
        self.waiting += 1
        alarm = loop.call_at(until, self._give_up, client, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release()  # the slot had just been handed to us
            else:
                self._forget(client, turn)
            raise
        finally:
            alarm.cancel()

    def release(self) -> None:
        """Give the slot to the next client in turn, or back."""
        while self._queues:
            client, queue = next(iter(self._queues.items()))
            turn = next(iter(queue))
            self._forget(client, turn)
            if client in self._queues:
                self._queues.move_to_end(client)
            if not turn.done():
                turn.set_result(None)
                return
        self.in_flight -= 1

    def _make_room(self, client: str) -> None:
        if self.waiting < self._queue_limit:
            return
        greediest = max(self._queues, key=lambda name: len(self._queues[name]), default=None)
        if greediest is None or len(self._queues.get(client, ())) + 1 >= len(self._queues[greediest]):
            raise CapFull
        self._give_up(greediest, next(reversed(self._queues[greediest])))

    def _give_up(self, client: str, turn: "asyncio.Future[None]") -> None:
        self._forget(client, turn)
        if not turn.done():
            turn.set_exception(CapFull())

    def _forget(self, client: str, turn: "asyncio.Future[None]") -> None:
        queue = self._queues.get(client)
        if queue is not None and turn in queue:
            del queue[turn]
            self.waiting -= 1
            if not queue:
                del self._queues[client]
