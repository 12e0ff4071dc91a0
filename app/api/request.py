"""Parses one GraphQL request over HTTP and checks its shape, not its meaning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from msgspec import Struct, field

from app.api import strict_json
from app.api.problems import RequestRefused

_TEXT_FIELDS: Final = ("query", "operationName", "documentId", "id", "doc_id")
_MAP_FIELDS: Final = ("variables", "extensions")
_KINDS: Final[Mapping[str, type]] = {**dict.fromkeys(_TEXT_FIELDS, str), **dict.fromkeys(_MAP_FIELDS, dict)}
_ABSENT: Final = dict.fromkeys(_KINDS)
_PLAIN: Final = {"query", "operationName", "variables"}
_TEXT: Final = frozenset({str, type(None)})
_MAP: Final = frozenset({dict, type(None)})
_ID_FIELDS: Final = ("documentId", "doc_id", "id")


class GraphQLRequest(Struct):  # created in C, without a Python call: one per request
    """`document_id` is the client's name for the document; `documents` interprets it."""

    query: str | None
    operation_name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)
    document_id: str | None = None
    is_get: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Several requests in one body. A malformed item is represented by its error."""

    items: Sequence[GraphQLRequest | RequestRefused]


def from_body(raw: bytes, *, max_depth: int, document_id: str | None = None) -> GraphQLRequest | Batch:
    """Read a POST body; raises RequestRefused. `document_id` is the id in the path, if any."""
    try:
        value = strict_json.loads(raw, max_depth=max_depth)
    except strict_json.NotStrictJson as fault:
        raise _not_json(fault, max_depth) from None
    if document_id is not None and isinstance(value, dict):
        value = named_once(value, document_id)
    if value.__class__ is list:
        if document_id is not None:
            raise RequestRefused("BAD_REQUEST", "A batch must name its documents individually.")
        return Batch([_item(item) for item in value])
    return from_members(value)


def decoded(raw: bytes, *, max_depth: int) -> Any:
    """The JSON value of a body or a message; raises RequestRefused."""
    try:
        return strict_json.loads(raw, max_depth=max_depth)
    except strict_json.NotStrictJson as fault:
        raise _not_json(fault, max_depth) from None


def _not_json(fault: strict_json.NotStrictJson, max_depth: int) -> RequestRefused:
    if isinstance(fault, strict_json.NestedTooDeep):
        return RequestRefused("VARIABLES_LIMIT", "The body is nested too deeply.", limit=max_depth)
    return RequestRefused("BAD_REQUEST", f"The body cannot be read: {fault}.")


def from_query_string(raw: bytes, *, max_depth: int, document_id: str | None = None) -> GraphQLRequest:
    """Read a GET request's parameters; raises RequestRefused. `variables` and `extensions` are JSON text."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise RequestRefused("BAD_REQUEST", "The query string cannot be read.") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RequestRefused("BAD_REQUEST", "A query parameter must not be sent twice.")
    members: dict[str, Any] = {name: found[name] for name in _TEXT_FIELDS if name in found}
    for name in _MAP_FIELDS:
        if found.get(name):
            members[name] = _decoded_parameter(name, found[name], max_depth)
    if document_id is not None:
        members = named_once(members, document_id)
    return from_members(members, is_get=True)


def from_members(value: Any, *, is_get: bool = False) -> GraphQLRequest:
    """Read a decoded request (body, batch item or WebSocket payload); raises RequestRefused."""
    if value.__class__ is not dict:
        raise RequestRefused("BAD_REQUEST", "A request must be a JSON object.")
    if value.keys() <= _PLAIN:  # most requests
        query, name, variables = value.get("query"), value.get("operationName"), value.get("variables")
        if query.__class__ is str and name.__class__ in _TEXT and variables.__class__ in _MAP:
            return GraphQLRequest(query, name or None, variables or {}, {}, None, is_get)
    given: dict[str, Any] = {**_ABSENT, **value}
    for name in _KINDS:
        one, kind = given[name], _KINDS[name]
        if one is not None and one.__class__ is not kind:
            what = "a string" if kind is str else "an object"
            raise RequestRefused("BAD_REQUEST", f"The member {name} must be {what}.")
    document_id: str | None = None
    for name in _ID_FIELDS:
        if given[name] is not None:
            if document_id is not None:
                raise RequestRefused("BAD_REQUEST", "The document is named twice.")
            document_id = given[name]
    return GraphQLRequest(
        query=given["query"],
        operation_name=given["operationName"] or None,
        variables=given["variables"] or {},
        extensions=given["extensions"] or {},
        document_id=document_id,
        is_get=is_get,
    )


def named_once(members: dict[str, Any], document_id: str) -> dict[str, Any]:
    """Add the path's document id to the request's members; raises RequestRefused if they already name a document."""
    if any(members.get(name) is not None for name in _ID_FIELDS):
        raise RequestRefused("BAD_REQUEST", "The document is named twice.")
    return {**members, "documentId": document_id}


def _decoded_parameter(name: str, text: str, max_depth: int) -> Any:
    try:
        return strict_json.loads(text.encode(), max_depth=max_depth)
    except (strict_json.NotStrictJson, UnicodeEncodeError):
        raise RequestRefused("BAD_REQUEST", f"The parameter {name} is not JSON.") from None


def _item(value: Any) -> GraphQLRequest | RequestRefused:
    try:
        return from_members(value)
    except RequestRefused as refused:
        return refused
