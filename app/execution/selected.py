"""What a document selects below a field, for resolvers that must know it before they read.

An analysis is computed once per plan. Operations without a plan compute it once per request, with the same result.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import strawberry
from graphql import FieldNode, GraphQLField, GraphQLObjectType, GraphQLResolveInfo, get_named_type
from graphql.type import is_abstract_type, is_object_type

from app.execution import strawberry_internals as internals

Analysis = TypeVar("Analysis")
IS_DEFERRED: Final[ContextVar[bool]] = ContextVar("is_deferred", default=False)
"""True in the task of a group of deferred fields, for resolvers that must not depend on what runs beside them."""


class SelectedField:
    """One selected field. `@skip`, `@include` and the fields' guards are applied with the values of this request."""

    __slots__ = ("_details", "_info", "field")

    def __init__(self, info: GraphQLResolveInfo[Any], field: GraphQLField, details: internals.Details) -> None:
        self.field = field
        self._details = details
        self._info = info

    @property
    def metadata(self) -> Mapping[Any, Any]:
        """The metadata that the field was declared with."""
        own = internals.strawberry_field(self.field)
        return own.metadata if own is not None else {}

    @property
    def key(self) -> tuple[int, ...]:
        """Equal for the same nodes of the same document, whatever the type that they are selected on."""
        return tuple([id(one.node) for one in self._details])

    @property
    def types(self) -> list[str]:
        """The names of the object types that the field may return."""
        named = get_named_type(self.field.type)
        if is_object_type(named):
            return [named.name]
        return [one.name for one in self._info.schema.get_possible_types(named)] if is_abstract_type(named) else []

    def below(self, type_name: str) -> list["SelectedField"]:
        """The fields selected on a value of this type, without those that a guard refuses or `@defer` defers."""
        type_, groups = self._groups(type_name)
        return selected_fields(self._info, type_, groups.now)

    def deferred(self, type_name: str) -> list[list["SelectedField"]]:
        """The groups of deferred fields on a value of this type, each with the fields of `below`."""
        type_, groups = self._groups(type_name)
        return [selected_fields(self._info, type_, groups.now, group) for _, group in groups.later]

    def _groups(self, type_name: str) -> tuple[GraphQLObjectType, internals.FieldGroups]:
        info = self._info
        type_ = info.schema.type_map[type_name]
        assert isinstance(type_, GraphQLObjectType)
        variables: Any = info.variable_values  # coerced values, as Strawberry's executor passes them
        return type_, internals.sub_fields(info.schema, info.operation, info.fragments, variables, type_, self._details)

    def arguments(self) -> "Arguments":
        return Arguments(self.field, self._details[0].node)


def selected_fields(
    info: GraphQLResolveInfo[Any], type_: GraphQLObjectType, *grouped: internals.Grouped
) -> list[SelectedField]:
    """These fields of one object, without those that a guard refuses."""
    found: list[SelectedField] = []
    for fields in grouped:
        for details in fields.values():
            field = type_.fields.get(details[0].node.name.value)
            if field is not None and internals.is_passed(field, info.context):
                found.append(SelectedField(info, field, details))
    return found


class Arguments:
    """The arguments of one selected field, as its resolver gets them."""

    __slots__ = ("_constant", "_field", "_node")

    def __init__(self, field: GraphQLField, node: FieldNode) -> None:
        self._field = field
        self._node = node
        self._constant: Mapping[str, Any] | None = None

    @property
    def are_given(self) -> bool:
        """False if the document gives none."""
        return bool(self._node.arguments)

    def of(self, info: strawberry.Info[Any, Any]) -> Mapping[str, Any]:
        """The arguments in this request. Raises the error that the field will report if they do not fit."""
        if self._constant is not None:
            return self._constant
        own, variables = internals.strawberry_field(self._field), info.variable_values
        assert own is not None
        values = internals.get_argument_values(self._field, self._node, internals.given_variables(variables))
        found = internals.to_python(info.schema, values, own.arguments, info)
        if not any(internals.holds_variables(one) for one in self._node.arguments or ()):
            self._constant = found
        return found


def analyzed(info: strawberry.Info[Any, Any], analyze: Callable[[SelectedField], Analysis]) -> Analysis:
    """`analyze` applied to the field being resolved. Its result must not hold the SelectedField or depend on the
    values of arguments. The context's `analyses` keeps it for the request if there is no plan.
    """
    key: Any = analyze
    if info.__class__ is internals.LazyInfo:
        memo: dict[Any, Any] = info.memo
    else:
        raw = info._raw_info
        memo, key = raw.context.analyses, (analyze, *[id(one) for one in raw.field_nodes])
    if key in memo:
        found: Analysis = memo[key]
        return found
    raw = info._raw_info
    field = raw.parent_type.fields[raw.field_name]
    selected = SelectedField(raw, field, internals.details_of(raw.field_nodes))
    found = memo[key] = analyze(selected)
    return found
