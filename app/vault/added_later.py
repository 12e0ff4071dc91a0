"""Fields that a value got after digests of it had been stored: an idempotency key used before keeps its digest."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

_MARK: Final = "vaultgraph/added-later"
ADDED_LATER: Final[Mapping[str, bool]] = {_MARK: True}
"""Metadata of a field whose default, None, counts as absent in digests."""


def named_values(given: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as digests take them."""
    found = {each.name: (getattr(given, each.name), _MARK in each.metadata) for each in fields(given)}
    return {name: value for name, (value, is_later) in found.items() if not (is_later and value is None)}
