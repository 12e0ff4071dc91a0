"""Objects that never change, with fields that depend on little else: what a selection shows of them is encoded once,
and then reused while that is the same.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.execution.budget import ExecutionBudget
from app.execution.encoded_lists import MOST_BYTES, MOST_SELECTIONS

FIXED: Final = "fixed"
"""Metadata of a field whose resolver reads only what never changes: the object, constants of the process, and what
`FixedObject.state` returns."""


@dataclass(frozen=True, slots=True)
class EncodedObject:
    """`data` is the object, encoded, as it is while `state` is the same. `fields` and `bytes` are what it takes of the
    budget.
    """

    data: orjson.Fragment
    state: Any
    fields: int
    bytes: int


_MORE_THAN_ANY_BUDGET: Final = 10**15
_USED_ONCE: Final = EncodedObject(orjson.Fragment(b""), None, _MORE_THAN_ANY_BUDGET, 0)
_NOT_KEPT: Final = EncodedObject(orjson.Fragment(b""), None, _MORE_THAN_ANY_BUDGET, 0)


class FixedObject:
    """Its attributes must not change once `is_fixed`. What is encoded of it lives as long as the object."""

    is_fixed = False
    parts = 1
    """By how many the limit of bytes for one part is multiplied."""
    encoded: Mapping[Hashable, EncodedObject] = {}
    """By selection."""

    def state(self, context: Any) -> Any:
        """What FIXED fields of this object, and of the objects below it, read in this request. None: unknown."""
        raise NotImplementedError

    def is_in(self, state: Any, context: Any) -> bool:
        """Whether they read the same in this request."""
        raise NotImplementedError

    def find(self, selection: Hashable, context: Any, budget: ExecutionBudget) -> orjson.Fragment | None:
        """The selection, encoded, and counted in the budget. None if it would exceed the budget: then executing it
        reports which limit is exceeded.
        """
        encoded = self.encoded
        if selection not in encoded:
            return None
        found = encoded[selection]
        if budget.fields < found.fields or budget.bytes < found.bytes or not self.is_in(found.state, context):
            return None
        budget.fields -= found.fields
        budget.bytes -= found.bytes
        return found.data

    def keep(self, selection: Hashable, result: Any, context: Any, fields: int, size: int) -> None:
        """Encode the selection's result, when it is used for the second time, or in another state than before."""
        known = self.encoded.get(selection)
        if known is None:
            if len(self.encoded) < MOST_SELECTIONS:
                self.encoded = {**self.encoded, selection: _USED_ONCE}
            return
        state = None if known is _NOT_KEPT else self.state(context)
        if state is None:
            return
        try:
            data = bytes(memoryview(orjson.dumps(result)))  # a copy, because orjson's own bytes keep its buffer of 4 kB
        except TypeError:  # a value that orjson does not encode: the whole response is encoded otherwise
            data = None
        if data is None or len(data) > MOST_BYTES * self.parts:
            made = _NOT_KEPT
        else:
            made = EncodedObject(orjson.Fragment(data), state, fields, size)
        self.encoded = {**self.encoded, selection: made}
