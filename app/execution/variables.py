"""Fast path for a request's variables of simple types; graphql-core coerces all others.

Values that do not fit, defaults and input objects are left to graphql-core.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from graphql import GraphQLError, GraphQLSchema, OperationDefinitionNode
from graphql.type import GraphQLList, GraphQLNonNull

from app.execution import strawberry_internals as internals

_LEAST, _MOST = -(2**31), 2**31 - 1
_MISSING: Final = object()

Accept = Callable[[Mapping[str, Any], bool], internals.VariableValues | list[GraphQLError]]


def acceptor(schema: GraphQLSchema, operation: OperationDefinitionNode) -> Accept:
    """A function that returns the coerced values, or graphql-core's errors."""
    simple = _simple(schema, operation)

    def accept(inputs: Mapping[str, Any], hide: bool) -> internals.VariableValues | list[GraphQLError]:
        if simple is not None:
            values: dict[str, Any] = {}
            sources: dict[str, Any] = {}
            for name, signature, fits, is_required in simple:
                value = inputs.get(name, _MISSING)
                if value is _MISSING or value is None:
                    if is_required or (value is _MISSING and signature.default is not None):
                        break
                    if value is _MISSING:
                        sources[name] = internals.VariableValueSource(signature)
                        continue
                elif not fits(value):
                    break
                values[name] = value
                sources[name] = internals.VariableValueSource(signature, value)
            else:
                return internals.VariableValues(sources, values)
        return internals.coerced(schema, operation, inputs, hide)

    return accept


def _is_text(value: Any) -> bool:
    return value.__class__ is str


def _is_bool(value: Any) -> bool:
    return value is True or value is False


def _is_int(value: Any) -> bool:
    return value.__class__ is int and _LEAST <= value <= _MOST


_FITS: Final = {"ID": _is_text, "String": _is_text, "Boolean": _is_bool, "Int": _is_int}


def _simple(
    schema: GraphQLSchema, operation: OperationDefinitionNode
) -> list[tuple[str, Any, Callable[[Any], bool], bool]] | None:
    found: list[tuple[str, Any, Callable[[Any], bool], bool]] = []
    for definition in operation.variable_definitions or ():
        signature = internals.get_variable_signature(schema, definition)
        if isinstance(signature, GraphQLError):
            return None
        is_required, inner = _unwrapped(signature.type)
        fits = _FITS.get(getattr(inner, "name", "")) or _list_fits(inner)
        if fits is None:
            return None
        found.append((signature.name, signature, fits, is_required))
    return found


def _unwrapped(given: Any) -> tuple[bool, Any]:
    """Whether the type is non-null, and its nullable type."""
    return (True, given.of_type) if isinstance(given, GraphQLNonNull) else (False, given)


def _list_fits(given: Any) -> Callable[[Any], bool] | None:
    """Check for lists of non-null simple values; graphql-core coerces a single value to a list."""
    if not isinstance(given, GraphQLList):
        return None
    is_required, item = _unwrapped(given.of_type)
    fits = _FITS.get(getattr(item, "name", ""))
    if fits is None or not is_required:
        return None
    return lambda value: value.__class__ is list and all(map(fits, value))
