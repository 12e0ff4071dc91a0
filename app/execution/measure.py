"""Analyses one operation before compilation: whether it can be planned, and what its plan depends on.

Each selection set is visited once per type, so the document's size bounds the work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import strawberry
from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)

from app.execution import strawberry_internals as internals

MOST_FIELDS: Final = 5_000  # to compile, counted for each possible type of an interface
_DEFER: Final = "defer"
_CONDITIONS: Final = frozenset({"skip", "include", _DEFER})


class Unsupported(Exception):
    """The operation cannot be planned. `reason` is a metric label with few values."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Load:
    """A field with a resolver or field extensions; `calls` is its cost in upstream calls, `needs` its scopes."""

    coordinate: str
    calls: int | None
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """`conditions` are the variables in `@skip`, `@include` and `@defer`; `size` is the maximum number of fields to
    compile.
    """

    guards: tuple[internals.Guard, ...]
    conditions: tuple[str, ...]
    loads: tuple[Load, ...]
    size: int
    has_defer: bool


def measure(
    schema: strawberry.Schema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> Measurement:
    """Raises Unsupported."""
    if operation.operation is OperationType.SUBSCRIPTION:
        raise Unsupported("subscription")
    if internals.has_middleware(schema) or schema.config.info_class is not strawberry.Info:
        raise Unsupported("schema")
    if operation.directives:
        raise Unsupported("directive", "on the operation")
    reading = _Reading(schema, fragments)
    root = schema._schema.get_root_type(operation.operation)
    if root is None:
        raise Unsupported("no_root")
    size = reading.size(operation.selection_set, root)
    if size > MOST_FIELDS:
        raise Unsupported("too_large", f"{size} fields")
    guards, loads = tuple(reading.guards.values()), tuple(reading.loads.values())
    return Measurement(guards, tuple(reading.conditions), loads, size, reading.has_defer)


class _Reading:
    def __init__(self, schema: strawberry.Schema, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._strawberry = schema
        self._schema: GraphQLSchema = schema._schema
        self._fragments = fragments
        self._sizes: dict[tuple[int, str], int] = {}
        self.guards: dict[int, internals.Guard] = {}
        self.conditions: dict[str, None] = {}
        self.loads: dict[str, Load] = {}
        self.has_defer = False

    def size(self, selections: SelectionSetNode, type_: GraphQLNamedType) -> int:
        """The number of fields, with fragments expanded for each possible type."""
        key = id(selections), type_.name
        if key not in self._sizes:
            self._sizes[key] = sum(self._size_of(one, type_) for one in selections.selections)
        return self._sizes[key]

    def _size_of(self, selection: Any, type_: GraphQLNamedType) -> int:
        self._add_conditions(selection.directives or ())
        if isinstance(selection, FieldNode):
            return self._field(selection, type_)
        if isinstance(selection, FragmentSpreadNode):
            fragment = self._fragments[selection.name.value]
            if fragment.variable_definitions or getattr(selection, "arguments", None):
                raise Unsupported("fragment_variables")
            self._add_conditions(fragment.directives or ())
            return self.size(fragment.selection_set, self._schema.type_map[fragment.type_condition.name.value])
        condition = selection.type_condition
        narrowed = self._schema.type_map[condition.name.value] if condition else type_
        return self.size(selection.selection_set, narrowed)

    def _field(self, node: FieldNode, type_: GraphQLNamedType) -> int:
        name = node.name.value
        if name == "__typename":
            return 1
        if name.startswith("__"):
            raise Unsupported("introspection")
        runtime: Iterable[Any] = self._schema.get_possible_types(type_) if is_abstract_type(type_) else (type_,)
        total = 0
        for one in runtime:
            field = one.fields[name]
            self._resolved(field, f"{type_.name}.{name}")
            inner = get_named_type(field.type)
            total += 1
            if node.selection_set is not None and is_composite_type(inner):
                total += self.size(node.selection_set, inner)
        return total

    def _resolved(self, field: Any, coordinate: str) -> None:
        found = internals.resolution_of(self._strawberry, field)
        for guard in found.guards if found is not None else ():
            self.guards[id(guard)] = guard
        if not isinstance(found, internals.Attribute):
            self.loads.setdefault(coordinate, Load(coordinate, *internals.declared(field)))

    def _add_conditions(self, directives: Iterable[DirectiveNode]) -> None:
        for directive in directives:
            if directive.name.value not in _CONDITIONS:
                raise Unsupported("directive", f"@{directive.name.value}")
            self.has_defer = self.has_defer or directive.name.value == _DEFER
            for argument in directive.arguments or ():
                if isinstance(argument.value, VariableNode):
                    self.conditions[argument.value.name.value] = None
