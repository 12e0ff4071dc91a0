"""Lists of objects that never change: what a selection shows of their items is encoded once, and then reused.

Only what generated code completes is kept: attributes of the items. Fields with resolvers are executed for each
request.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from app.execution.budget import ExecutionBudget

if TYPE_CHECKING:
    from app.execution.encoded_objects import FixedObject
    from app.execution.lists import Remaining

Item = TypeVar("Item")
MOST_SELECTIONS: Final = 2  # of one list
MOST_BYTES: Final = 1_000  # for each item, on average, of one selection


@dataclass(frozen=True, slots=True)
class EncodedItems:
    """`data` is the completed list, encoded; with `remaining`, a list of encoded items and, for those, of objects
    without the fields that must still be executed. `fields` and `bytes` are what the items take of the budget.
    """

    data: Any
    remaining: "Remaining"
    fields: int
    bytes: int

    def results(self) -> list[Any]:
        """A new list, to fill in the remaining fields."""
        results: list[Any] = self.data.copy()
        for index, _ in self.remaining:
            results[index] = results[index].copy()
        return results


_MORE_THAN_ANY_BUDGET: Final = 10**15
_USED_ONCE: Final = EncodedItems(None, [], _MORE_THAN_ANY_BUDGET, 0)
_NOT_KEPT: Final = EncodedItems(None, [], _MORE_THAN_ANY_BUDGET, 0)


class FixedList(list[Item]):
    """Neither the list nor the attributes of its items may change. What is encoded of it lives as long as the list."""

    encoded: Mapping[Hashable, EncodedItems] = {}
    """By selection."""
    owner: "FixedObject | None" = None
    """Keeps the list with FIXED fields of its items, which this list leaves out."""

    def find(self, selection: Hashable, budget: ExecutionBudget) -> EncodedItems | None:
        """What is known of the selection, counted in the budget. None if it would exceed the budget: then completing
        the items reports which limit is exceeded.
        """
        found = self.encoded.get(selection)
        if found is None or budget.fields < found.fields or budget.bytes < found.bytes:
            return None
        budget.fields -= found.fields
        budget.bytes -= found.bytes
        return found

    def keep(
        self, selection: Hashable, results: Sequence[Any], remaining: "Remaining", fields: int, size: int
    ) -> EncodedItems | None:
        """Encode the selection's results, when it is used for the second time."""
        known = self.encoded.get(selection)
        if known is None:
            if len(self.encoded) < MOST_SELECTIONS:
                self.encoded = {**self.encoded, selection: _USED_ONCE}
            return None
        if known is not _USED_ONCE:
            return None
        made = self._encode(results, remaining, fields, size)
        self.encoded = {**self.encoded, selection: made}
        return None if made is _NOT_KEPT else made

    def _encode(self, results: Sequence[Any], remaining: "Remaining", fields: int, size: int) -> EncodedItems:
        data: Any
        try:
            if not remaining:
                whole = _encoded(results)
                weight, data = len(whole), orjson.Fragment(whole)
            else:
                parts = [_encoded(one) for one in results]
                weight, data = sum(map(len, parts)), [orjson.Fragment(one) for one in parts]
                for index, _ in remaining:
                    data[index] = results[index]
        except TypeError:  # a value that orjson does not encode: the whole response is encoded otherwise
            return _NOT_KEPT
        return EncodedItems(data, remaining, fields, size) if weight <= MOST_BYTES * len(self) else _NOT_KEPT


def _encoded(value: Any) -> bytes:
    """A copy, because orjson's own bytes keep its buffer of 4 kB."""
    return bytes(memoryview(orjson.dumps(value)))
