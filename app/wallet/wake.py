"""Lets a background task wait for its next turn, or be woken before."""

import asyncio


class Wake:
    """`wake` ends the current `wait`, or else the next one at once."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        self._event.set()

    async def wait(self, within_s: float) -> None:
        """Returns after `wake`, at the latest after `within_s` seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self._event.wait()
        except TimeoutError:
            pass
        self._event.clear()
