"""Fast path for a request's variables of usual types; graphql-core coerces all others.

What does not fit is left to graphql-core, which reports it; so are variables with defaults, recursive input types and
single values for lists.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graphql import GraphQLError, GraphQLInputObjectType, GraphQLSchema, OperationDefinitionNode, Undefined
from graphql.type import GraphQLEnumType, GraphQLList, GraphQLNonNull
from msgspec import Struct

from app.execution import strawberry_internals as internals

_LEAST, _MOST = -(2**31), 2**31 - 1
_MISSING: Final = object()

Coerce = Callable[[Any], Any]
"""The coerced value; Undefined if it does not fit."""
Accept = Callable[[Mapping[str, Any], bool], Any]
"""From the inputs, and whether errors hide suggestions, to VariableValues or a list of errors."""
Usual = Sequence[tuple[str, Any, Coerce, bool]]
"""Name, signature, coercion and whether a value is required, for each variable."""


class GivenVariables(Struct):  # created in C, without a Python call: one per request
    """graphql-core's VariableValues, whose `sources` are made when they are read: a plan seldom needs them."""

    coerced: dict[str, Any]
    inputs: Mapping[str, Any]
    usual: Usual

    @property
    def sources(self) -> dict[str, internals.VariableValueSource]:
        inputs, source = self.inputs, internals.VariableValueSource
        return {
            name: source(signature, inputs[name]) if name in inputs else source(signature)
            for name, signature, _, _ in self.usual
        }


def acceptor(schema: GraphQLSchema, operation: OperationDefinitionNode) -> Accept:
    """A function that returns the coerced values, or graphql-core's errors."""
    usual = _usual(schema, operation)

    def accept(inputs: Mapping[str, Any], hide: bool) -> GivenVariables | internals.VariableValues | list[GraphQLError]:
        if usual is not None:
            values: dict[str, Any] = {}
            for name, signature, coerce, is_required in usual:
                value = inputs.get(name, _MISSING)
                if value is _MISSING or value is None:
                    if is_required or (value is _MISSING and signature.default is not None):
                        break
                    if value is None:
                        values[name] = None
                elif coerce is not _text:
                    values[name] = coerced = coerce(value)
                    if coerced is Undefined:
                        break
                elif value.__class__ is str:
                    values[name] = value
                else:
                    break
            else:
                return GivenVariables(values, inputs, usual)
        return internals.coerced(schema, operation, inputs, hide)

    return accept


def _text(value: Any) -> Any:
    return value if value.__class__ is str else Undefined


def _bool(value: Any) -> Any:
    return value if value is True or value is False else Undefined


def _int(value: Any) -> Any:
    return value if value.__class__ is int and _LEAST <= value <= _MOST else Undefined


_SCALARS: Final[Mapping[str, Coerce]] = {"ID": _text, "String": _text, "Boolean": _bool, "Int": _int}


def _usual(schema: GraphQLSchema, operation: OperationDefinitionNode) -> Usual | None:
    found: list[tuple[str, Any, Coerce, bool]] = []
    for definition in operation.variable_definitions or ():
        signature = internals.get_variable_signature(schema, definition)
        if isinstance(signature, GraphQLError):
            return None
        is_required, inner = _unwrapped(signature.type)
        coerce = _coercer(inner, ())
        if coerce is None:
            return None
        found.append((signature.name, signature, coerce, is_required))
    return found


def _unwrapped(given: Any) -> tuple[bool, Any]:
    """Whether the type is non-null, and its nullable type."""
    return (True, given.of_type) if isinstance(given, GraphQLNonNull) else (False, given)


def _coercer(type_: Any, above: tuple[Any, ...]) -> Coerce | None:
    """For values other than null, as graphql-core coerces them; None if it must do that itself. `above` are the input
    objects around it.
    """
    if isinstance(type_, GraphQLList):
        return _list_coercer(type_, above)
    if isinstance(type_, GraphQLInputObjectType):
        return None if type_ in above else _object_coercer(type_, (*above, type_))
    if isinstance(type_, GraphQLEnumType) or type_.name not in _SCALARS:
        return _by_library(type_.coerce_input_value)
    return _SCALARS[type_.name]


def _by_library(convert: Coerce) -> Coerce:
    def coerce(value: Any) -> Any:
        try:
            return convert(value)
        except Exception:  # noqa: BLE001 - graphql-core repeats it and reports the error
            return Undefined

    return coerce


def _list_coercer(type_: GraphQLList[Any], above: tuple[Any, ...]) -> Coerce | None:
    is_required, inner = _unwrapped(type_.of_type)
    item = _coercer(inner, above)
    if item is None or not is_required:
        return None

    def coerce(value: Any) -> Any:
        if value.__class__ is not list:
            return Undefined
        found = [Undefined if one is None else item(one) for one in value]
        return Undefined if any(one is Undefined for one in found) else found

    return coerce


def _object_coercer(type_: GraphQLInputObjectType, above: tuple[Any, ...]) -> Coerce | None:
    fields: list[tuple[str, Coerce, bool, bool, Any]] = []
    for name, field in type_.fields.items():
        is_required, inner = _unwrapped(field.type)
        coerce_field = _coercer(inner, above)
        if coerce_field is None or field.out_name:
            return None
        default = internals.coerce_default_value(field)
        fields.append((name, coerce_field, is_required, is_required and default is Undefined, default))
    names = type_.fields.keys()
    finish = None if type_.out_type is GraphQLInputObjectType.out_type else _by_library(type_.out_type)

    def coerce(value: Any) -> Any:
        if value.__class__ is not dict or not value.keys() <= names:
            return Undefined
        made: dict[str, Any] = {}
        for name, coerce_field, is_not_null, is_missed, default in fields:
            if name in value:
                given = value[name]
                if given is not None:
                    given = coerce_field(given)
                    if given is Undefined:
                        return Undefined
                elif is_not_null:
                    return Undefined
                made[name] = given
            elif is_missed:
                return Undefined
            elif default is not Undefined:
                made[name] = default
        if type_.is_one_of and (len(made) != 1 or None in made.values()):
            return Undefined
        return made if finish is None else finish(made)

    return coerce
