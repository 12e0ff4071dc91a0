"""Enums of the schema."""

from collections.abc import Mapping
from enum import Enum

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition


def register(kind: type[Enum], description: str, values: Mapping[str, str], name: str | None = None) -> None:
    """Make an enum one of the schema. Raises KeyError for a value without a description."""
    strawberry.enum(kind, name=name or kind.__name__, description=description)
    definition: StrawberryEnumDefinition = kind.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = values[value.name]
