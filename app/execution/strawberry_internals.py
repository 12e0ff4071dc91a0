"""All private or internal APIs of Strawberry 0.341 and graphql-core 3.3 that plans use.

`tests/unit/test_execution_internals.py` asserts each of them, so an incompatible upgrade fails there first.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property
from typing import Any, Final, Protocol

import strawberry
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    Visitor,
    default_field_resolver,
    visit,
)
from graphql.execution.collect_fields import (
    CollectedFields,
    DeferUsage,
    FieldDetails,
    FragmentDetails,
    collect_fields,
    collect_subfields,
)
from graphql.execution.executor import collect_iterator_awaitables, to_nodes
from graphql.execution.get_variable_signature import get_variable_signature
from graphql.execution.incremental import (
    Computation,
    DeferUsageSet,
    DeliveryGroup,
    ExecutionGroup,
    ExecutionGroupValue,
    IncrementalPublisher,
    Work,
    WorkResult,
    build_execution_plan,
)
from graphql.execution.incremental.build_execution_plan import get_filtered_defer_usage_set
from graphql.execution.values import (
    VariableValues,
    VariableValueSource,
    get_argument_values,
    get_variable_values,
)
from graphql.pyutils import Path, gather_with_cancel, is_iterable
from graphql.pyutils.is_awaitable import is_async_iterable, is_awaitable
from graphql.type import GraphQLNonNull, GraphQLResolveInfoHelpers
from graphql.utilities.coerce_input_value import coerce_default_value
from strawberry.extensions import FieldExtension
from strawberry.schema.schema import (
    StrawberryGraphQLCoreExecutionContext as LibraryExecutor,
)
from strawberry.schema.schema import _OperationContextAwareGraphQLResolveInfo
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import InputContext, StrawberryArgument, convert_arguments
from strawberry.types.base import StrawberryMaybe, StrawberryObjectDefinition
from strawberry.types.cast import TYPE_CAST_ATTRIBUTE
from strawberry.types.field import StrawberryField
from strawberry.types.scalar import identity

__all__ = [
    "Computation",
    "DeferUsage",
    "DeferUsageSet",
    "DeliveryGroup",
    "Details",
    "ExecutionGroup",
    "ExecutionGroupValue",
    "IncrementalPublisher",
    "InputContext",
    "LibraryExecutor",
    "Path",
    "StrawberryArgument",
    "StrawberryMaybe",
    "VariableValueSource",
    "VariableValues",
    "Work",
    "WorkResult",
    "coerce_default_value",
    "collect_iterator_awaitables",
    "gather_with_cancel",
    "get_argument_values",
    "get_variable_signature",
    "get_variable_values",
    "is_async_iterable",
    "is_awaitable",
    "is_iterable",
    "to_nodes",
]

CAST_MARK: Final = TYPE_CAST_ATTRIBUTE
PRECOMPUTED: Final = "precomputed"
Details = list[FieldDetails]
PathLike = tuple[Any, ...]  # (previous or None, key, type name or None): the fields of graphql-core's Path


class Guard(Protocol):
    """A field extension that only rejects unauthorized callers and can be evaluated beforehand.

    `allows` depends on the request's context alone. If it returns True, the extension's `resolve` would only call
    the next one, so it is skipped; if False, the extension runs. A guard may have a static method `rights`, from the
    context to what `allows` depends on: then plans remember the answers by it.
    """

    def allows(self, context: Any) -> bool: ...


@dataclass(frozen=True, slots=True)
class Attribute:
    """The field is an attribute of its source, after its guards pass."""

    name: str
    guards: tuple[Guard, ...]


@dataclass(frozen=True, slots=True)
class FieldResolver:
    """The field is one call of this function, after its guards pass."""

    function: Callable[..., Any]
    takes_self: bool
    source_names: tuple[str, ...]
    info_name: str | None
    is_async: bool
    arguments: Sequence[StrawberryArgument]
    guards: tuple[Guard, ...]


def strawberry_field(field: GraphQLField) -> StrawberryField | None:
    return field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)


@dataclass(frozen=True, slots=True)
class PrecomputedEnum:
    """The field equals this attribute of its source, an enum member, if that is not None."""

    attribute: str
    names: "EnumNames"


def precomputed_attribute(field: GraphQLField) -> str | None:
    """The attribute named in ``metadata={PRECOMPUTED: name}``: if not None, it equals the resolver's result."""
    own = strawberry_field(field)
    return None if own is None else own.metadata.get(PRECOMPUTED)


