"""Pure rules of tools: outcome of a write, idempotency keys, names."""

from types import SimpleNamespace
from typing import Any

import pytest
from graphql import build_schema

from app.api.documents.described import DescribedDocument, DescribedGraph
from app.api.mcp.tools import AgentTool, tools_of
from app.execution.documents import Document, DocumentCache
from app.store.records import OperationState
from app.wallet.commands import WriteResult
from app.wallet.problems import ProblemCode, WriteProblem
from resolvers.scalars import JSON_SCHEMAS
from resolvers.schema import print_sdl

SDL = print_sdl()
GRAPH = DescribedGraph(SDL, JSON_SCHEMAS)
DOCUMENTS = DocumentCache(build_schema(SDL), max_bytes=0, max_tokens=4000, suggest=False)
SELECTED = "operation { id state } userErrors { code message }"
DELETE = f"mutation Delete($input: DeletePaymentMethodInput!) {{ deletePaymentMethod(input: $input) {{ {SELECTED} }} }}"
TWO = (
    "mutation Two($a: DeletePaymentMethodInput!, $key: IdempotencyKey, $on: Boolean!) {"
    f" one: deletePaymentMethod(input: $a) @include(if: $on) {{ {SELECTED} }}"
    f' two: deletePaymentMethod(input: {{id: "x", idempotencyKey: $key}}) {{ {SELECTED} }} }}'
)


class Published:
    def __init__(self, text: str, document_id: str = "id", version: int = 1, for_agents: bool = True) -> None:
        self.document_id, self.version, self.for_agents = document_id, version, for_agents
        self.document: Document = DOCUMENTS.prepare(text)
        assert not self.document.errors, self.document.errors


def described(text: str) -> DescribedDocument:
    (found,) = GRAPH.describe([Published(text)])
    return found


def tool(text: str) -> AgentTool:
    return AgentTool(described(text), frozenset({"payment_methods:write"}))


def error(code: str, *path: str) -> dict[str, Any]:
    return {"message": "m", "extensions": {"code": code}, **({"path": [*path]} if path else {})}


def write(state: str | None, *codes: str) -> WriteResult:
    operation: Any = None if state is None else SimpleNamespace(id="op", state=OperationState(state))
    return WriteResult(operation=operation, problems=tuple(WriteProblem(ProblemCode(code), "m") for code in codes))


BOTH = {"one": {}, "two": {}}
FULL = error("RESPONSE_TOO_LARGE", "two")
NULL = {"one": {}, "two": None}


@pytest.mark.parametrize(
    ("writes", "body", "outcome", "is_error"),
    [
        ({"one": write("SUCCEEDED"), "two": write("SUCCEEDED")}, {"data": BOTH}, "SUCCEEDED", False),
        ({"two": write("SUCCEEDED")}, {"data": {"two": {}}}, "SUCCEEDED", False),
        ({"two": write("PENDING")}, {"data": {"two": {}}}, "PENDING", False),
        ({"two": write("PARTIAL", "PROVIDER_TIMEOUT")}, {"data": {"two": {}}}, "PARTIAL", True),
        ({"one": write("SUCCEEDED"), "two": write("FAILED", "DECLINED")}, {"data": BOTH}, "PARTIAL", True),
        ({"one": write("SUCCEEDED"), "two": write("UNKNOWN", "OUTCOME_UNKNOWN")}, {"data": BOTH}, "UNKNOWN", True),
        ({"two": write(None, "NOT_FOUND")}, {"data": {"two": {}}}, "FAILED", True),
        ({"two": write(None)}, {"data": {"two": {}}}, "SUCCEEDED", False),
        ({"two": write(None, "IDEMPOTENCY_IN_PROGRESS")}, {"data": {"two": {}}}, "PENDING", True),
        ({"two": write(None, "OUTCOME_UNKNOWN")}, {"data": {"two": {}}}, "UNKNOWN", True),
        ({"two": write(None, "STORE_UNAVAILABLE")}, {"data": {"two": {}}}, "UNKNOWN", True),
        ({"two": None}, {"data": {"two": None}, "errors": [error("INTERNAL_SERVER_ERROR", "two")]}, "UNKNOWN", True),
        ({}, {"data": {"two": None}, "errors": [error("FORBIDDEN", "two")]}, "FAILED", True),
        ({}, {"data": {"two": None}, "errors": [error("A_NEW_CODE", "two")]}, "UNKNOWN", True),
        ({}, {"errors": [error("BAD_USER_INPUT")]}, "FAILED", True),
        ({}, {"data": None, "errors": [error("INTERNAL_SERVER_ERROR", "two")]}, "UNKNOWN", True),
        ({}, {"data": {}}, "SUCCEEDED", False),
        # The field ran, and its part of the response could not be shown.
        (
            {"two": write("SUCCEEDED")},
            {"data": {"two": None}, "errors": [error("RESPONSE_TOO_LARGE", "two")]},
            "SUCCEEDED",
            True,
        ),
        # The first field ran, and the response was full before the second one.
        ({"one": write("SUCCEEDED")}, {"data": NULL, "errors": [FULL]}, "PARTIAL", True),
    ],
)
def test_the_outcome_of_a_write(
    writes: dict[str, WriteResult | None], body: dict[str, Any], outcome: str, is_error: bool
) -> None:
    result, is_failure = tool(TWO).result(body, "key", writes)
    assert (result["outcome"], is_failure, result["idempotencyKey"]) == (outcome, is_error, "key")
    journalled = [(name, one.operation.state.value) for name, one in writes.items() if one and one.operation]
    assert [(one["field"], one["state"]) for one in result["operations"]] == journalled


