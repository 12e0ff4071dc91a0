"""Pure rules of tools: outcome of a write, idempotency keys, names, what a mutation for agents must select."""

from typing import Any

import pytest
from graphql import build_schema

from app.api.documents.described import DescribedDocument, DescribedGraph
from app.api.mcp.tools import AgentTool, has_failed, lacking, tools_of
from app.execution.documents import Document, DocumentCache
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


def payload(state: str | None, *codes: str) -> dict[str, Any]:
    operation = None if state is None else {"id": "op", "state": state}
    return {"operation": operation, "userErrors": [{"code": code, "message": "m"} for code in codes]}


@pytest.mark.parametrize(
    ("body", "outcome", "is_failure"),
    [
        ({"data": {"one": payload("SUCCEEDED"), "two": payload("SUCCEEDED")}}, "SUCCEEDED", False),
        ({"data": {"two": payload("SUCCEEDED")}}, "SUCCEEDED", False),
        ({"data": {"two": payload("PENDING")}}, "PENDING", False),
        ({"data": {"two": payload("PARTIAL", "PROVIDER_TIMEOUT")}}, "PARTIAL", True),
        ({"data": {"one": payload("SUCCEEDED"), "two": payload("FAILED", "DECLINED")}}, "PARTIAL", True),
        ({"data": {"one": payload("SUCCEEDED"), "two": payload("UNKNOWN", "OUTCOME_UNKNOWN")}}, "UNKNOWN", True),
        ({"data": {"two": payload(None, "NOT_FOUND")}}, "FAILED", True),
        ({"data": {"two": payload(None)}}, "SUCCEEDED", False),
        ({"data": {"two": payload(None, "IDEMPOTENCY_IN_PROGRESS")}}, "PENDING", True),
        ({"data": {"two": payload(None, "OUTCOME_UNKNOWN")}}, "UNKNOWN", True),
        ({"data": {"two": None}, "errors": [error("FORBIDDEN", "two")]}, "FAILED", True),
        ({"data": {"two": None}, "errors": [error("INTERNAL_SERVER_ERROR", "two")]}, "UNKNOWN", True),
        ({"data": {"two": None}, "errors": [error("RESPONSE_TOO_LARGE", "two")]}, "UNKNOWN", True),
        ({"data": {"two": None}, "errors": [error("A_NEW_CODE", "two")]}, "UNKNOWN", True),
        ({"errors": [error("BAD_USER_INPUT")]}, "FAILED", True),
        ({"data": None, "errors": [error("INTERNAL_SERVER_ERROR", "two")]}, "UNKNOWN", True),
        ({"data": {"two": {"userErrors": []}}}, "SUCCEEDED", False),
        ({"data": {"two": {"operation": {"id": "op"}}}}, "UNKNOWN", True),
        ({"data": {}}, "SUCCEEDED", False),
    ],
)
def test_the_outcome_of_a_write(body: dict[str, Any], outcome: str, is_failure: bool) -> None:
    result = tool(TWO).result(body, "key")
    assert (result["outcome"], has_failed(result), result["idempotencyKey"]) == (outcome, is_failure, "key")


def test_keys_are_put_where_the_variables_have_them() -> None:
    made = tool(TWO)
    assert made.key_paths == [("a", "idempotencyKey"), ("key",)]
    arguments = {"a": {"id": "pm"}, "on": True}
    assert made.variables(arguments, "k") == {"a": {"id": "pm", "idempotencyKey": "k"}, "on": True, "key": "k.1"}
    assert arguments == {"a": {"id": "pm"}, "on": True}
    assert made.variables({"on": False}, "k") == {"on": False, "key": "k.1"}
    assert [*made.input_schema["properties"]] == ["a", "on"]
    query = tool("query Q { viewer { partner } }")
    assert (query.variables({}, "k"), query.result({"data": {}}, "k")) == ({}, {"data": {}})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (DELETE, []),
        (TWO, []),
        (DELETE.replace("id state", "id"), ["deletePaymentMethod: operation { id state }"]),
        (DELETE.replace("userErrors { code message }", ""), ["deletePaymentMethod: userErrors { code message }"]),
        (DELETE.replace("operation {", "op: operation {"), ["deletePaymentMethod: operation { id state }"]),
        (
            DELETE.replace(SELECTED, "...P") + f" fragment P on DeletePaymentMethodPayload {{ {SELECTED} }}",
            [],
        ),
    ],
)
def test_what_a_mutation_for_agents_must_select(text: str, found: list[str]) -> None:
    assert lacking(described(text)) == found


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