def precomputed_enum(place: "FieldSite", resolution: Attribute | FieldResolver | None) -> PrecomputedEnum | None:
    """Enum fields only; fields of other types are always resolved."""
    attribute = precomputed_attribute(place.field)
    type_ = place.field.type
    inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if attribute is None or not isinstance(resolution, FieldResolver) or not isinstance(inner, GraphQLEnumType):
        return None
    return PrecomputedEnum(attribute, EnumNames.of(inner))


def definition_of(type_: Any) -> StrawberryObjectDefinition | None:
    found = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return found if isinstance(found, StrawberryObjectDefinition) else None


def resolution_of(schema: strawberry.Schema, field: GraphQLField) -> Attribute | FieldResolver | None:
    """How to get the field's value; None if Strawberry's full resolver chain is needed."""
    own = strawberry_field(field)
    if type(own) is not StrawberryField or schema.config.default_resolver is not getattr:
        return None
    if schema.schema_converter._get_field_exception_handlers(own):
        return None
    guards = _guards(own.extensions)
    if guards is None:
        return None
    base = own.base_resolver
    if base is None:
        return Attribute(own.python_name, guards)
    sources = [one.name for one in (base.parent_parameter, base.root_parameter) if one]
    return FieldResolver(
        function=base.wrapped_func,  # type: ignore[arg-type]
        takes_self=base.self_parameter is not None,
        source_names=tuple(sources),
        info_name=base.info_parameter.name if base.info_parameter else None,
        is_async=own.is_async,
        arguments=tuple(own.arguments),
        guards=guards,
    )


def is_passed(field: GraphQLField, context: Any) -> bool:
    """False if a guard of the field refuses this request."""
    own = strawberry_field(field)
    if own is None:
        return True
    return all(one.allows(context) for one in own.extensions if hasattr(one, "allows"))


def _guards(extensions: Iterable[FieldExtension]) -> tuple[Guard, ...] | None:
    """All extensions as guards; None if one is not a guard."""
    found: list[Any] = []
    for extension in extensions:
        changes_arguments = type(extension).map_arguments is not FieldExtension.map_arguments
        if changes_arguments or not callable(getattr(extension, "allows", None)):
            return None
        found.append(extension)
    return tuple(found)


def chain_of(field: GraphQLField) -> Callable[..., Any]:
    """Strawberry's full resolver chain of the field: (source, graphql-core's info, **arguments)."""
    return field.resolve or default_field_resolver


def argument_name(schema: strawberry.Schema, argument: StrawberryArgument) -> str:
    return schema.config.name_converter.from_argument(argument)


def to_python(
    schema: strawberry.Schema, values: dict[str, Any], arguments: Sequence[StrawberryArgument], info: Any
) -> dict[str, Any]:
    """Convert coerced argument values to the types in the resolver's signature."""
    registry = schema.schema_converter.scalar_registry
    return convert_arguments(values, list(arguments), registry, schema.config, info)


def has_middleware(schema: strawberry.Schema) -> bool:
    """Whether a schema extension or directive intercepts every field."""
    from strawberry.extensions import SchemaExtension

    for one in schema.extensions:
        kind = one if isinstance(one, type) else type(one)
        resolve = getattr(kind, "resolve", SchemaExtension.resolve)
        if resolve is not SchemaExtension.resolve:
            return True
    return bool(schema.directives)


