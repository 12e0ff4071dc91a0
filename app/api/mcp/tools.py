"""Tools from published documents: names, schemas, annotations; arguments to variables; a response to a result.

Source: https://modelcontextprotocol.io/specification/2026-07-28/server/tools
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from graphql import GraphQLInputObjectType, GraphQLNonNull, get_named_type

from app.api.documents.described import DescribedDocument
from app.api.documents.json_schema import JsonSchema, nullable
from app.api.mcp.arguments import ArgumentCheck

KEY: Final = "IdempotencyKey"
RETRY_WITH_KEY: Final = "vaultgraph/idempotencyKey"
"""The member of a call's `_meta` that repeats a write with the key of an earlier call."""

# What the first word of a mutation's name says. All others may destroy or move something: deletes, captures, updates.
_ADDITIVE: Final = ("add", "create", "import", "link", "open", "quote", "set")
_UPPER: Final = re.compile("[A-Z]")
_NOTHING_RAN: Final = frozenset({"BAD_USER_INPUT", "FORBIDDEN", "PAN_NOT_ALLOWED"})
_OUTCOMES: Final = ("SUCCEEDED", "PENDING", "PARTIAL", "FAILED", "UNKNOWN")
_Path = tuple[str, ...]


@dataclass(frozen=True)
class AgentTool:
    """One document as a tool of callers with these scopes."""

    document: DescribedDocument
    scopes: frozenset[str]

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def is_write(self) -> bool:
        return self.document.kind == "mutation"

    @cached_property
    def input_schema(self) -> JsonSchema:
        made = self.document.schemas(self.scopes, without=frozenset({KEY}))
        found = made.variables(self.document.operation, self.document.document.fragments)
        return {**found, "$defs": made.definitions} if made.definitions else found

    @cached_property
    def output_schema(self) -> JsonSchema:
        made = self.document.schemas(self.scopes)
        data = made.data(self.document.operation, self.document.document.fragments)
        properties: JsonSchema = {
            "data": nullable(data),
            "errors": {"type": "array", "items": _ERROR, "description": "Fields of `data` that are null, and why."},
            "extensions": {"type": "object", "description": "Request id, cost, vaults that did not answer."},
        }
        if self.is_write:
            properties["outcome"] = {"type": "string", "enum": [*_OUTCOMES], "description": _OUTCOME}
            properties["idempotencyKey"] = {"type": "string", "description": _KEY_RETURNED}
        required = ["data", "outcome"] if self.is_write else ["data"]
        found: JsonSchema = {"type": "object", "properties": properties, "required": required}
        return {**found, "$defs": made.definitions} if made.definitions else found

    @property
    def annotations(self) -> dict[str, bool]:
        """Hints from the schema. A write is idempotent if the graph does not require a key for it: the server sends a
        new key with each call, so that a repeated call is a new write.
        """
        if not self.is_write:
            return {"readOnlyHint": True, "openWorldHint": False}
        roots = self.document.roots
        return {
            "readOnlyHint": False,
            "destructiveHint": not all(_UPPER.split(one.name)[0] in _ADDITIVE for one in roots),
            "idempotentHint": all(any(_key_is_optional(arg.type) for arg in one.field.args.values()) for one in roots),
            "openWorldHint": False,
        }

    @cached_property
    def check(self) -> ArgumentCheck:
        return ArgumentCheck(self.input_schema)

    @cached_property
    def key_paths(self) -> Sequence[_Path]:
        """Where the variables hold idempotency keys."""
        return [*self.document.paths_to(KEY)]

    def variables(self, arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
        """The arguments with idempotency keys: `key`, and for further ones in the same call `key.1`, `key.2`."""
        made = dict(arguments)
        for number, path in enumerate(self.key_paths):
            _put(made, path, key if number == 0 else f"{key}.{number}")
        return made

    def result(self, body: Mapping[str, Any], key: Any, outcome: str | None = None) -> dict[str, Any]:
        """The structured content: the response, and for a write its key and its outcome, if not given, from `body`."""
        made = {"data": None, **body}
        if self.is_write:
            made["outcome"] = outcome or self._outcome(made)
            if self.key_paths and isinstance(key, str):
                made["idempotencyKey"] = key
        return made

    def _outcome(self, body: Mapping[str, Any]) -> str:
        """The state of all writes of the call."""
        codes = {
            error["path"][0]: error["extensions"].get("code") for error in body.get("errors", ()) if error.get("path")
        }
        data = body["data"]
        if data is None:
            return "FAILED" if not codes else "UNKNOWN"
        found = {_state(data[one.key], codes.get(one.key)) for one in self.document.roots if one.key in data}
        for state in ("UNKNOWN", "PENDING"):
            if state in found:
                return state
        if len(found) > 1:
            return "PARTIAL"
        return found.pop() if found else "SUCCEEDED"  # a variable left out every field


def tools_of(documents: Iterable[DescribedDocument], scopes: frozenset[str]) -> dict[str, AgentTool]:
    """By name: queries, and the mutations that were published for agents, if these scopes suffice."""
    return {
        one.name: AgentTool(one, scopes)
        for one in documents
        if (one.kind == "query" or (one.kind == "mutation" and one.for_agents)) and one.allows(scopes)
    }


def has_failed(result: Mapping[str, Any]) -> bool:
    """True if an agent must not take the result for done."""
    if result.get("errors") or result.get("outcome") in ("FAILED", "PARTIAL", "UNKNOWN"):
        return True
    payloads = (result["data"] or {}).values() if "outcome" in result else ()
    return any(isinstance(one, Mapping) and one.get("userErrors") for one in payloads)


def lacking(document: DescribedDocument) -> list[str]:
    """What a mutation must select for agents and does not, as `field: selection`."""
    made = document.schemas(None)
    data = made.data(document.operation, document.document.fragments)["properties"]
    found = []
    for root in document.roots:
        payloads = [*_objects(data[root.key])]
        if not all(_selects(one, "operation", "id") and _selects(one, "operation", "state") for one in payloads):
            found.append(f"{root.name}: operation {{ id state }}")
        if not all(_selects(one, "userErrors", "code") for one in payloads):
            found.append(f"{root.name}: userErrors {{ code message }}")
    return found


# ---- details -------------------------------------------------------------------------------------------------

_ERROR: Final[JsonSchema] = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "path": {"type": "array", "items": {"type": ["string", "integer"]}},
        "extensions": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    },
    "required": ["message", "extensions"],
}
_OUTCOME: Final = (
    "SUCCEEDED: applied. FAILED: not applied. PARTIAL: applied in part. PENDING, UNKNOWN: it may have been applied: ask"
    " for the operation by its id, or repeat the call with the same key; never repeat it with another one."
)
_KEY_RETURNED: Final = (
    f"The idempotency key of this call. To repeat the same write, send it in `_meta`, as {RETRY_WITH_KEY}."
)


