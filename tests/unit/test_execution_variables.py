"""The fast path for variables accepts only what graphql-core accepts, with equal values."""

from typing import Any

import pytest
from graphql import OperationDefinitionNode, build_schema, parse

from app.execution import strawberry_internals as internals
from app.execution.variables import acceptor

SCHEMA = build_schema("type Query { a(ids: [ID!], more: [[ID!]!], maybe: [ID], n: [Int!]!, s: String): ID }")
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


def operation_of(type_: str) -> OperationDefinitionNode:
    definition = parse(f"query ($v: {type_}) {{ a(n: []) }}").definitions[0]
    assert isinstance(definition, OperationDefinitionNode)
    return definition


@pytest.mark.parametrize("type_", ["[ID!]", "[ID!]!", "[ID]", "[Int!]!", "[[ID!]!]", "ID", "Boolean! = true"])
@pytest.mark.parametrize("value", [*VALUES, ...], ids=repr)
def test_the_fast_path_equals_graphql_core(type_: str, value: Any) -> None:
    operation, inputs = operation_of(type_), {} if value is ... else {"v": value}
    found = acceptor(SCHEMA, operation)(inputs, True)
    wanted = internals.coerced(SCHEMA, operation, inputs, True)
    if isinstance(wanted, list):
        assert isinstance(found, list)
        assert [error.message for error in found] == [error.message for error in wanted]
    else:
        assert not isinstance(found, list)
        assert found.coerced == wanted.coerced


def test_lists_of_ids_use_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = acceptor(SCHEMA, operation_of("[ID!]!"))
    monkeypatch.setattr(internals, "coerced", None)
    found = accept({"v": ["a", "b"]}, True)
    assert not isinstance(found, list)
    assert found.coerced == {"v": ["a", "b"]}