Grouped = Mapping[str, Details]
"""Response name to the field's nodes."""


@dataclass(frozen=True, slots=True)
class FieldGroups:
    """The fields selected on one object: those to execute with it, and groups of those that are deferred.

    A group is delivered with the fragments in its set. `fragments` are the deferred fragments on this object.
    """

    now: Grouped
    later: Sequence[tuple[DeferUsageSet, Grouped]] = ()
    fragments: Sequence[DeferUsage] = ()


def root_fields(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    conditions: Mapping[str, Any],
    root_type: GraphQLObjectType,
) -> FieldGroups:
    """`conditions` are the values of the variables in `@skip`, `@include` and `@defer`."""
    found = collect_fields(schema, _details(fragments), given_variables(conditions), root_type, operation)
    return _groups(found, [])


def sub_fields(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    conditions: Mapping[str, Any],
    type_: GraphQLObjectType,
    details: Details,
) -> FieldGroups:
    found = collect_subfields(schema, _details(fragments), given_variables(conditions), operation, type_, details)
    return _groups(found, details)


def _groups(found: CollectedFields, above: Details) -> FieldGroups:
    """`above` are the details of the field around them, which may be deferred itself."""
    grouped = found.grouped_field_set
    if not found.new_defer_usages and all(one.defer_usage is None for one in above):
        return FieldGroups(grouped)
    now, later = build_execution_plan(grouped, get_filtered_defer_usage_set(above) if above else None)
    return FieldGroups(now, list(later.items()), found.new_defer_usages)


class FieldNodes(list[FieldNode]):
    """A field's nodes that keep its details: which of them are in deferred fragments."""

    def __init__(self, details: Details) -> None:
        super().__init__([one.node for one in details])
        self.details = details


def details_of(nodes: Iterable[FieldNode]) -> Details:
    """The details of a field that has these nodes, for `sub_fields`."""
    return nodes.details if isinstance(nodes, FieldNodes) else [FieldDetails(node, None) for node in nodes]


def _details(fragments: Mapping[str, FragmentDefinitionNode]) -> dict[str, FragmentDetails]:
    return {name: FragmentDetails(one) for name, one in fragments.items()}


def given_variables(values: Mapping[str, Any]) -> VariableValues:
    """Coerced values, as graphql-core passes them around."""
    return VariableValues({}, dict(values))


