"""Formats errors for clients. Errors with a known code and mistakes in the request are shown; all others are masked.

A masked error keeps its path and gets the request id; the original is logged through the redactor. graphql-core quotes
the values it rejects, and a value may be a card number, so its messages are shown only if they name nothing but parts
of the document and the schema.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from graphql import GraphQLError, GraphQLSyntaxError

from app.api.problems import PROBLEMS, RequestRefused
from app.store.errors import StoreUnavailable
from app.telemetry.redact import RedactingFilter

_log = logging.getLogger("vaultgraph.errors")
_log.addFilter(RedactingFilter())  # scrubs traces whatever handlers the process has
_MASKED: Final = "Unexpected error."
_FAILURES: Final = frozenset({"INTERNAL_SERVER_ERROR", "STORE_UNAVAILABLE"})
_MOST_FAULTS: Final = 5
_MOST_ERRORS: Final = 200
_LONGEST: Final = 300


def masked(error: Exception, request_id: str) -> RequestRefused:
    """The response to a request that raised. Bugs are logged here; store outages have been logged already."""
    if isinstance(error, StoreUnavailable):
        return RequestRefused("STORE_UNAVAILABLE", headers={"retry-after": "1"}, retryable=True, requestId=request_id)
    _log.error("request %s failed", request_id, exc_info=error)
    return RequestRefused("INTERNAL_SERVER_ERROR", requestId=request_id)


def has_failed(rows: Iterable[dict[str, Any]]) -> bool:
    """True if any of these errors is an internal failure, not the client's or a vault's."""
    return any(row["extensions"].get("code") in _FAILURES for row in rows)


def format_execution_errors(errors: Sequence[GraphQLError], request_id: str) -> list[dict[str, Any]]:
    """The errors of an executed operation, in order, at most 200."""
    return [_shown(error, request_id) for error in errors[:_MOST_ERRORS]]


def format_document_errors(errors: Sequence[GraphQLError], code: str) -> list[dict[str, Any]]:
    """Parse and validation errors of a document: distinct messages without values, five at most, with locations."""
    return _bounded(
        _formatted(error, error.message, dict(error.extensions or {}))
        if _is_coded(error)
        else _formatted(error, _without_values(error), {"code": code})
        for error in errors
        if not error.message.startswith(_TOO_MANY)
    )


def format_variable_errors(errors: Sequence[GraphQLError]) -> list[dict[str, Any]]:
    """Variables that do not match their types: nothing was executed."""
    return _bounded(
        _formatted(error, _without_values(error), {"code": "BAD_USER_INPUT"})
        for error in errors
        if not error.message.startswith(_TOO_MANY)
    )


def syntax_code(error: GraphQLError) -> str:
    """The parser's limits map to this API's limit codes."""
    if "Parsing aborted" not in error.message:
        return "GRAPHQL_PARSE_FAILED"
    return "DEPTH_LIMIT" if "nested" in error.message else "TOKEN_LIMIT"


def _shown(error: GraphQLError, request_id: str) -> dict[str, Any]:
    if _is_coded(error):
        return _formatted(error, error.message, dict(error.extensions or {}))
    cause = _cause(error)
    if cause is None:  # from graphql-core: an argument that does not match its type
        return _formatted(error, _without_values(error), {"code": "BAD_USER_INPUT"})
    if isinstance(cause, StoreUnavailable):
        refused = masked(cause, request_id)
        return _formatted(error, refused.message, {"code": refused.code, **refused.extensions})
    _log.error("request %s failed at %s", request_id, error.path, exc_info=cause)
    return _formatted(error, _MASKED, {"code": "INTERNAL_SERVER_ERROR", "requestId": request_id})


def _is_coded(error: GraphQLError) -> bool:
    """Only errors with a code of `PROBLEMS` show their message."""
    return error.extensions is not None and error.extensions.get("code") in PROBLEMS


def _cause(error: GraphQLError) -> BaseException | None:
    cause: BaseException | None = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if isinstance(cause, GraphQLError):
        return None if _is_about_input(cause) else cause
    return cause if cause is not None or _is_about_input(error) else error


# How graphql-core and Strawberry begin messages about a client's value, and only those.
_INPUT_STARTS: Final = ("Argument '", "Variable '$", "OneOf Input Object '", "Value for member field '")
_TOO_MANY: Final = "Too many "  # graphql-core's last message after its maximum number of errors


def _is_about_input(error: GraphQLError) -> bool:
    return error.message.startswith(_INPUT_STARTS)


_SUBJECT: Final = re.compile(
    r"(Variable '\$\w+'|Argument '[\w.]+')(?: has invalid (?:default )?value)( at [.\w\[\]]+)?: "
)
_MISSING_FIELD: Final = re.compile(r"to include required field '(\w+)'")
_REQUIRED: Final = re.compile(
    r"(?:Variable '\$\w+'|Argument '[\w.]+') of required type '[\w\[\]!]+' was not provided\."
)
_NAME: Final = r"[@$\w.:()!\[\]{} /…-]+"
_ABOUT_NAMES: Final = re.compile(
    rf"(?:Cannot query field|Unknown (?:argument|directive|fragment|type)|Cannot spread fragment|Fragment|Field"
    rf"|Fields|Spreads|Directive|The directive|There can be only one \w+(?: \w+)? named|Subscription|Variable"
    rf"|The \w+ (?:operation|definition)) '{_NAME}'(?:(?:[^'\"]|'{_NAME}')*)"
    rf"|Argument '@?[\w.]+\(\w+:\)' of type '[\w\[\]!]+' is required[^'\"]*"
    r"|Fragment cannot (?:be spread here|condition) [^\"]*"
    r"|Maximum introspection depth exceeded"
    r"|This anonymous operation must be the only defined operation\."
    r"|The \w+ operation is not supported by the schema\.|There can be only one anonymous operation\."
    r"|Anonymous Subscription[^'\"]*|The anonymous [^'\"]*"
    r"|Defer directive (?:cannot be used on root \w+ type '\w+'\.|not supported on subscription operations\.[^'\"]*)"
    r"|Defer(?:/Stream)? directive label argument must be (?:unique|a static string)\."
)


def _without_values(error: GraphQLError) -> str:
    """The message if it contains only names, else a replacement that omits the value."""
    message = error.message
    if isinstance(error, GraphQLSyntaxError) or message.startswith("Syntax Error"):
        start = re.split(r"""["'(]|, (?:found|but got)""", message, maxsplit=1)[0]
        return f"{start.rstrip(' :.')}."
    message = message.partition(" Did you mean '")[0] if "must have a selection" in message else message
    if _REQUIRED.fullmatch(message) or (_ABOUT_NAMES.fullmatch(message) and "invalid value" not in message):
        return message[:_LONGEST]
    subject = _SUBJECT.match(message)
    what, place = (subject[1], subject[2] or "") if subject else ("A value", "")
    fault = "has an invalid value" if subject else "is invalid"
    return f"{what[:_LONGEST]} {fault}{place[:_LONGEST]}: {_reason(message)}."


