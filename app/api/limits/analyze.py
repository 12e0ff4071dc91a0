"""Measures a document in one pass, visiting each fragment once, however often it is spread.

It runs before validation, so it assumes nothing: unknown fields and types are counted but not entered, cycles are
detected, and sums are capped. Fragments that no operation spreads are measured too, since validation walks them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    get_named_type,
)

_CEILING: Final = 1_000_000
_LONGEST_CHAIN: Final = 32
_INTROSPECTION: Final = frozenset({"__schema", "__type", "_service"})


class SpreadTooDeep(Exception):
    """Fragments nested in fragments, named or inline, beyond the limit."""


@dataclass(slots=True)
class Measures:
    """Measures of a selection set with everything below it. `inline` is the nesting depth of inline fragments."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0
    directives: int = 0
    top_fields: int = 0
    chain: int = 0
    longest_list: int = 0
    spreads: int = 0
    inline: int = 0
    variables: int = 0
    introspects: bool = False

    def add(self, other: "Measures", *, deeper: int) -> None:
        """Add a sibling (`deeper` 0) or a child (1)."""
        self.depth = max(self.depth, other.depth + deeper)
        self.aliases = min(_CEILING, self.aliases + other.aliases)
        self.fields = min(_CEILING, self.fields + other.fields)
        self.directives = min(_CEILING, self.directives + other.directives)
        self.longest_list = max(self.longest_list, other.longest_list)
        self.chain = max(self.chain, other.chain)
        self.spreads = min(_CEILING, self.spreads + other.spreads)
        self.inline = max(self.inline, other.inline)
        self.introspects = self.introspects or other.introspects
        if not deeper:
            self.top_fields = min(_CEILING, self.top_fields + other.top_fields)


class DocumentAnalyzer:
    """Measures one document. Create a new one for each."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._definitions = [one for one in document.definitions if isinstance(one, FragmentDefinitionNode)]
        self.fragments: Mapping[str, FragmentDefinitionNode] = {one.name.value: one for one in self._definitions}
        self._known: dict[str, Measures] = {}
        self._open: set[str] = set()

    def measure(self, operation: OperationDefinitionNode) -> Measures:
        """Raises SpreadTooDeep."""
        root = self._schema.get_root_type(operation.operation)
        found = self._selections(operation.selection_set, root, at_root=True)
        self._count_directives(found, operation.directives)
        found.variables = len(operation.variable_definitions or ())
        for variable in operation.variable_definitions or ():
            self._count_directives(found, variable.directives)
            if variable.default_value is not None:
                found.longest_list = max(found.longest_list, _longest_list(variable.default_value))
        return found

    def unused(self) -> Sequence[FragmentDefinitionNode]:
        """The fragments that no measured operation spreads, including those with a duplicate name."""
        return [
            one
            for one in self._definitions
            if self.fragments[one.name.value] is not one or one.name.value not in self._known
        ]

    def measure_fragment(self, definition: FragmentDefinitionNode) -> Measures:
        """Raises SpreadTooDeep."""
        is_first = self.fragments[definition.name.value] is definition
        return self._fragment(definition.name.value) if is_first else self._defined(definition)

    def _selections(self, selections: SelectionSetNode, parent: GraphQLNamedType | None, *, at_root: bool) -> Measures:
        found = Measures()
        for one in selections.selections:
            if isinstance(one, FieldNode):
                found.add(self._field(one, parent, at_root=at_root), deeper=0)
            elif isinstance(one, InlineFragmentNode):
                narrowed = self._type(one.type_condition.name.value) if one.type_condition else parent
                inner = self._selections(one.selection_set, narrowed, at_root=at_root)
                inner.inline += 1
                if inner.inline > _LONGEST_CHAIN:
                    raise SpreadTooDeep
                found.add(inner, deeper=0)
            elif isinstance(one, FragmentSpreadNode):
                found.add(self._fragment(one.name.value), deeper=0)
            self._count_directives(found, one.directives)
        return found

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None, *, at_root: bool) -> Measures:
        name = node.name.value
        found = Measures(depth=1, fields=1, top_fields=1)
        if node.alias is not None and node.alias.value != name:
            found.aliases = 1
        if node.arguments:
            found.longest_list = max(_longest_list(one.value) for one in node.arguments)
        if name in _INTROSPECTION:
            found.introspects = True
        if node.selection_set is not None:
            kind = self._type_of(parent, name)
            found.add(self._selections(node.selection_set, kind, at_root=False), deeper=1)
        return found

    def _fragment(self, name: str) -> Measures:
        known = self._known.get(name)
        if known is not None:
            return known
        definition = self.fragments.get(name)
        if definition is None or name in self._open:
            return Measures(spreads=1)  # validation reports what is wrong with it
        if len(self._open) >= _LONGEST_CHAIN:
            raise SpreadTooDeep
        self._open.add(name)
        found = self._defined(definition)
        self._open.discard(name)
        self._known[name] = found
        return found

    def _defined(self, definition: FragmentDefinitionNode) -> Measures:
        condition = self._type(definition.type_condition.name.value)
        found = self._selections(definition.selection_set, condition, at_root=self._is_root(condition))
        self._count_directives(found, definition.directives)
        found.chain += 1
        if found.chain > _LONGEST_CHAIN:
            raise SpreadTooDeep
        found.spreads = min(_CEILING, found.spreads + 1)
        return found

    def _type_of(self, parent: GraphQLNamedType | None, field: str) -> GraphQLNamedType | None:
        fields = getattr(parent, "fields", None)
        known = fields.get(field) if fields else None
        return get_named_type(known.type) if known is not None else None

    def _type(self, name: str) -> GraphQLNamedType | None:
        return self._schema.type_map.get(name)

    def _is_root(self, kind: GraphQLNamedType | None) -> bool:
        return kind is not None and kind in (
            self._schema.query_type,
            self._schema.mutation_type,
            self._schema.subscription_type,
        )

    @staticmethod
    def _count_directives(found: Measures, directives: tuple[DirectiveNode, ...] | None) -> None:
        if directives:
            found.directives = min(_CEILING, found.directives + len(directives))


def _longest_list(value: ValueNode) -> int:
    """The longest list anywhere in a literal. Not recursive; the parser bounds the nesting."""
    longest = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ListValueNode):
            longest = max(longest, len(one.values))
            waiting.extend(one.values)
        elif isinstance(one, ObjectValueNode):
            waiting.extend(field.value for field in one.fields)
    return longest