@pytest.mark.parametrize(
    ("writes", "body", "outcome"),
    [
        ({}, {"data": {"two": None}, "errors": [error("FORBIDDEN", "two")]}, "UNKNOWN"),
        ({}, {"errors": [error("BAD_USER_INPUT")]}, "UNKNOWN"),
        ({"one": write("SUCCEEDED")}, {"data": NULL, "errors": [FULL]}, "UNKNOWN"),
        ({"two": write("FAILED", "DECLINED")}, {"data": {"two": {}}}, "FAILED"),
        ({"two": write(None, "NOT_FOUND")}, {"data": {"two": {}}}, "FAILED"),
    ],
)
def test_a_repeat_that_did_not_run_says_nothing_about_the_call_before(
    writes: dict[str, WriteResult | None], body: dict[str, Any], outcome: str
) -> None:
    result, is_failure = tool(TWO).result(body, "key", writes, is_repeat=True)
    assert (result["outcome"], is_failure) == (outcome, True)


def test_keys_are_put_where_the_variables_have_them() -> None:
    made = tool(TWO)
    assert made.key_paths == [("a", "idempotencyKey"), ("key",)]
    arguments = {"a": {"id": "pm"}, "on": True}
    assert made.variables(arguments, "k") == {"a": {"id": "pm", "idempotencyKey": "k"}, "on": True, "key": "k.1"}
    assert arguments == {"a": {"id": "pm"}, "on": True}
    assert made.variables({"on": False}, "k") == {"on": False, "key": "k.1"}
    assert [*made.input_schema["properties"]] == ["a", "on"]
    query = tool("query Q { viewer { partner } }")
    assert (query.variables({}, "k"), query.result({"data": {}}, "k")) == ({}, ({"data": {}}, False))


def test_a_default_of_the_document_does_not_give_every_call_the_same_key() -> None:
    made = tool(
        'mutation D($key: IdempotencyKey! = "fixed-1", '
        '$a: DeletePaymentMethodInput! = {id: "x", idempotencyKey: "fixed-2"}, '
        '$b: DeletePaymentMethodInput! = {id: "x"}) {'
        f" one: deletePaymentMethod(input: $a) {{ {SELECTED} }} two: deletePaymentMethod(input: $b) {{ {SELECTED} }}"
        f' three: deletePaymentMethod(input: {{id: "y", idempotencyKey: $key}}) {{ {SELECTED} }} }}'
    )
    properties = made.input_schema["properties"]
    assert {name: one["default"] for name, one in properties.items()} == {"a": {"id": "x"}, "b": {"id": "x"}}
    for arguments in ({}, {"a": {"id": "x"}}, {"a": {"id": "x"}, "b": {"id": "x"}}):
        assert made.check.faults(arguments) == []
        assert made.variables(arguments, "k") == {
            "key": "k",
            "a": {"id": "x", "idempotencyKey": "k.1"},
            "b": {"id": "x", "idempotencyKey": "k.2"},
        }


def test_names_are_unique_short_and_stable() -> None:
    name, long = "query A { viewer { partner } }", f"query {'B' * 80} {{ viewer {{ partner }} }}"
    old, new = Published(name, "old", 1), Published(name, "new", 2)
    first = {
        one.name: one.document_id
        for one in GRAPH.describe([old, new, Published(long, "long"), Published("{ viewer { partner } }", "bare")])
    }
    assert first["A"] == "new"
    assert set(first.values()) == {"old", "new", "long", "bare"}
    assert max(map(len, first)) == 64
    again = {one.name: one.document_id for one in GRAPH.describe([new, old])}
    assert again.items() <= first.items()


def test_only_queries_and_mutations_for_agents_are_tools() -> None:
    found = GRAPH.describe(
        [
            Published(DELETE, "yes"),
            Published(DELETE.replace("Delete(", "Other("), "no", for_agents=False),
            Published('subscription S { operationUpdated(id: "op") { id } }', "stream"),
            Published("query Q { viewer { partner } }", "query", for_agents=False),
        ]
    )
    assert [*tools_of(found, frozenset({"payment_methods:write", "payment_methods:read"}))] == ["Delete", "Q"]
    assert [*tools_of(found, frozenset())] == ["Q"]
