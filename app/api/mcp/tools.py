"""Tools from published documents: names, schemas, annotations; arguments to variables; a response to a result.

Source: https://modelcontextprotocol.io/specification/2026-07-28/server/tools
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from graphql import GraphQLInputObjectType, GraphQLNonNull, get_named_type, value_from_ast_untyped

from app.api.documents.described import DescribedDocument
from app.api.documents.json_schema import JsonSchema, nullable
from app.api.mcp.arguments import ArgumentCheck
from app.wallet.commands import WriteResult
from app.wallet.problems import ProblemCode

KEY: Final = "IdempotencyKey"
RETRY_WITH_KEY: Final = "vaultgraph/idempotencyKey"
"""The member of a call's `_meta` that repeats a write with the key of an earlier call."""

# What the first word of a mutation's name says. All others may destroy or move something: deletes, captures, updates.
_ADDITIVE: Final = ("add", "create", "import", "link", "open", "quote", "set")
_UPPER: Final = re.compile("[A-Z]")
_NOTHING_RAN: Final = frozenset({"BAD_USER_INPUT", "FORBIDDEN", "PAN_NOT_ALLOWED", "RESPONSE_TOO_LARGE"})
"""Codes of a root field that did not run."""
_UNDECIDED: Final = frozenset({ProblemCode.OUTCOME_UNKNOWN, ProblemCode.STORE_UNAVAILABLE})
"""Without the store it is not known what an earlier call with the key did, nor whether this one was committed."""
_OUTCOMES: Final = ("SUCCEEDED", "PENDING", "PARTIAL", "FAILED", "UNKNOWN")
_FAILURES: Final = ("FAILED", "PARTIAL", "UNKNOWN")
Writes = Mapping[str, WriteResult | None]
"""Results of root fields that ran, by their keys in the response; None for one that raised."""
NO_WRITES: Final[Writes] = {}
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
            properties["operations"] = {"type": "array", "items": _OPERATION, "description": _OPERATIONS}
            properties["idempotencyKey"] = {"type": "string", "description": _KEY_RETURNED}
        required = ["data", "outcome", "operations"] if self.is_write else ["data"]
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

    @cached_property
    def _defaults(self) -> Mapping[str, Any]:
        """The document's defaults of variables that are objects."""
        found = {
            one.variable.name.value: value_from_ast_untyped(one.default_value)
            for one in self.document.operation.variable_definitions or ()
            if one.default_value is not None
        }
        return {name: value for name, value in found.items() if isinstance(value, Mapping)}

    def variables(self, arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
        """The arguments with idempotency keys: `key`, and for further ones in the same call `key.1`, `key.2`."""
        made = dict(arguments)
        for number, path in enumerate(self.key_paths):
            if path[0] in self._defaults:  # else the key of the document's default would be every call's
                made.setdefault(path[0], self._defaults[path[0]])
            _put(made, path, key if number == 0 else f"{key}.{number}")
        return made

    def result(
        self,
        body: Mapping[str, Any],
        key: Any = None,
        writes: Writes = NO_WRITES,
        outcome: str | None = None,
        *,
        is_repeat: bool = False,
    ) -> tuple[dict[str, Any], bool]:
        """The structured content, and whether an agent must not take it for done. `body` is the response, to which a
        write adds its key, its operations, and its outcome: the given one, else that of `writes`. `is_repeat`: an
        earlier call had the key, so that a field that did not run now may have been applied then.
        """
        made = {"data": None, **body}
        is_error = bool(body.get("errors"))
        if self.is_write:
            made["outcome"] = outcome = outcome or self._outcome(made, writes, is_repeat)
            journalled = {name: one.operation for name, one in writes.items() if one is not None}
            made["operations"] = [
                {"field": name, "id": one.id, "state": one.state.value} for name, one in journalled.items() if one
            ]
            if self.key_paths and isinstance(key, str):
                made["idempotencyKey"] = key
            is_error = (
                is_error or outcome in _FAILURES or any(one is not None and one.problems for one in writes.values())
            )
        return made, is_error

    def _outcome(self, body: Mapping[str, Any], writes: Writes, is_repeat: bool) -> str:
        """The state of all writes of the call."""
        not_run = "UNKNOWN" if is_repeat else "FAILED"
        found = {"UNKNOWN" if one is None else _state(one) for one in writes.values()}
        codes = {
            error["path"][0]: error["extensions"].get("code") for error in body.get("errors", ()) if error.get("path")
        }
        for root in self.document.roots:
            if root.key in codes and root.key not in writes and (body["data"] or {}).get(root.key) is None:
                found.add(not_run if codes[root.key] in _NOTHING_RAN else "UNKNOWN")
        for state in ("UNKNOWN", "PENDING"):
            if state in found:
                return state
        if len(found) > 1:
            return "PARTIAL"
        if found:
            return found.pop()
        return "SUCCEEDED" if body["data"] is not None else not_run  # a variable left out every field; nothing ran


def tools_of(documents: Iterable[DescribedDocument], scopes: frozenset[str]) -> dict[str, AgentTool]:
    """By name: queries, and the mutations that were published for agents, if these scopes suffice."""
    return {
        one.name: AgentTool(one, scopes)
        for one in documents
        if (one.kind == "query" or (one.kind == "mutation" and one.for_agents)) and one.allows(scopes)
    }


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
_OPERATION: Final[JsonSchema] = {
    "type": "object",
    "properties": {
        "field": {"type": "string", "description": "The field of `data`."},
        "id": {"type": "string"},
        "state": {"type": "string", "enum": [*_OUTCOMES]},
    },
    "required": ["field", "id", "state"],
}
_OPERATIONS: Final = "The operations in the journal. Empty if the call was refused before."
_OUTCOME: Final = (
    "SUCCEEDED: applied. FAILED: not applied. PARTIAL: applied in part. PENDING, UNKNOWN: it may have been applied: ask"
    " for the operation by its id, or repeat the call with the same key; never repeat it with another one."
)
_KEY_RETURNED: Final = (
    f"The idempotency key of this call. To repeat the same write, send it in `_meta`, as {RETRY_WITH_KEY}."
)


def _state(write: WriteResult) -> str:
    if write.operation is not None:
        return str(write.operation.state.value)
    codes = {one.code for one in write.problems}
    if not codes.isdisjoint(_UNDECIDED):
        return "UNKNOWN"
    if ProblemCode.IDEMPOTENCY_IN_PROGRESS in codes:
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