def _state(payload: Any, code: str | None) -> str:
    if payload is None:
        return "FAILED" if code in _NOTHING_RAN else "UNKNOWN"
    operation = payload.get("operation")
    if operation is not None:
        return str(operation.get("state", "UNKNOWN"))
    codes = {error.get("code") for error in payload.get("userErrors", ())}
    if "OUTCOME_UNKNOWN" in codes:
        return "UNKNOWN"
    if "IDEMPOTENCY_IN_PROGRESS" in codes:
        return "PENDING"
    return "FAILED" if codes else "SUCCEEDED"  # done without a journal, such as an opened form


def _put(values: dict[str, Any], path: _Path, key: str) -> None:
    name, *rest = path
    if not rest:
        values[name] = key
    elif isinstance(values.get(name), Mapping):
        values[name] = dict(values[name])
        _put(values[name], tuple(rest), key)


def _key_is_optional(kind: Any) -> bool:
    named = get_named_type(kind)
    fields = named.fields if isinstance(named, GraphQLInputObjectType) else {}
    return any(
        get_named_type(one.type).name == KEY and not isinstance(one.type, GraphQLNonNull) for one in fields.values()
    )


def _objects(schema: JsonSchema) -> Iterator[JsonSchema]:
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _objects(one)
    elif schema.get("type") == "array":
        yield from _objects(schema["items"])
    elif "properties" in schema:
        yield schema


def _selects(payload: JsonSchema, field: str, below: str) -> bool:
    inner = payload["properties"].get(field)
    return inner is not None and all(below in one["required"] for one in _objects(inner))