class _VariableFinder(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_variable(self, *_: Any) -> None:
        self.found = True


def holds_variables(value: Node) -> bool:
    visitor = _VariableFinder()
    visit(value, visitor)
    return visitor.found


def class_of(type_: GraphQLObjectType) -> type | None:
    """The class whose instances are of this type without a type check, or None."""
    own = definition_of(type_)
    if (
        own is None
        or issubclass(own.origin, BaseException)
        or own.is_type_of
        or own.resolve_type
        or own.concrete_of
        or own.is_graphql_generic
    ):
        return None
    return own.origin


def classes_of(schema: GraphQLSchema, type_: GraphQLAbstractType) -> dict[type, GraphQLObjectType]:
    """Exact class to runtime type; empty if the interface or union has its own `resolve_type`."""
    own = definition_of(type_)
    if not isinstance(type_, GraphQLInterfaceType) or own is None or own.resolve_type:
        return {}
    found: dict[type, GraphQLObjectType] = {}
    for possible in schema.get_possible_types(type_):
        kind = class_of(possible)
        if kind is not None and issubclass(kind, own.origin):
            found[kind] = possible
    return found


@dataclass(frozen=True, slots=True)
class EnumNames:
    """GraphQL names by the names of the members of `kind`; empty for an enum that Strawberry does not define.

    Members are not the keys: hashing one is a Python call.
    """

    kind: Any
    by_member: Mapping[str, str]

    @classmethod
    def of(cls, type_: GraphQLEnumType) -> "EnumNames":
        kind = getattr(type_, "wrapped_cls", None)
        return cls(kind, {one.name: type_.coerce_output_value(one) for one in kind or ()})

    def of_member(self, member: Any) -> str:
        """Raises LookupError for what is not a member."""
        if member.__class__ is not self.kind:
            raise LookupError
        return self.by_member[member._name_]


def is_passed_through(type_: GraphQLLeafType) -> bool:
    """Whether a custom scalar serializes its value unchanged."""
    if not isinstance(type_, GraphQLScalarType):
        return False
    return type_.coerce_output_value in (identity, GraphQLScalarType.serialize)


@dataclass(frozen=True, slots=True)
class FieldSite:
    """The constant properties of one field of one variant of a plan."""

    field: GraphQLField
    nodes: FieldNodes
    parent: GraphQLObjectType
    key: str
    memo: dict[Any, Any] = dataclass_field(default_factory=dict, compare=False, repr=False)
    """What resolvers derived from the selection below the field: see `selected`."""

    @property
    def name(self) -> str:
        return self.nodes[0].name.value


class Request(Protocol):
    """The running operation, as far as a resolver info exposes it."""

    context: Any
    variables: VariableValues
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    schema: GraphQLSchema

    def settle(self, pending: Sequence[Awaitable[Any]]) -> None: ...


def raw_info(run: Request, place: FieldSite, path: PathLike) -> GraphQLResolveInfo[Any]:
    """The info that graphql-core passes to `GraphQLField.resolve`, as Strawberry's executor builds it."""
    made: Any = _OperationContextAwareGraphQLResolveInfo(
        place.name,
        place.nodes,
        place.field.type,
        place.parent,
        path_of(path),
        run.schema,
        run.fragments,
        None,
        run.operation,
        run.variables.coerced,
        run.context,
        is_awaitable,
        None,
        GraphQLResolveInfoHelpers(
            gather=lambda values: gather_with_cancel(*values),
            track=lambda values: run.settle([one for one in values if is_awaitable(one)]),
        ),
        None,  # type: ignore[arg-type]  # the executor's value for requests without extensions
    )
    return made  # type: ignore[no-any-return]


def path_of(path: PathLike) -> Path:
    previous, key, typename = path
    return Path(None if previous is None else path_of(previous), key, typename)


class LazyInfo(strawberry.Info[Any, Any]):
    """Strawberry's Info; the raw info is built only when more than the context is read."""

    context: Any = None  # an attribute, because resolvers read it several times
    memo: dict[Any, Any] = {}
    """For values that depend on the selection alone; shared by all requests of the plan's variant."""

    def __init__(self, run: Request, place: FieldSite, path: PathLike) -> None:
        self.context = run.context
        self.memo = place.memo
        self._run = run
        self._place = place
        self._where = path

    @cached_property
    def _raw_info(self) -> GraphQLResolveInfo[Any]:  # type: ignore[override]
        return raw_info(self._run, self._place, self._where)

    @property
    def _field(self) -> StrawberryField:  # type: ignore[override]
        own = strawberry_field(self._place.field)
        assert own is not None
        return own


def coerced(
    schema: GraphQLSchema, operation: OperationDefinitionNode, inputs: Mapping[str, Any], hide: bool
) -> VariableValues | list[GraphQLError]:
    """The coerced variables, or the errors that `execute` would report."""
    return get_variable_values(
        schema, operation.variable_definitions or (), dict(inputs), max_errors=50, hide_suggestions=hide
    )


Resolved = Any | Awaitable[Any]


def declared(field: GraphQLField) -> tuple[int | None, tuple[str, ...]]:
    """Cost in upstream calls and required scopes, from the field's schema directives."""
    calls: int | None = None
    needs: tuple[str, ...] = ()
    own = strawberry_field(field)
    for directive in own.directives if own is not None else ():
        calls = getattr(directive, "calls", calls)
        needs = tuple(getattr(directive, "any", needs))
    return calls, needs
