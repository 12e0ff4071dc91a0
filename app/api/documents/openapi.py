"""OpenAPI 3.1 of published documents, as `GET` and `POST /graphql/{id}` serve them.

Source: https://spec.openapis.org/oas/v3.1.1
"""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from app.api.documents.described import DescribedDocument
from app.api.documents.json_schema import JsonSchema, nullable
from app.api.problems import PROBLEMS

_TEXT: Final[JsonSchema] = {"type": "string"}
_COMPONENTS: Final = "#/components/schemas/"
_JSON: Final = "application/json"
_GRAPHQL_JSON: Final = "application/graphql-response+json"
_REFUSALS: Final = (400, 401, 403, 404, 406, 408, 413, 415, 429, 431, 500, 503)
_BODY_ONLY: Final = (408, 413, 415)  # of requests with a body
_RETRY_AFTER: Final[JsonSchema] = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
_HEADERS: Final[dict[int, JsonSchema]] = {
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
    401: {"WWW-Authenticate": {"schema": _TEXT}},
}


def openapi(
    documents: Iterable[DescribedDocument],
    scopes: frozenset[str],
    *,
    title: str,
    version: str,
    server: str = "/",
) -> JsonSchema:
    """The description of those documents that these scopes allow. `documents` are in the order of their names."""
    shown = [one for one in documents if one.allows(scopes)]
    paths: dict[str, Any] = {}
    schemas: dict[str, JsonSchema] = {}
    for one in shown:
        made = one.schemas(scopes, prefix=_COMPONENTS)
        schemas[f"{one.name}.Variables"] = made.variables(one.operation, one.document.fragments)
        if one.kind != "subscription":
            schemas[f"{one.name}.Response"] = _response(made.data(one.operation, one.document.fragments))
        schemas |= made.definitions
        paths[f"/graphql/{quote(one.document_id, safe=':')}"] = _path(one, schemas[f"{one.name}.Variables"])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "description": "Published GraphQL documents over plain HTTP. Idempotency keys are variables, not headers.",
        },
        "servers": [{"url": server}],
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token, or an API key (vg_...)."},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
            "parameters": _PARAMETERS,
            "headers": _COMPONENT_HEADERS,
            "responses": {f"Refused{status}": _refused(status) for status in _REFUSALS},
            "schemas": {**_shared_schemas(), **dict(sorted(schemas.items()))},
        },
    }


def _path(one: DescribedDocument, variables: JsonSchema) -> JsonSchema:
    item: JsonSchema = {"parameters": [{"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS]}
    of_variables = {"$ref": f"{_COMPONENTS}{one.name}.Variables"}
    has_required = bool(variables.get("required"))
    if one.kind == "query":
        item["get"] = _operation(one, f"{one.name}_get")
        item["get"]["parameters"] = [{"name": "If-None-Match", "in": "header", "schema": _TEXT}]
        if variables["properties"]:
            text = {**_TEXT, "contentMediaType": _JSON, "contentSchema": of_variables}
            shown = {"name": "variables", "in": "query", "description": "The variables as JSON text."}
            item["get"]["parameters"].append({**shown, "required": has_required, "schema": text})
        item["get"]["responses"]["304"] = {"description": "The data is the same as that of `If-None-Match`."}
    body: JsonSchema = {"type": "object", "properties": {"variables": of_variables}}
    if has_required:
        body["required"] = ["variables"]
    item["post"] = _operation(one, one.name)
    item["post"]["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
    return item


def _operation(one: DescribedDocument, operation_id: str) -> JsonSchema:
    is_get = operation_id != one.name
    answer: JsonSchema = {
        "description": "The operation ran. `errors` names the fields that are null because they failed.",
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/XRequestId"}},
    }
    if one.kind == "subscription":
        answer["description"] = "The events, each a GraphQL response. Needs `Accept: text/event-stream`."
        answer["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    else:
        answer["content"] = _content(f"{one.name}.Response")
        if is_get:
            answer["headers"]["ETag"] = {"schema": _TEXT}
    refusals = [status for status in _REFUSALS if not (is_get and status in _BODY_ONLY)]
    made: JsonSchema = {
        "operationId": operation_id,
        "tags": [one.kind],
        "responses": {
            "200": answer,
            **{str(status): {"$ref": f"#/components/responses/Refused{status}"} for status in refusals},
        },
    }
    if one.description:
        made["description"] = one.description
    if one.needed:
        made["x-requires-scopes"] = [sorted(group) for group in one.needed]
    return made


def _response(data: JsonSchema) -> JsonSchema:
    return {
        "type": "object",
        "properties": {
            "data": nullable(data),
            "errors": {"type": "array", "items": {"$ref": f"{_COMPONENTS}GraphQLError"}},
            "extensions": {"$ref": f"{_COMPONENTS}ResponseExtensions"},
        },
        "required": ["extensions"],
    }


def _content(name: str) -> JsonSchema:
    schema = {"$ref": f"{_COMPONENTS}{name}"}
    return {_JSON: {"schema": schema}, _GRAPHQL_JSON: {"schema": schema}}


def _refused(status: int) -> JsonSchema:
    rows = [one for one in PROBLEMS.values() if one.status == status]
    shown = "\n".join(f"- {one.code}: {one.message}" for one in rows)
    headers = {"X-Request-Id": {"$ref": "#/components/headers/XRequestId"}, **_HEADERS.get(status, {})}
    return {"description": f"Nothing ran. Codes:\n{shown}", "headers": headers, "content": _content("Refusal")}


_PARAMETERS: Final[JsonSchema] = {
    "XRequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Your id of the request: 8 to 128 letters, digits, - and _. The response repeats it.",
        "schema": _TEXT,
    },
    "XDeadlineMs": {
        "name": "X-Deadline-Ms",
        "in": "header",
        "description": "How many milliseconds you wait; the gateway's own deadline still applies.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
_COMPONENT_HEADERS: Final[JsonSchema] = {
    "XRequestId": {"description": "The id of this request in the gateway's log.", "schema": _TEXT},
    "RetryAfter": {"description": "When to try again, in seconds.", "schema": {"type": "integer"}},
}


def _shared_schemas() -> dict[str, JsonSchema]:
    codes = [*PROBLEMS]
    return {
        "GraphQLError": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "path": {"type": "array", "items": {"type": ["string", "integer"]}},
                "locations": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"line": {"type": "integer"}, "column": {"type": "integer"}},
                    },
                },
                "extensions": {
                    "type": "object",
                    "properties": {"code": {"type": "string", "enum": codes}},
                    "required": ["code"],
                },
            },
            "required": ["message", "extensions"],
        },
        "Refusal": {
            "type": "object",
            "properties": {
                "errors": {"type": "array", "minItems": 1, "items": {"$ref": f"{_COMPONENTS}GraphQLError"}},
                "extensions": {"$ref": f"{_COMPONENTS}ResponseExtensions"},
            },
            "required": ["errors"],
        },
        "ResponseExtensions": {
            "type": "object",
            "properties": {
                "requestId": _TEXT,
                "cost": {"type": "object"},
                "sources": {
                    "type": "array",
                    "items": {"type": "object"},
                    "description": "The vaults that make the response incomplete.",
                },
            },
        },
    }
