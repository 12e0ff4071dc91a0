"""What a document asks for, measured in one pass: each fragment once, however often it is spread.

It runs before validation, so it believes nothing: unknown fields and types count and lead nowhere, cycles end where
they close, and sums stop at a ceiling instead of growing for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from graphql import (
    ArgumentNode,
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
    VariableNode,
    get_named_type,
    print_ast,
)

from app.gate.limits.prices import PriceList

_CEILING: Final = 1_000_000
_LONGEST_CHAIN: Final = 32
_INTROSPECTION: Final = frozenset({"__schema", "__type", "_service"})


class SpreadTooDeep(Exception):
    """Fragments spread fragments that spread fragments, further than anyone writes by hand."""


@dataclass(slots=True)
class Measures:
    """Of one selection set with everything beneath it. `reach` is the dearest type selected from beneath the top."""

    depth: int = 0
    aliases: int = 0
    fields: int = 0
    directives: int = 0
    top_fields: int = 0
    chain: int = 0
    longest_list: int = 0
    reach: int = 0
    introspects: bool = False

    def add(self, other: "Measures", *, deeper: int) -> None:
        """Take in what stands beside (`deeper` 0) or beneath (1)."""
        self.depth = max(self.depth, other.depth + deeper)
        self.aliases = min(_CEILING, self.aliases + other.aliases)
        self.fields = min(_CEILING, self.fields + other.fields)
        self.directives = min(_CEILING, self.directives + other.directives)
        self.longest_list = max(self.longest_list, other.longest_list)
        self.chain = max(self.chain, other.chain)
        self.reach = max(self.reach, other.reach)
        self.introspects = self.introspects or other.introspects
        if not deeper:
            self.top_fields = min(_CEILING, self.top_fields + other.top_fields)


@dataclass(frozen=True, slots=True)
class Charge:
    """One root field: `calls` for each of `times` items; `variable` holds the list, if the request brings it.

    Equal charges of one operation are one: loaders ask for the same thing once, whatever its aliases.
    """

    field: str
    arguments: str
    calls: int
    times: int = 1
    variable: str | None = None

    def price(self, variables: Mapping[str, object]) -> int:
        if self.variable is None or self.variable not in variables:
            return self.calls * self.times
        value = variables[self.variable]
        return self.calls * (max(1, len(value)) if isinstance(value, list) else 1)


class Surveyor:
    """Surveys one document: make a new one for each."""

    def __init__(self, schema: GraphQLSchema, prices: PriceList, document: DocumentNode) -> None:
        self._schema = schema
        self._prices = prices
        self._fragments: Mapping[str, FragmentDefinitionNode] = {
            one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)
        }
        self._known: dict[str, Measures] = {}
        self._open: set[str] = set()

    def measure(self, operation: OperationDefinitionNode) -> Measures:
        """Raises SpreadTooDeep."""
        root = self._schema.get_root_type(operation.operation)
        found = self._selections(operation.selection_set, root, at_root=True)
        self._count_directives(found, operation.directives)
        for variable in operation.variable_definitions or ():
            self._count_directives(found, variable.directives)
            if variable.default_value is not None:
                found.longest_list = max(found.longest_list, _longest_list(variable.default_value))
        return found

    def charges(self, operation: OperationDefinitionNode) -> frozenset[Charge]:
        """What it may cost. Only for a document that is within the limits and valid."""
        defaults = {
            one.variable.name.value: len(one.default_value.values)
            for one in operation.variable_definitions or ()
            if isinstance(one.default_value, ListValueNode)
        }
        charges: set[Charge] = set()
        root = self._schema.get_root_type(operation.operation)
        self._charge(operation.selection_set, root, defaults, charges, set())
        return frozenset(charges)

    def _selections(self, selections: SelectionSetNode, parent: GraphQLNamedType | None, *, at_root: bool) -> Measures:
        found = Measures()
        for one in selections.selections:
            if isinstance(one, FieldNode):
                found.add(self._field(one, parent, at_root=at_root), deeper=0)
            elif isinstance(one, InlineFragmentNode):
                narrowed = self._type(one.type_condition.name.value) if one.type_condition else parent
                found.add(self._selections(one.selection_set, narrowed, at_root=at_root), deeper=0)
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
            if not at_root and kind is not None:
                found.reach = max(found.reach, self._prices.of_type(kind.name))
        if not at_root and parent is not None:
            found.reach = max(found.reach, self._prices.of_field(parent.name, name))
        return found

    def _fragment(self, name: str) -> Measures:
        known = self._known.get(name)
        if known is not None:
            return known
        definition = self._fragments.get(name)
        if definition is None or name in self._open:
            return Measures()  # validation says what is wrong with it
        if len(self._open) >= _LONGEST_CHAIN:
            raise SpreadTooDeep
        self._open.add(name)
        condition = self._type(definition.type_condition.name.value)
        found = self._selections(definition.selection_set, condition, at_root=self._is_root(condition))
        self._count_directives(found, definition.directives)
        self._open.discard(name)
        found.chain += 1
        if found.chain > _LONGEST_CHAIN:
            raise SpreadTooDeep
        self._known[name] = found
        return found

    def _charge(
        self,
        selections: SelectionSetNode,
        root: GraphQLNamedType | None,
        defaults: Mapping[str, int],
        charges: set[Charge],
        seen: set[str],
    ) -> None:
        for one in selections.selections:
            if isinstance(one, FieldNode):
                charge = self._charge_of(one, root, defaults)
                if charge.calls:
                    charges.add(charge)
            elif isinstance(one, InlineFragmentNode):
                self._charge(one.selection_set, root, defaults, charges, seen)
            elif isinstance(one, FragmentSpreadNode) and one.name.value not in seen:
                seen.add(one.name.value)
                if one.name.value in self._fragments:
                    self._charge(self._fragments[one.name.value].selection_set, root, defaults, charges, seen)

    def _charge_of(self, node: FieldNode, root: GraphQLNamedType | None, defaults: Mapping[str, int]) -> Charge:
        name = node.name.value
        calls = self._prices.of_root(root.name, name) if root is not None else 0
        if node.selection_set is not None:
            kind = self._type_of(root, name)
            calls = max(calls, self._selections(node.selection_set, kind, at_root=False).reach)
        times, variable = self._times(root, node, defaults)
        return Charge(name, _spelling(node.arguments), calls, times, variable)

    def _times(
        self, root: GraphQLNamedType | None, node: FieldNode, defaults: Mapping[str, int]
    ) -> tuple[int, str | None]:
        lists = self._prices.lists_of(root.name, node.name.value) if root is not None else frozenset()
        for argument in node.arguments or ():
            if argument.name.value in lists:
                if isinstance(argument.value, ListValueNode):
                    return max(1, len(argument.value.values)), None
                if isinstance(argument.value, VariableNode):
                    name = argument.value.name.value
                    return max(1, defaults.get(name, 1)), name
        return 1, None

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
    """The longest list anywhere in a literal. Walks without recursion; the parser bounds the nesting."""
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


def _spelling(arguments: tuple[ArgumentNode, ...] | None) -> str:
    return ",".join(sorted(print_ast(one) for one in arguments)) if arguments else ""
