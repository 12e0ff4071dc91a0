"""Prices of fields in vault calls, and assumed list sizes, read once from the schema.

A field declares its price by `@upstreamCost(calls:)`. A type costs as much as the root field that returns it, an
abstract type as much as its most expensive member. A root field without the directive costs as much as its type, so
`node`, `nodes` and `_entities` have the price of the most expensive thing that they may return.

A list declares its assumed size by `@listSize(assumedSize:)`; for lists of the introspection types it is taken from
this schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_introspection_type,
    is_list_type,
    is_object_type,
    is_scalar_type,
    value_from_ast_untyped,
)

ASSUMED_METHODS: Final = 10
"""Assumed payment methods of one customer, each of which may need a status call."""
_WRITE: Final = 4  # read before, write, read after, one spare: the cost of a mutation without the directive
_UNDECLARED: Final = 10  # assumed items of a list without the directive

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cost:
    """`calls` for the field itself or, with `per_method`, for each payment method that it returns; with `if_read` only
    if a field below is read from a vault."""

    calls: int
    per_method: bool
    if_read: bool


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a list, or of the lists `sized_fields` of a connection. `arguments` may request fewer items than
    `assumed`; `by_default` applies without them. `beneath` overrides the sizes of lists within the items.
    """

    assumed: float
    by_default: float
    arguments: tuple[str, ...] = ()
    sized_fields: tuple[str, ...] = ()
    beneath: Mapping[str, float] | None = None


class PriceList:
    """Lookup by name. An unknown name costs nothing, because validation refuses it."""

    def __init__(self, schema: GraphQLSchema) -> None:
        roots = [one for one in (schema.query_type, schema.mutation_type, schema.subscription_type) if one is not None]
        self._costs = _costs(schema)
        self._read = frozenset(key for key, one in _declared_fields(schema) if _is_read(one))
        own = {key: one.calls for key, one in self._costs.items() if not one.per_method}
        self._types = _types(schema, own)
        self._sizes = {**_introspection(schema), **_sizes(schema)}
        self._roots: dict[Key, int] = {}
        self._lists: dict[Key, frozenset[str]] = {}
        for root in roots:
            default = _WRITE if root is schema.mutation_type else 0
            for name, field in root.fields.items():
                of_type = self._types.get(get_named_type(field.type).name, 0)
                self._roots[root.name, name] = own.get((root.name, name), max(default, of_type))
                self._lists[root.name, name] = frozenset(
                    argument for argument, one in field.args.items() if _multiplies(one)
                )

    def of_root(self, root: str, field: str) -> int:
        return self._roots.get((root, field), 0)

    def of_field(self, parent: str, field: str) -> Cost | None:
        return self._costs.get((parent, field))

    def is_read(self, parent: str, field: str) -> bool:
        """True if the field is read from a vault, or if it is not known whether it is."""
        return (parent, field) in self._read

    def of_type(self, name: str) -> int:
        return self._types.get(name, 0)

    def size_of(self, parent: str, field: str) -> Size | None:
        """None for fields that are not lists of objects."""
        return self._sizes.get((parent, field))

    def lists_of(self, root: str, field: str) -> frozenset[str]:
        """The arguments whose length multiplies the field's price: lists of scalars."""
        return self._lists.get((root, field), frozenset())


def _declared_fields(schema: GraphQLSchema) -> list[tuple[Key, GraphQLField]]:
    found: list[tuple[Key, GraphQLField]] = []
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType) and not is_introspection_type(kind):
            found.extend(((kind.name, name), field) for name, field in kind.fields.items())
    return found


def _costs(schema: GraphQLSchema) -> dict[Key, Cost]:
    found: dict[Key, Cost] = {}
    for key, one in _declared_fields(schema):
        declared = _directive_arguments(one, "upstreamCost")
        if declared is not None:
            found[key] = Cost(int(declared["calls"]), declared.get("perMethod") is True, declared.get("ifRead") is True)
    return found


def _is_read(field: GraphQLField) -> bool:
    """Such a field declares its needs (`resolvers/needs.py`). A schema built from SDL has no declarations."""
    definition: Any = field.extensions.get("strawberry-definition")
    return definition is None or bool(definition.metadata)


