"""JSON Schema of variables and responses, on a small schema; the scalars' patterns beside their parsers."""

from typing import Any

import pytest
from graphql import FragmentDefinitionNode, GraphQLError, OperationDefinitionNode, build_schema, parse
from jsonschema import Draft202012Validator

from app.api.documents.described import DescribedGraph
from app.api.documents.json_schema import JsonSchemas
from resolvers.scalars import JSON_SCHEMAS, SCALARS
from resolvers.schema import print_sdl, schema

SDL = """
scalar Last4
enum Color { "As blood." RED GREEN }
input Leaf { a: Int! b: [Color!] = [RED], text: String = "x", secret: Last4 }
"A tree."
input Tree { "Its name." name: String! leaf: Leaf! children: [Tree!] }
input Choice @oneOf { id: ID tree: Tree }
interface Animal { name: String! }
type Cat implements Animal { name: String! lives: Int! color: Color friends: [Animal] }
type Dog implements Animal { name: String! good: Boolean }
union Pet = Cat | Dog
type Query {
  "Finds a pet."
  pet("Which one." id: ID!, tree: Tree, choice: Choice, count: Int! = 3, last4: Last4): Pet
  animal: Animal!
  cats(id: ID): [Cat!]!
  number: Float
}
"""
GRAPH = build_schema(SDL)
ID_ONLY = {"type": "object", "properties": {}, "additionalProperties": False}


def parts(text: str) -> tuple[OperationDefinitionNode, dict[str, FragmentDefinitionNode]]:
    operation, *fragments = parse(text).definitions
    return operation, {one.name.value: one for one in fragments}  # type: ignore[return-value,attr-defined]


def variables(text: str, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    made = JsonSchemas(GRAPH, JSON_SCHEMAS, **options)
    found = made.variables(*parts(text))
    assert Draft202012Validator.check_schema({**found, "$defs": made.definitions}) is None
    return found, made.definitions


def data(text: str) -> dict[str, Any]:
    made = JsonSchemas(GRAPH, JSON_SCHEMAS)
    found = {**made.data(*parts(text)), "$defs": made.definitions}
    Draft202012Validator.check_schema(found)
    return found


def fits(found: dict[str, Any], value: Any) -> bool:
    return bool(Draft202012Validator(found).is_valid(value))


def test_variables_are_required_nullable_or_have_a_default() -> None:
    found, _ = variables(
        "query Q($id: ID!, $count: Int! = 4, $maybe: Float, $on: Boolean!)"
        " { pet(id: $id, count: $count) @include(if: $on) { __typename } number }"
    )
    assert found["required"] == ["id", "on"]
    assert found["properties"] == {
        "id": {"type": "string", "description": "Which one."},
        "count": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1, "default": 4},
        "maybe": {"type": ["number", "null"]},
        "on": {"type": "boolean", "description": "Included when true."},
    }
    assert found["additionalProperties"] is False


def test_input_objects_are_definitions_that_may_contain_themselves() -> None:
    found, definitions = variables("query Q($tree: Tree) { pet(id: 1, tree: $tree) { __typename } }")
    assert found["properties"]["tree"] == {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}
    assert definitions["Tree"]["properties"] == {
        "name": {"type": "string", "description": "Its name."},
        "leaf": {"$ref": "#/$defs/Leaf"},
        "children": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Tree"}}, {"type": "null"}]},
    }
    assert (definitions["Tree"]["required"], definitions["Tree"]["description"]) == (["name", "leaf"], "A tree.")
    leaf = definitions["Leaf"]
    assert leaf["required"] == ["a"]
    assert leaf["properties"]["b"]["default"] == ["RED"]
    assert leaf["properties"]["text"] == {"type": ["string", "null"], "default": "x"}
    assert definitions["Color"] == {"type": "string", "enum": ["RED", "GREEN"], "description": "RED: As blood."}
    whole = {**found, "$defs": definitions}
    assert fits(
        whole, {"tree": {"name": "a", "leaf": {"a": 1}, "children": [{"name": "b", "leaf": {"a": 2, "b": None}}]}}
    )
    assert not fits(whole, {"tree": {"name": "a", "leaf": {"a": 1, "b": ["BLUE"]}}})
    assert not fits(whole, {"tree": {"name": "a", "leaf": {"a": 1, "more": 1}}})


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ({"id": "a"}, True),
        ({}, False),
        ({"id": None}, False),
        ({"id": "a", "tree": None}, False),
        ({"other": 1}, False),
    ],
)
def test_one_of(value: Any, is_valid: bool) -> None:
    found, definitions = variables("query Q($choice: Choice!) { pet(id: 1, choice: $choice) { __typename } }")
    assert fits({**found, "$defs": definitions}, {"choice": value}) is is_valid


