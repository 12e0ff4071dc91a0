"""Builds input objects with what does not depend on the request prepared once: names, defaults and which values fit.

Strawberry derives all of it from the annotations again for each input object of each request.
"""

from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any

import strawberry
from graphql import GraphQLInputObjectType

from app.execution import strawberry_internals as internals
from app.execution.arguments import needs_no_conversion


def prepare_inputs(schema: strawberry.Schema) -> None:
    """Give every input type of the schema its builder. Call it once, after the schema is created."""
    for type_ in schema._schema.type_map.values():
        if isinstance(type_, GraphQLInputObjectType):
            _prepare(schema, type_)


def _prepare(schema: strawberry.Schema, type_: GraphQLInputObjectType) -> None:
    definition = internals.definition_of(type_)
    if definition is None or definition.from_input is not None:
        return
    absent = {
        one.python_name: None
        for one in definition.fields
        if one.default_value is MISSING and one.default_factory is MISSING
    }
    fields: list[tuple[str, str, Any]] = []  # the type is None if a value needs no conversion
    for one in definition.fields:
        name = schema.config.name_converter.from_field(one)
        own = one.resolve_type(type_definition=definition)
        if isinstance(own, internals.StrawberryMaybe):
            return  # Strawberry checks its nulls
        fields.append((name, one.python_name, None if needs_no_conversion(own, type_.fields[name]) else own))

    def build(kind: type, value: Mapping[str, Any], context: internals.InputContext) -> Any:
        made: dict[str, Any] = {**absent}
        for name, python_name, own in fields:
            if name in value:
                given = value[name]
                made[python_name] = given if own is None else context.convert(given, own, name)
        return kind(**made)

    definition.from_input = build