def _sizes(schema: GraphQLSchema) -> dict[Key, Size]:
    found: dict[Key, Size] = {}
    for key, one in _declared_fields(schema):
        declared = _directive_arguments(one, "listSize")
        if declared is not None:
            assumed, arguments = int(declared["assumedSize"]), tuple(declared.get("slicingArguments") or ())
            defaults = [one.args[name].default_value for name in arguments if name in one.args]
            by_default = min([assumed, *(value for value in defaults if isinstance(value, int))])
            found[key] = Size(assumed, by_default, arguments, tuple(declared.get("sizedFields") or ()))
        elif is_list_type(get_nullable_type(one.type)) and not _is_leaf(one):
            found[key] = _fixed(_UNDECLARED)
    sized = {(parent, name) for (parent, _), size in found.items() for name in size.sized_fields}
    if sized:  # a connection's lists are as long as the field that returns it declares
        for key, one in _declared_fields(schema):
            size = found.get(key)
            if size is not None and size.sized_fields:
                for name in size.sized_fields:
                    found.pop((get_named_type(one.type).name, name), None)
    return found


def _is_leaf(field: GraphQLField) -> bool:
    named = get_named_type(field.type)
    return not (is_object_type(named) or is_abstract_type(named))


def _directive_arguments(field: GraphQLField, name: str) -> Mapping[str, Any] | None:
    """A directive's arguments by GraphQL name, or None.

    Strawberry keeps directives on its field definition, attached to graphql-core's field; a schema built from SDL has
    them in its syntax tree.
    """
    for node in field.ast_node.directives or () if field.ast_node is not None else ():
        if node.name.value == name:
            return {one.name.value: value_from_ast_untyped(one.value) for one in node.arguments or ()}
    definition: Any = field.extensions.get("strawberry-definition")
    for directive in getattr(definition, "directives", ()):
        declared = getattr(type(directive), "__strawberry_directive__", None)
        if declared is not None and declared.graphql_name == name:
            return {_camel(key): value for key, value in vars(directive).items()}
    return None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _types(schema: GraphQLSchema, fields: Mapping[Key, int]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    query = schema.query_type
    for name, field in query.fields.items() if query is not None else ():
        calls = fields.get((query.name, name)) if query is not None else None
        if calls is not None:
            answered = get_named_type(field.type)
            members = schema.get_possible_types(answered) if is_abstract_type(answered) else ()
            for one in (answered, *members):
                found[one.name] = max(calls, found.get(one.name, 0))
    for kind in schema.type_map.values():
        if is_abstract_type(kind):
            dearest = max((found.get(member.name, 0) for member in schema.get_possible_types(kind)), default=0)
            found[kind.name] = max(dearest, found.get(kind.name, 0))
    return found


def _introspection(schema: GraphQLSchema) -> dict[Key, Size]:
    """Sizes of introspection lists. Below the list of all types they are averages over all types; elsewhere averages
    over the types that have any, since such queries usually ask about objects, not scalars.
    """
    kinds = list(schema.type_map.values())
    lengths: dict[str, list[int]] = {
        "fields": [len(one.fields) for one in kinds if is_object_type(one) or is_interface_type(one)],
        "inputFields": [len(one.fields) for one in kinds if is_input_object_type(one)],
        "enumValues": [len(one.values) for one in kinds if is_enum_type(one)],
        "interfaces": [len(one.interfaces) for one in kinds if is_object_type(one)],
        "possibleTypes": [len(schema.get_possible_types(one)) for one in kinds if is_abstract_type(one)],
    }
    arguments = [
        len(one.args)
        for kind in kinds
        if is_object_type(kind) or is_interface_type(kind)
        for one in kind.fields.values()
    ]
    average = {name: sum(found) / len(kinds) for name, found in lengths.items()}
    return {
        ("__Schema", "types"): Size(len(kinds), len(kinds), beneath=average),
        ("__Schema", "directives"): _fixed(len(schema.directives)),
        ("__Directive", "args"): _fixed(2),
        ("__Field", "args"): _fixed(_mean(arguments)),
        **{("__Type", name): _fixed(_mean(found)) for name, found in lengths.items()},
    }


def _fixed(size: float) -> Size:
    return Size(size, size)


def _mean(counts: list[int]) -> float:
    return sum(counts) / len(counts) if counts else 1


def _multiplies(argument: GraphQLArgument) -> bool:
    nullable = get_nullable_type(argument.type)
    return is_list_type(nullable) and is_scalar_type(get_named_type(nullable))