def test_hidden_types_and_fields_are_left_out() -> None:
    text = "query Q($key: Last4!, $leaf: Leaf) { pet(id: 1, last4: $key) { __typename } }"
    graph = DescribedGraph(SDL, JSON_SCHEMAS)
    made = graph.schemas(None, without=frozenset({"Last4"}))
    assert [*made.variables(*parts(text))["properties"]] == ["leaf"]
    assert [*made.definitions["Leaf"]["properties"]] == ["a", "b", "text"]


def test_a_response_has_the_selections_keys_and_nullability() -> None:
    found = data("{ one: pet(id: 1) { ... on Cat { lives } } cats { n: name color } number }")
    assert found["required"] == ["one", "cats", "number"]
    assert found["properties"]["cats"]["items"]["properties"] == {
        "n": {"type": "string"},
        "color": {"anyOf": [{"$ref": "#/$defs/Color"}, {"type": "null"}]},
    }
    assert fits(found, {"one": {"lives": 9}, "cats": [], "number": None})
    assert fits(found, {"one": {}, "cats": [{"n": "Tom", "color": None}], "number": 1.5})
    assert not fits(found, {"one": None, "cats": [None], "number": None})
    assert not fits(found, {"one": None, "cats": [{"n": "Tom"}], "number": None})


def test_each_type_of_a_union_or_interface_has_its_own_selection() -> None:
    found = data(
        "{ animal { ...A friend: name ... on Cat { friends { name } } } } fragment A on Animal { __typename name }"
    )
    animal = found["properties"]["animal"]["anyOf"]
    assert [one["properties"]["__typename"]["const"] for one in animal] == ["Cat", "Dog"]
    dog = {"__typename": "Dog", "name": "Rex", "friend": "Rex"}
    assert fits(found, {"animal": dog})
    assert not fits(found, {"animal": {**dog, "__typename": "Cat"}})
    assert fits(found, {"animal": {**dog, "__typename": "Cat", "friends": [{"name": "Rex"}, None]}})
    same = data("{ animal { name } }")["properties"]["animal"]
    assert same["properties"] == {"name": {"type": "string"}}


def test_include_and_skip_make_fields_optional() -> None:
    found = data(
        "query Q($a: Boolean!) { number @include(if: $a) always: number @skip(if: false) never: number @skip(if: true)"
        " cats { name } cats @skip(if: $a) { lives } ...F @include(if: $a) } fragment F on Query { animal { name } }"
    )
    assert found["required"] == ["always", "cats"]
    assert [*found["properties"]] == ["number", "always", "cats", "animal"]
    cat = found["properties"]["cats"]["items"]
    assert (cat["required"], [*cat["properties"]]) == (["name"], ["name", "lives"])
    assert found["properties"]["animal"]["required"] == ["name"]  # as present as the field itself


def test_descriptions_come_from_the_operation_or_from_what_takes_the_variable() -> None:
    found, _ = variables(
        'query Q("My own." $id: ID!, $name: String!) { pet(id: $id, tree: {name: $name}) { __typename } }'
    )
    assert [one["description"] for one in found["properties"].values()] == ["My own.", "Its name."]


def test_every_scalar_of_the_graph_has_a_schema() -> None:
    graph = build_schema(print_sdl(), assume_valid_sdl=True)
    names = {name for name, kind in graph.type_map.items() if type(kind).__name__ == "GraphQLScalarType"}
    assert names <= JSON_SCHEMAS.keys()


TEXTS = {
    "DateTime": ["2028-03-31T10:00:00Z", "2028-03-31t10:00:00.123+02:00"],
    "YearMonth": ["2028-03"],
    "Date": ["2028-03-31"],
    "Decimal": ["-12.50", "0"],
    "CurrencyCode": ["USD"],
    "CountryCode": ["US"],
    "URL": ["https://example.com/a?b=c"],
    "Last4": ["0042"],
    "IdempotencyKey": ["0123456789abcdef", "~" * 255],
    "SensitiveString": ["x"],
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_scalars_pattern_agrees_with_its_parser(name: str) -> None:
    parse_value = next(one.parse_value for one in SCALARS.values() if one.name == name)
    assert parse_value is not None
    for text in TEXTS[name]:
        parse_value(text)
        assert fits(dict(JSON_SCHEMAS[name]), text)
    for text in ("", "é", "2028-3", "12345", "usd", "http//x", "1e5", "x" * 3):
        if not fits(dict(JSON_SCHEMAS[name]), text):
            with pytest.raises(GraphQLError):
                parse_value(text)


def test_every_scalar_is_that_of_the_running_schema() -> None:
    assert {one.name for one in SCALARS.values()} == TEXTS.keys()
    assert all(name in schema._schema.type_map for name in TEXTS)