# The type that a message names, in each of its wordings; for this schema's scalars see `resolvers/scalars.py`.
_TYPES: Final = (
    re.compile(r"(?:^|: )Not an? (\w+)[.:]"),
    re.compile(r"(?:^|: )(Int|Float|String|Boolean|ID) cannot represent"),
    re.compile(r"does not exist in '(\w+)' enum"),
    re.compile(r"(?:^|: )Enum '(\w+)' cannot represent"),
    re.compile(r"(?:^|: )Expected (?:a )?value of (?:non-null )?type '([\w\[\]!]+)'"),
    re.compile(r"OneOf Input Object '(\w+)'"),
    re.compile(r"(?:^|: )Within OneOf Input Object type '(\w+)'"),
)
_OWN_RULE: Final = re.compile(r"(?:^|: )Not an? \w+: ([^'\"]{1,120})\.$")
_RULES: Final = {
    "Int": "a whole number of 32 bits",
    "Float": "a number",
    "String": "text in quotes",
    "Boolean": "true or false",
    "ID": "text in quotes or a whole number",
}


def _reason(text: str) -> str:
    kind = next((found[1] for pattern in _TYPES if (found := pattern.search(text))), None)
    if missing := _MISSING_FIELD.search(text):
        return f"the required field '{missing[1]}' is missing" + (f" in a {kind}" if kind else "")
    if "non-null" in text:
        return "a value is required" + (f", of the type {kind}" if kind else "")
    if "unknown field" in text:
        return f"it has a field that {kind or 'its type'} does not define"
    if "OneOf" in text:
        return "exactly one of its fields must be given" + (f", of the type {kind}" if kind else "")
    if kind is None:
        return "it does not fit its type"
    own = _OWN_RULE.search(text)
    rule = own[1] if own else _RULES.get(kind, "the name of one of its values" if "num" in text else "")
    return f"it does not fit the type {kind}" + (f", which is {rule}" if rule else "")


def _bounded(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row["message"], row)
        if len(found) == _MOST_FAULTS:
            break
    return list(found.values())


def _formatted(error: GraphQLError, message: str, extensions: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"message": message}
    if error.locations:
        shown["locations"] = [location.formatted for location in error.locations[:_MOST_FAULTS]]
    if error.path is not None:
        shown["path"] = error.path
    shown["extensions"] = extensions
    return shown
