"""The fast path for variables accepts only what graphql-core accepts, with equal values."""

from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse

from app.execution import strawberry_internals as internals
from app.execution.variables import acceptor

SCHEMA = build_schema("""
    type Query { a(ids: [ID!], more: [[ID!]!], maybe: [ID], n: [Int!]!, s: String, o: Outer, one: One, tree: Tree): ID }
    enum Colour { RED GREEN }
    input Inner { n: Int! = 3, colour: Colour, ratio: Float }
    input Outer { id: ID!, inner: Inner, inners: [Inner!], flag: Boolean = null, names: [String!]! = ["a"] }
    input One @oneOf { id: ID, n: Int }
    input Tree { below: Tree }
""")
VALUES: list[Any] = [
    [],
    ["a", "b"],
    ["a", None],
    ["a", 1],
    [1, 2],
    [1, True],
    [2**31],
    [1.0],
    "a",
    7,
    None,
    [["a"]],
    ("a",),
    {"a": 1},
]
OBJECTS: list[tuple[str, Any]] = [
    ("Outer!", {"id": "a"}),
    ("Outer", {"id": "a", "inner": None, "inners": None, "flag": True, "names": ["b"]}),
    ("Outer!", {"names": [], "inner": {"colour": "RED", "ratio": 1}, "id": "a"}),
    ("Outer!", {"id": "a", "inners": [{"n": 1}, {}]}),
    ("Outer!", {"id": "a", "inners": {"n": 1}}),
    ("Outer!", {"id": 7}),
    ("Outer!", {"id": None}),
    ("Outer!", {}),
    ("Outer!", {"id": "a", "names": None}),
    ("Outer!", {"id": "a", "other": 1}),
    ("Outer!", {"id": "a", "inner": {"colour": "BLUE"}}),
    ("Outer!", {"id": "a", "inner": {"n": None}}),
    ("Outer!", {"id": "a", "inner": {"n": True, "ratio": "1"}}),
    ("Outer!", {"id": "a", "inner": []}),
    ("[Outer!]", [{"id": "a"}, {"id": "b"}]),
    ("One!", {"id": "a"}),
    ("One!", {"id": None}),
    ("One!", {"id": "a", "n": 1}),
    ("One!", {}),
    ("Tree", {"below": {"below": None}}),
]


def operation_of(type_: str) -> OperationDefinitionNode:
    definition = parse(f"query ($v: {type_}) {{ a(n: []) }}").definitions[0]
    assert isinstance(definition, OperationDefinitionNode)
    return definition


@pytest.mark.parametrize("type_", ["[ID!]", "[ID!]!", "[ID]", "[Int!]!", "[[ID!]!]", "ID", "Boolean! = true"])
@pytest.mark.parametrize("value", [*VALUES, ...], ids=repr)
def test_the_fast_path_equals_graphql_core(type_: str, value: Any) -> None:
    _compare(type_, value)


@pytest.mark.parametrize(("type_", "value"), OBJECTS, ids=repr)
def test_input_objects_are_those_of_graphql_core(type_: str, value: Any) -> None:
    _compare(type_, value)


def test_usual_input_objects_use_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = acceptor(SCHEMA, operation_of("Outer!"))
    monkeypatch.setattr(internals, "coerced", None)
    found = accept({"v": {"id": "a", "inner": {"colour": "RED"}}}, True)
    assert not isinstance(found, list)
    assert found.coerced == {"v": {"id": "a", "inner": {"n": 3, "colour": "RED"}, "flag": None, "names": ["a"]}}


def _compare(type_: str, value: Any) -> None:
    operation, inputs = operation_of(type_), {} if value is ... else {"v": value}
    found = acceptor(SCHEMA, operation)(inputs, True)
    wanted = internals.coerced(SCHEMA, operation, inputs, True)
    if isinstance(wanted, list):
        assert isinstance(found, list)
        assert [error.message for error in found] == [error.message for error in wanted]
    else:
        assert not isinstance(found, list)
        assert found.coerced == wanted.coerced
        given = {name: (one.signature.name, one.value) for name, one in wanted.sources.items()}
        assert {name: (one.signature.name, one.value) for name, one in found.sources.items()} == given


def test_lists_of_ids_use_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = acceptor(SCHEMA, operation_of("[ID!]!"))
    monkeypatch.setattr(internals, "coerced", None)
    found = accept({"v": ["a", "b"]}, True)
    assert not isinstance(found, list)
    assert found.coerced == {"v": ["a", "b"]}
