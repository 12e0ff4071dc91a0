"""Prepares the arguments of one field of one document: constants are bound once, variables are looked up per call.

Applies only to values that need no conversion. All others, and values that do not fit, go through graphql-core and
Strawberry for each call, which also keeps their error messages.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import strawberry
from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLError,
    GraphQLField,
    GraphQLInputField,
    GraphQLNonNull,
    NameNode,
    VariableNode,
    is_leaf_type,
    is_required_argument,
)
from strawberry.relay.types import GlobalID

from app.execution import strawberry_internals as internals

Keywords = dict[str, Any]
Prepared = Callable[[internals.VariableValues], Keywords | None]

_BARE: Final = FieldNode(name=NameNode(value="field"), arguments=())
_IMMUTABLE: Final = (str, int, float, bool, type(None), Enum, date, datetime, Decimal)


def prepare(
    schema: strawberry.Schema, field: GraphQLField, node: FieldNode, arguments: Sequence[internals.StrawberryArgument]
) -> Prepared | Keywords | None:
    """The resolver's keyword arguments, or a function from variables to them, which returns None for values that do
    not fit.

    None if an argument needs conversion on each call.
    """
    given = {one.name.value: one for one in node.arguments or ()}
    constants: Keywords = {}
    looked_up: list[tuple[str, str, bool, Keywords]] = []
    for argument in arguments:
        name = internals.argument_name(schema, argument)
        wanted = field.args.get(name)
        own = given.get(name)
        if wanted is None or (own is not None and not needs_no_conversion(argument.type, wanted)):
            return None
        if own is not None and isinstance(own.value, VariableNode):
            fallback = _default(wanted, name, argument.python_name)
            if fallback is None:
                return None
            is_required = isinstance(wanted.type, GraphQLNonNull)
            looked_up.append((own.value.name.value, argument.python_name, is_required, fallback))
        elif own is not None and internals.holds_variables(own.value):
            return None
        else:
            value = _constant(wanted, name, argument.python_name, node if own is not None else None)
            if value is None or (value and not needs_no_conversion(argument.type, wanted)):
                return None
            constants.update(value)
    if not looked_up:
        return constants
    if len(looked_up) == 1 and not constants:
        return _one(*looked_up[0])
    return _many(constants, looked_up)


def _one(variable: str, keyword: str, is_required: bool, fallback: Keywords) -> Prepared:
    def keywords(variables: internals.VariableValues) -> Keywords | None:
        values = variables.coerced
        if variable in values:
            value = values[variable]
            return None if value is None and is_required else {keyword: value}
        return None if is_required and not fallback else dict(fallback)

    return keywords


def _many(constants: Keywords, looked_up: Sequence[tuple[str, str, bool, Keywords]]) -> Prepared:
    def keywords(variables: internals.VariableValues) -> Keywords | None:
        values, made = variables.coerced, dict(constants)
        for variable, keyword, is_required, fallback in looked_up:
            if variable in values:
                value = made[keyword] = values[variable]
                if value is None and is_required:
                    return None
            elif is_required and not fallback:
                return None
            else:
                made.update(fallback)
        return made

    return keywords


def needs_no_conversion(own: Any, wanted: GraphQLArgument | GraphQLInputField) -> bool:
    """Whether the resolver gets the value as graphql-core coerces it. `own` is the type in Strawberry's terms."""
    inner = wanted.type.of_type if isinstance(wanted.type, GraphQLNonNull) else wanted.type
    if not is_leaf_type(inner) or isinstance(own, internals.StrawberryMaybe) or getattr(wanted, "out_name", None):
        return False
    return own is not GlobalID and getattr(own, "of_type", None) is not GlobalID


def _default(wanted: GraphQLArgument, name: str, keyword: str) -> Keywords | None:
    """The keyword for an omitted argument: its default, or empty."""
    if is_required_argument(wanted):
        return {}
    return _constant(wanted, name, keyword, None)


def _constant(wanted: GraphQLArgument, name: str, keyword: str, node: FieldNode | None) -> Keywords | None:
    """The value as graphql-core coerces it; None if it is invalid or mutable, so that requests cannot share it."""
    alone = GraphQLField(wanted.type, args={name: wanted})  # type: ignore[arg-type]  # only its arguments are read
    try:
        values = internals.get_argument_values(alone, node or _BARE)
    except GraphQLError:
        return None
    if any(not isinstance(value, _IMMUTABLE) for value in values.values()):
        return None
    return {keyword: next(iter(values.values()))} if values else {}
