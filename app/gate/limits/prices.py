"""What a root field costs, in calls to vaults: read from the schema once, when the process starts.

A field says so by `@upstreamCost(calls:)`. A type costs what the root field costs that answers it; an abstract type
what its dearest member costs. A root field without the directive costs what its type costs, so `node`, `nodes` and
`_entities` have the price of the dearest thing that they may answer.
"""

from collections.abc import Mapping
from typing import Any, Final

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_list_type,
    is_scalar_type,
    value_from_ast_untyped,
)

_WRITE: Final = 4  # read before, write, read after, and one to spare: what a mutation without the directive costs


class PriceList:
    """Look-ups by name; an unknown name costs nothing, because validation refuses it."""

    def __init__(self, schema: GraphQLSchema) -> None:
        roots = [one for one in (schema.query_type, schema.mutation_type, schema.subscription_type) if one is not None]
        self._fields = _directives(schema)
        self._types = _types(schema, self._fields)
        self._roots: dict[tuple[str, str], int] = {}
        self._lists: dict[tuple[str, str], frozenset[str]] = {}
        for root in roots:
            default = _WRITE if root is schema.mutation_type else 0
            for name, field in root.fields.items():
                of_type = self._types.get(get_named_type(field.type).name, 0)
                self._roots[root.name, name] = self._fields.get((root.name, name), max(default, of_type))
                self._lists[root.name, name] = frozenset(
                    argument for argument, one in field.args.items() if _multiplies(one)
                )

    def of_root(self, root: str, field: str) -> int:
        return self._roots.get((root, field), 0)

    def of_field(self, parent: str, field: str) -> int:
        return self._fields.get((parent, field), 0)

    def of_type(self, name: str) -> int:
        return self._types.get(name, 0)

    def lists_of(self, root: str, field: str) -> frozenset[str]:
        """The arguments whose length multiplies the field's price: lists of scalars, one thing each."""
        return self._lists.get((root, field), frozenset())


def _directives(schema: GraphQLSchema) -> Mapping[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            for name, field in kind.fields.items():
                calls = _calls(field)
                if calls is not None:
                    found[kind.name, name] = calls
    return found


def _calls(field: GraphQLField) -> int | None:
    """Strawberry keeps a field's directives on its definition, which it hangs on the field of graphql-core.

    A schema that was built from SDL has them in its syntax tree.
    """
    for node in field.ast_node.directives or () if field.ast_node is not None else ():
        if node.name.value == "upstreamCost" and node.arguments:
            return int(value_from_ast_untyped(node.arguments[0].value))
    definition: Any = field.extensions.get("strawberry-definition")
    for directive in getattr(definition, "directives", ()):
        declared = getattr(type(directive), "__strawberry_directive__", None)
        if declared is not None and declared.graphql_name == "upstreamCost":
            return int(directive.calls)
    return None


def _types(schema: GraphQLSchema, fields: Mapping[tuple[str, str], int]) -> Mapping[str, int]:
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


def _multiplies(argument: GraphQLArgument) -> bool:
    nullable = get_nullable_type(argument.type)
    return is_list_type(nullable) and is_scalar_type(get_named_type(nullable))
