"""Prepared builders of input objects make what Strawberry makes."""

from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import GraphQLInputObjectType
from strawberry.relay import GlobalID
from strawberry.types.arguments import convert_argument

from app.execution import strawberry_internals as internals
from app.execution.inputs import prepare_inputs
from resolvers.schema import schema as wallet_schema


@strawberry.enum
class Colour(Enum):
    RED = "red"


@strawberry.input
class Inner:
    colour_name: Colour | None
    tags: list[str] = strawberry.field(default_factory=lambda: ["x"])
    node: GlobalID | None = None


@strawberry.input
class Outer:
    first_id: strawberry.ID = strawberry.field(name="theId")
    inner: Inner | None = strawberry.UNSET
    inners: list[Inner] | None = None
    note: str | None


@strawberry.input
class WithMaybe:
    note: strawberry.Maybe[str]


def new_schema() -> strawberry.Schema:
    @strawberry.type
    class Query:
        @strawberry.field
        def a(self, given: Outer, other: WithMaybe) -> str:
            return ""

    return strawberry.Schema(query=Query)


def _convert(schema: strawberry.Schema, value: Any, kind: type) -> Any:
    return convert_argument(value, kind, schema.schema_converter.scalar_registry, schema.config)


@pytest.mark.parametrize(
    "value",
    [
        {"theId": "a"},
        {"theId": "a", "inner": None, "inners": [], "note": None},
        {"theId": "a", "inner": {"colourName": Colour.RED, "tags": ["a", "b"]}},
        {"theId": "a", "inners": [{"colourName": None}, {"node": "VXNlcjox"}], "note": "n"},
    ],
)
def test_a_prepared_builder_equals_strawberry(value: dict[str, Any]) -> None:
    schema = new_schema()
    before = _convert(schema, value, Outer)
    prepare_inputs(schema)
    definitions = [Outer.__strawberry_definition__, Inner.__strawberry_definition__]  # type: ignore[attr-defined]
    assert all(one.from_input is not None for one in definitions)
    try:
        assert _convert(schema, value, Outer) == before
    finally:
        for one in definitions:
            one.from_input = None


def test_maybe_is_left_to_strawberry() -> None:
    prepare_inputs(new_schema())
    assert WithMaybe.__strawberry_definition__.from_input is None  # type: ignore[attr-defined]


def test_every_input_of_the_graph_is_prepared() -> None:
    inputs = [one for one in wallet_schema._schema.type_map.values() if isinstance(one, GraphQLInputObjectType)]
    definitions = [internals.definition_of(one) for one in inputs]
    assert definitions
    assert all(one is not None and one.from_input is not None for one in definitions)
