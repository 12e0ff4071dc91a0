"""How large one answer may be, counted while it is made; and turns on the event loop, so that a long answer does not
keep the others waiting.

`Budget` counts fields and bytes where objects are completed: a list's items at once in generated code, object by object
elsewhere. Bytes are a lower bound here (names, punctuation, the shortest values): `encoding` counts them exactly.

Long answers are made in slices. After each the event loop goes round several times for other requests, and `Turns`
lets one slice of the whole process run at a time, in order.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from graphql import GraphQLError

SLICE: Final = 5_000
"""Steps between two turns: about a millisecond. One step is a field in generated code."""
STEPS_INTERPRETED: Final = 4  # for each field that is completed on its own
STEPS_BY_LIBRARY: Final = 10  # for each field that graphql-core completes
_ROUNDS: Final = 5  # of the loop between two slices
_WOKEN: Final = 32  # waiting tasks of one request that are woken together
_UNLIMITED: Final = 10**12


class TooLarge(GraphQLError):
    """The answer holds more than it may: nothing more of it is made."""

    def __init__(self, unit: str, limit: int) -> None:
        super().__init__(
            f"The answer would hold more than {limit} {unit}.",
            extensions={"code": "RESPONSE_TOO_LARGE", "unit": unit, "limit": limit},
        )


class Turns:
    """Lets one slice run at a time, those that wait in the order in which they asked. One for a process."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def ask(self, granted: Callable[[], None]) -> None:
        """Have `granted` called when it is its turn."""
        self._waiting.append(granted)
        if len(self._waiting) == 1:
            self._count(_ROUNDS)

    def _count(self, left: int) -> None:
        loop = asyncio.get_running_loop()
        if left:
            loop.call_soon(self._count, left - 1)
            return
        self._waiting[0]()
        self._waiting.popleft()
        if self._waiting:
            loop.call_soon(self._count, _ROUNDS)


class Budget:
    """Of one operation, or of one event of a subscription. `until_turn` is what is left of the running slice."""

    __slots__ = (
        "_has_asked",
        "_most_bytes",
        "_most_fields",
        "_turns",
        "_waiting",
        "bytes",
        "error",
        "fields",
        "until_turn",
    )

    def __init__(self, most_fields: int = _UNLIMITED, most_bytes: int = _UNLIMITED, turns: Turns | None = None) -> None:
        self._most_fields = most_fields
        self._most_bytes = most_bytes
        self._turns = turns
        self._waiting: deque[asyncio.Future[None]] | None = None
        self._has_asked = False
        self.error: TooLarge | None = None
        self.fields = most_fields
        self.bytes = most_bytes
        self.until_turn = SLICE

    def renew(self) -> None:
        """For the next event."""
        self.error = None
        self.fields, self.bytes = self._most_fields, self._most_bytes

    @property
    def spent(self) -> int:
        """Fields so far."""
        return self._most_fields - self.fields

    def check_bytes(self, size: int) -> None:
        """Of the answer as it is sent. Raises TooLarge."""
        if size > self._most_bytes:
            self.error = self.error or TooLarge("bytes", self._most_bytes)
            raise self.error

    def take(self, fields: int, size: int, steps: int = STEPS_INTERPRETED) -> None:
        """An object of so many fields, and bytes at least. Raises TooLarge, again and again once it was raised."""
        self.fields -= fields
        self.bytes -= size
        self.until_turn -= fields * steps
        if self.fields < 0 or self.bytes < 0:
            raise self.exceeded()

    def take_items(self, items: list[Any] | tuple[Any, ...], fields: int, size: int) -> bool:
        """As `take`, for each of these, in generated code. Raises Overdue where they would keep others waiting."""
        count = len(items)
        self.fields -= count * fields
        self.bytes -= count * size
        self.until_turn -= count * fields
        if self.fields < 0 or self.bytes < 0:
            raise self.exceeded()
        if self.until_turn < -SLICE:
            raise Overdue
        return True

    def take_work(self, items: int) -> None:
        """A resolver looks through so many things for one field: ten weigh as much as a field."""
        self.take(items // 10, 0, 10)

    def exceeded(self) -> TooLarge:
        if self.error is None:
            is_bytes = self.fields >= 0
            self.error = TooLarge(
                "bytes" if is_bytes else "fields", self._most_bytes if is_bytes else self._most_fields
            )
        return self.error

    def given_back(self, fields: int, bytes_: int) -> None:
        """What was counted since it held so much will be counted again."""
        self.fields, self.bytes = fields, bytes_

    async def turn(self) -> None:
        """Go on in the next slice, if this one is used up."""
        while self.until_turn < 0:
            if self._waiting is None:
                self._waiting = deque()
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append(mine)
            if not self._has_asked:
                self._ask()
            await mine

    def _ask(self) -> None:
        self._has_asked = True
        if self._turns is None:
            self._turns = Turns()
        self._turns.ask(self._granted)

    def _granted(self) -> None:
        self.until_turn = SLICE
        self._wake()

    def _wake(self) -> None:
        waiting = self._waiting
        assert waiting is not None
        for _ in range(min(_WOKEN, len(waiting))):
            one = waiting.popleft()
            if not one.done():
                one.set_result(None)
        if waiting:
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._has_asked = False

    def _go_on(self) -> None:
        """Those that were woken have run: others may, if they left something of the slice."""
        if self.until_turn < 0:
            self._ask()
        else:
            self._wake()


class Overdue(Exception):
    """Generated code cannot stop in the middle: what follows is completed item by item."""


def budget_of(context: Any) -> Budget:
    """The request's own; without one, one that nothing exceeds but that takes turns all the same."""
    found = getattr(context, "budget", None)
    return found if isinstance(found, Budget) else Budget()
