"""Size limits of responses, and cooperative scheduling of large ones.

`Budget` counts fields and bytes as objects are completed: per list in generated code, per object elsewhere. The byte
count is a lower bound (names, punctuation, shortest values); `encoding` counts exactly.

Large responses are built in slices. Between slices the event loop runs several iterations for other requests, and
`Turns` schedules the slices of the whole process one at a time, in FIFO order.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from graphql import GraphQLError

SLICE: Final = 5_000
"""Steps per slice: about a millisecond. One step is a field in generated code."""
STEPS_INTERPRETED: Final = 4  # for each field that the interpreter completes
STEPS_BY_LIBRARY: Final = 10  # for each field that graphql-core completes
_FIELDS_OF_PART: Final = 20  # a deferred part costs as much work and memory as so many fields
_BYTES_OF_PART: Final = 100  # its id, path and punctuation
_ROUNDS: Final = 5  # event loop iterations between two slices
_WOKEN: Final = 32  # waiting tasks of one request woken per iteration
_UNLIMITED: Final = 10**12


class TooLarge(GraphQLError):
    """The response exceeds a limit; execution stops."""

    def __init__(self, unit: str, limit: int) -> None:
        super().__init__(
            f"The response would exceed {limit} {unit}.",
            extensions={"code": "RESPONSE_TOO_LARGE", "unit": unit, "limit": limit},
        )


class Turns:
    """Runs one slice at a time, in FIFO order. One per process."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def ask(self, granted: Callable[[], None]) -> None:
        """Queue `granted`; it is called when its turn comes."""
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


class ExecutionBudget:
    """Limits of one operation, or of one subscription event. `until_turn`: steps left in the current slice."""

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
        """Reset for the next subscription event."""
        self.error = None
        self.fields, self.bytes = self._most_fields, self._most_bytes

    @property
    def spent(self) -> int:
        """Fields so far."""
        return self._most_fields - self.fields

    def check_bytes(self, size: int) -> None:
        """Check the size of the encoded response. Raises TooLarge."""
        if size > self._most_bytes:
            self.error = self.error or TooLarge("bytes", self._most_bytes)
            raise self.error

    def take(self, fields: int, size: int, steps: int = STEPS_INTERPRETED) -> None:
        """Count one object's fields and minimum bytes. Raises TooLarge, also on every later call."""
        self.fields -= fields
        self.bytes -= size
        self.until_turn -= fields * steps
        if self.fields < 0 or self.bytes < 0:
            raise self.exceeded()

    def take_items(self, items: list[Any] | tuple[Any, ...], fields: int, size: int) -> bool:
        """Like `take`, for each item, from generated code. Raises Overdue if the slice would be far exceeded."""
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
        """Count items that a resolver scans for one field: ten items count as one field."""
        self.take(items // 10, 0, 10)

    def take_parts(self, count: int) -> None:
        """Count deferred parts of one object, besides their fields. Raises TooLarge."""
        self.take(count * _FIELDS_OF_PART, count * _BYTES_OF_PART)

    async def begin_part(self) -> None:
        """Wait until the slice has room for a deferred part."""
        self.until_turn -= _FIELDS_OF_PART * STEPS_BY_LIBRARY
        if self.until_turn < 0:
            await self.turn()

    def exceeded(self) -> TooLarge:
        if self.error is None:
            is_bytes = self.fields >= 0
            self.error = TooLarge(
                "bytes" if is_bytes else "fields", self._most_bytes if is_bytes else self._most_fields
            )
        return self.error

    def given_back(self, fields: int, bytes_: int) -> None:
        """Restore an earlier count: the work since then will be counted again."""
        self.fields, self.bytes = fields, bytes_

    async def turn(self) -> None:
        """Wait for the next slice if the current one is used up."""
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
            asyncio.get_running_loop().call_soon(self._continue)
        else:
            self._has_asked = False

    def _continue(self) -> None:
        """Wake more tasks if the woken ones left steps in the slice; otherwise queue for the next."""
        if self.until_turn < 0:
            self._ask()
        else:
            self._wake()


class Overdue(Exception):
    """The slice is exceeded. Generated code cannot pause, so the interpreter completes the value item by item."""


def budget_of(context: Any) -> ExecutionBudget:
    """The budget in the context, or a new one without limits that still yields between slices."""
    try:
        found: Any = context.budget
    except AttributeError:
        found = None
    is_one = found.__class__ is ExecutionBudget or isinstance(found, ExecutionBudget)
    return found if is_one else ExecutionBudget()
