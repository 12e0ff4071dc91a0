"""Estimates the cost of one operation in a valid document: vault calls, and fields in the response.

Calls: a customer's data is read once per request, however many fields need it, so below a field with a price only the
most expensive field counts. Fields with prices below it lead to other customers, or to the same one after a write: they
are added, multiplied by the assumed sizes of the lists around them. The items of a connection at the root belong to
different customers, which cost nothing more unless a vault is read for them.

Fields: each counts one, multiplied by the assumed sizes of the lists around it (`PriceList.size_of`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final

from graphql import (
    ArgumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_object_type,
    print_ast,
)

from app.api.limits.prices import ASSUMED_METHODS, PriceList, Size

_CEILING: Final = 10**9


@dataclass(frozen=True, slots=True)
class RootPrice:
    """One root field: `calls`, `statuses` and `fields` for each of `times` items; `variable` names the list, if it is
    one.

    Calls of equal `key` count once, since loaders deduplicate them, whatever their aliases. `statuses` are the
    additional calls that single payment methods may need.
    """

    key: tuple[object, ...]
    calls: int
    statuses: int
    fields: int
    times: int = 1
    variable: str | None = None

    def times_with(self, variables: Mapping[str, object]) -> int:
        if self.variable is None or self.variable not in variables:
            return self.times
        value = variables[self.variable]
        return max(1, len(value)) if isinstance(value, list) else 1


@dataclass(slots=True)
class _Sum:
    """Cost of a selection set. `reach` is the most expensive read of the surrounding customer, `statuses` the number of
    methods that may need a status call, `is_read` whether a field is read from a vault. `apart` are calls added in any
    case, `statuses_apart` those for single methods.
    """

    fields: float = 0
    reach: int = 0
    statuses: float = 0
    apart: float = 0
    statuses_apart: float = 0
    is_read: bool = False

    def either(self, other: "_Sum") -> None:
        """The maximum of each, since an object has one type."""
        self.fields = max(self.fields, other.fields)
        self.reach = max(self.reach, other.reach)
        self.statuses = max(self.statuses, other.statuses)
        self.apart = max(self.apart, other.apart)
        self.is_read = self.is_read or other.is_read
        self.statuses_apart = max(self.statuses_apart, other.statuses_apart)

    def add(self, other: "_Sum", times: float = 1) -> None:
        self.fields = min(_CEILING, self.fields + times * other.fields)
        self.reach = max(self.reach, other.reach)
        self.is_read = self.is_read or other.is_read
        self.statuses = min(_CEILING, self.statuses + times * other.statuses)
        self.apart = min(_CEILING, self.apart + times * other.apart)
        self.statuses_apart = min(_CEILING, self.statuses_apart + times * other.statuses_apart)

    def closed(self, own: int, customers: float = 1) -> "_Sum":
        """The cost including the surrounding customer's calls, which nothing above shares; or of several customers."""
        status_calls = min(ASSUMED_METHODS * customers, self.statuses) + self.statuses_apart
        apart = max(own, customers * self.reach) + self.apart
        return _Sum(fields=self.fields, apart=apart, statuses_apart=status_calls)


def root_prices(
    schema: GraphQLSchema,
    prices: PriceList,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    sizes: Mapping[str, int],
) -> tuple[Sequence[RootPrice], Collection[str]]:
    """One for each root field, in the document's order, and the variables that request the size of a list.

    `sizes` are the values of such variables; of others, the assumed size is counted.
    """
    pricing = _Pricing(schema, prices, operation, fragments, sizes)
    return list(pricing.roots()), pricing.sizing


