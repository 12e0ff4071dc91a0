"""Errors as clients may see them: ours by name, mistakes in the request by name, everything else masked.

A masked error keeps its path and gets a request id; what really happened goes to the log, through the redactor.
"""

import logging
import re
from collections.abc import Sequence
from typing import Any, Final

from graphql import GraphQLError

_log = logging.getLogger("vaultgraph.errors")
_MASKED: Final = "Unexpected error."


def shown(errors: Sequence[GraphQLError], request_id: str) -> list[dict[str, Any]]:
    """The errors of an executed operation, in order."""
    return [_shown(error, request_id) for error in errors]


def faults(errors: Sequence[GraphQLError], code: str) -> list[dict[str, Any]]:
    """Parse and validation errors of a document: places kept, quoted values left out."""
    return [_formatted(error, _without_values(error), {"code": code}) for error in errors]


def _shown(error: GraphQLError, request_id: str) -> dict[str, Any]:
    extensions = dict(error.extensions or {})
    if "code" in extensions:
        return _formatted(error, error.message, extensions)
    if _root(error) is None:  # graphql-core's own: a value that does not fit its type
        return _formatted(error, _without_values(error), {"code": "BAD_USER_INPUT"})
    _log.error("request %s failed at %s", request_id, error.path, exc_info=_root(error))
    return _formatted(error, _MASKED, {"code": "INTERNAL_SERVER_ERROR", "requestId": request_id})


def _root(error: GraphQLError) -> BaseException | None:
    cause: BaseException | None = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return None if isinstance(cause, GraphQLError) else cause


_VALUE_FAULT: Final = re.compile(
    r"^(Variable '\$\w+'|Argument '[\w.]+') has invalid value( at [.\w\[\]]+)?: (.*)$", re.DOTALL
)
_MISSING_FIELD: Final = re.compile(r"to include required field '(\w+)'")


def _without_values(error: GraphQLError) -> str:
    """graphql-core quotes the value it refuses, which may be a card number: keep the place, reword the reason."""
    match = _VALUE_FAULT.match(error.message)
    if match is None:
        return error.message.partition(", found")[0].partition(" value: ")[0]
    subject, place, reason = match.groups()
    return f"{subject} has an invalid value{place or ''}: {_reason(reason)}."


def _reason(text: str) -> str:
    if missing := _MISSING_FIELD.search(text):
        return f"the required field '{missing[1]}' is missing"
    if "non-null" in text:
        return "a value is required"
    if "unknown field" in text:
        return "it has a field that its type does not know"
    return "it does not fit its type"


def _formatted(error: GraphQLError, message: str, extensions: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"message": message}
    if error.locations:
        shown["locations"] = [location.formatted for location in error.locations]
    if error.path is not None:
        shown["path"] = error.path
    shown["extensions"] = extensions
    return shown
