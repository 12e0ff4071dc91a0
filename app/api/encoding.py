"""Encodes `data` as JSON, in slices if it is large, within the response size limit."""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from app.api.response import encode
from app.execution.budget import ExecutionBudget

_AT_ONCE: Final = 2_000  # values encoded in one step: a fraction of a millisecond
_BYTES_A_STEP: Final = 16  # converts bytes to the budget's unit of work


def encoded_at_once(data: Any, budget: ExecutionBudget, most_bytes: int) -> orjson.Fragment | None:
    """As `encoded`, for small data; None for other data and for more than the limit."""
    if data is None or budget.spent > _AT_ONCE:
        return None
    whole = encode(data)
    return orjson.Fragment(whole) if len(whole) <= most_bytes else None


async def encoded(data: Any, budget: ExecutionBudget) -> orjson.Fragment:
    """JSON to embed in the response as it is. Raises TooLarge."""
    if budget.spent <= _AT_ONCE:
        whole = encode(data)
        budget.check_bytes(len(whole))
        return orjson.Fragment(whole)
    parts: list[bytes] = []
    size = 0
    for part in _parts(data):
        parts.append(part)
        size += len(part)
        budget.check_bytes(size)
        budget.until_turn -= len(part) // _BYTES_A_STEP
        if budget.until_turn < 0:
            await budget.turn()
    return orjson.Fragment(b"".join(parts))


def _parts(value: Any) -> Iterator[bytes]:
    if _is_short(value):
        yield encode(value)
    elif isinstance(value, dict):
        yield b"{"
        for number, (key, inner) in enumerate(value.items()):
            yield (b"," if number else b"") + encode(key) + b":"
            yield from _parts(inner)
        yield b"}"
    else:
        yield from _items(value)


def _items(items: list[Any]) -> Iterator[bytes]:
    """Encode small items together and large items in parts."""
    yield b"["
    separator = b""
    together: list[Any] = []
    room = _AT_ONCE
    for one in items:
        weight = _weight(one, room)
        if weight <= room:
            together.append(one)
            room -= weight
            continue
        if together:
            yield separator + encode(together)[1:-1]
            separator, together, room = b",", [], _AT_ONCE
        weight = _weight(one, room)
        if weight <= room:
            together.append(one)
            room -= weight
        else:
            yield separator
            yield from _parts(one)
            separator = b","
    if together:
        yield separator + encode(together)[1:-1]
    yield b"]"


def _is_short(value: Any) -> bool:
    return _weight(value, _AT_ONCE) <= _AT_ONCE


def _weight(value: Any, enough: int) -> int:
    """The number of values inside, counted up to `enough`."""
    count = 1
    waiting = [value]
    while waiting and count <= enough:
        one = waiting.pop()
        if isinstance(one, dict):
            count += len(one)
            waiting.extend(inner for inner in one.values() if isinstance(inner, dict | list))
        elif isinstance(one, list):
            count += len(one)
            waiting.extend(inner for inner in one if isinstance(inner, dict | list))
    return count