class _Pricing:
    def __init__(
        self,
        schema: GraphQLSchema,
        prices: PriceList,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        sizes: Mapping[str, int],
    ) -> None:
        self.sizing: set[str] = set()
        self._sizes = sizes
        self._schema = schema
        self._prices = prices
        self._operation = operation
        self._fragments = fragments
        self._root = schema.get_root_type(operation.operation)
        self._list_lengths = {
            one.variable.name.value: len(one.default_value.values)
            for one in operation.variable_definitions or ()
            if isinstance(one.default_value, ListValueNode)
        }
        self._known: dict[tuple[int, str], _Sum] = {}

    def roots(self) -> Iterator[RootPrice]:
        for node in self._fields(self._operation.selection_set):
            yield self._root_price(node)

    def _fields(self, selections: SelectionSetNode) -> Iterator[FieldNode]:
        """The fields of the operation's selection set. Root types have no type conditions to consider."""
        for one in selections.selections:
            if isinstance(one, FieldNode):
                yield one
            elif isinstance(one, FragmentSpreadNode):
                yield from self._fields(self._fragments[one.name.value].selection_set)
            else:
                yield from self._fields(one.selection_set)  # type: ignore[attr-defined]

    def _root_price(self, node: FieldNode) -> RootPrice:
        name, root = node.name.value, self._root
        assert root is not None
        own = self._prices.of_root(root.name, name)
        inner = self._inner(node, root)
        is_write = self._operation.operation is OperationType.MUTATION
        items = max(self._sized_fields(node, root.name).values(), default=0)
        closed = inner.closed(0 if is_write or items else own, items if items and inner.is_read else 1)
        calls = ceil(closed.apart) + (own if is_write else 0)
        if items:  # the search for them costs nothing beside what they cost
            calls = max(own, calls)
        times, variable = self._times(root, node)
        # Every write runs, even if it equals another; a read runs once per distinct set of arguments.
        key = (id(node),) if is_write else (name, _spelling(node.arguments), calls)
        sized = self._size(node, root.name)
        is_sized_by_argument = bool(self._prices.lists_of(root.name, name))
        fields = 1 + (1 if is_sized_by_argument else sized) * inner.fields
        return RootPrice(key, calls, ceil(closed.statuses_apart), ceil(fields), times, variable)

    def _inner(self, node: FieldNode, parent: GraphQLNamedType) -> _Sum:
        if node.selection_set is None:
            return _Sum()
        kind = self._type_of(parent, node.name.value)
        if kind is None:
            return _Sum()
        return self._sum(node.selection_set, kind, self._sized_fields(node, parent.name))

    def _sum(self, selections: SelectionSetNode, kind: GraphQLNamedType, sized: Mapping[str, float]) -> _Sum:
        key = id(selections), kind.name
        if not sized and key in self._known:
            return self._known[key]
        found, by_type = _Sum(), dict[str, _Sum]()
        for one in selections.selections:
            if isinstance(one, FieldNode):
                found.add(self._field(one, kind, sized))
                continue
            part: Any = self._fragments[one.name.value] if isinstance(one, FragmentSpreadNode) else one
            condition = part.type_condition
            narrowed = self._schema.type_map[condition.name.value] if condition else kind
            of_one_type = is_abstract_type(kind) and is_object_type(narrowed)
            into = by_type.setdefault(narrowed.name, _Sum()) if of_one_type else found
            into.add(self._sum(part.selection_set, narrowed, sized))
        dearest = _Sum()
        for other in by_type.values():
            dearest.either(other)
        found.add(dearest)
        if not sized:
            self._known[key] = found
        return found

    def _field(self, node: FieldNode, parent: GraphQLNamedType, sized: Mapping[str, float]) -> _Sum:
        name = node.name.value
        times = sized[name] if name in sized else self._size(node, parent.name)
        inner = self._inner(node, parent)
        found = _Sum(fields=min(_CEILING, 1 + times * inner.fields))
        own = self._prices.of_field(parent.name, name)
        kind = self._type_of(parent, name)
        reach = self._prices.of_type(kind.name) if kind is not None and node.selection_set is not None else 0
        if own is not None and not own.per_method:
            closed = inner.closed(max(own.calls, reach) if inner.is_read or not own.if_read else 0)
            closed.fields = 0
            found.add(closed, times)
            return found
        is_read = inner.is_read or self._prices.is_read(parent.name, name)
        found.add(replace(inner, fields=0, reach=max(reach, inner.reach), is_read=is_read), times)
        if own is not None:
            found.statuses += own.calls * times
        return found

    def _size(self, node: FieldNode, parent: str) -> float:
        """The number of times that the field's selection is returned."""
        size = self._prices.size_of(parent, node.name.value)
        return 1 if size is None or size.sized_fields else self._asked_for(node, size)

    def _sized_fields(self, node: FieldNode, parent: str) -> Mapping[str, float]:
        size = self._prices.size_of(parent, node.name.value)
        if size is None:
            return {}
        return size.beneath or dict.fromkeys(size.sized_fields, self._asked_for(node, size))

    def _times(self, root: GraphQLNamedType, node: FieldNode) -> tuple[int, str | None]:
        lists = self._prices.lists_of(root.name, node.name.value)
        for argument in node.arguments or ():
            if argument.name.value in lists:
                if isinstance(argument.value, ListValueNode):
                    return max(1, len(argument.value.values)), None
                if isinstance(argument.value, VariableNode):
                    name = argument.value.name.value
                    return max(1, self._list_lengths.get(name, 1)), name
        return 1, None

    def _type_of(self, parent: GraphQLNamedType, field: str) -> GraphQLNamedType | None:
        known = self._schema.get_field(parent, field)  # type: ignore[arg-type]
        return get_named_type(known.type) if known is not None else None

    def _asked_for(self, node: FieldNode, size: Size) -> float:
        """The smaller of the assumed size and an argument."""
        for argument in node.arguments or ():
            if argument.name.value in size.arguments:
                asked = argument.value
                if isinstance(asked, IntValueNode):
                    return max(1, min(size.assumed, int(asked.value[:9])))
                if isinstance(asked, VariableNode):
                    self.sizing.add(asked.name.value)
                    return max(1, min(size.assumed, self._sizes.get(asked.name.value, size.assumed)))
                return size.assumed
        return size.by_default


def _spelling(arguments: tuple[ArgumentNode, ...] | None) -> str:
    return ",".join(sorted(print_ast(one) for one in arguments)) if arguments else ""
