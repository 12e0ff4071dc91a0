"""All error codes of the API layer, with HTTP status and message.

The codes are part of the API (`docs/errors.md`). Codes that Apollo has are named as Apollo names them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.errors import VaultgraphError


@dataclass(frozen=True, slots=True)
class RequestProblem:
    """`status` is the HTTP status, `message` the default message."""

    code: str
    status: int
    message: str


PROBLEMS: Final[Mapping[str, RequestProblem]] = {
    problem.code: problem
    for problem in (
        RequestProblem("BAD_REQUEST", 400, "The request is malformed."),
        RequestProblem("GRAPHQL_PARSE_FAILED", 400, "The document is not GraphQL."),
        RequestProblem("GRAPHQL_VALIDATION_FAILED", 400, "The document does not fit the schema."),
        RequestProblem("BAD_USER_INPUT", 400, "A variable or argument has a value that its type does not allow."),
        RequestProblem("PAN_NOT_ALLOWED", 400, "A card number is not allowed here. It was not stored."),
        RequestProblem(
            "OPERATION_RESOLUTION_FAILURE", 400, "The document contains several operations: name one of them."
        ),
        RequestProblem(
            "CSRF_PREVENTED", 400, "A page of another site could have sent this: send apollo-require-preflight: 1."
        ),
        RequestProblem("UNAUTHENTICATED", 401, "The request carries no valid credentials."),
        RequestProblem("FORBIDDEN", 403, "The caller may not do this."),
        RequestProblem("NOT_FOUND", 404, "Not found."),
        RequestProblem("METHOD_NOT_ALLOWED", 405, "This method is not allowed here."),
        RequestProblem("NOT_ACCEPTABLE", 406, "None of the media types in Accept can be served."),
        RequestProblem("REQUEST_TIMEOUT", 408, "The request body did not arrive in time."),
        RequestProblem("BODY_LIMIT", 413, "The request body is too large."),
        RequestProblem("UNSUPPORTED_MEDIA_TYPE", 415, "The request body must be application/json in UTF-8."),
        RequestProblem("HEADER_LIMIT", 431, "The request headers are too large."),
        RequestProblem("TOKEN_LIMIT", 400, "The document is too long."),
        RequestProblem("DEFINITION_LIMIT", 400, "The document contains too many operations and fragments."),
        RequestProblem("DEPTH_LIMIT", 400, "The document is nested too deeply."),
        RequestProblem("ALIAS_LIMIT", 400, "The document uses too many aliases."),
        RequestProblem("FIELD_LIMIT", 400, "The document selects too many fields."),
        RequestProblem("ROOT_FIELD_LIMIT", 400, "The document selects too many root fields."),
        RequestProblem("DIRECTIVE_LIMIT", 400, "The document uses too many directives."),
        RequestProblem("LIST_LIMIT", 400, "A list in the input is too long."),
        RequestProblem("VARIABLES_LIMIT", 400, "The variables are too large or nested too deeply."),
        RequestProblem("BATCH_LIMIT", 400, "Batches are not accepted here, or the batch is too large."),
        RequestProblem("COST_ESTIMATED_TOO_EXPENSIVE", 400, "The document exceeds the cost limit of a request."),
        RequestProblem("INTROSPECTION_DISABLED", 400, "Introspection needs the scope explore."),
        RequestProblem("PERSISTED_QUERY_NOT_FOUND", 200, "PersistedQueryNotFound"),
        RequestProblem("PERSISTED_QUERY_NOT_SUPPORTED", 200, "PersistedQueryNotSupported"),
        RequestProblem("PERSISTED_QUERY_HASH_MISMATCH", 400, "provided sha does not match query"),
        RequestProblem("PERSISTED_QUERY_NOT_IN_LIST", 404, "No such document is published for this caller."),
        RequestProblem(
            "PERSISTED_QUERY_ID_REQUIRED", 400, "This caller runs published documents only: send an id, not text."
        ),
        RequestProblem("CANNOT_SEND_PQ_ID_AND_BODY", 400, "Send the document's id or its text, not both."),
        RequestProblem("THROTTLED", 429, "Too many requests: try again later."),
        RequestProblem("RESPONSE_TOO_LARGE", 200, "The response exceeds the size limit."),
        RequestProblem("SLOW_CONSUMER", 200, "Events were not read in time: subscribe again."),
        RequestProblem("CUSTOMER_MERGED", 200, "This customer was merged into another one."),
        RequestProblem("SOURCES_UNAVAILABLE", 200, "No linked vault answered."),
        RequestProblem("OVERLOADED", 503, "The gateway is busy: try again in a moment."),
        RequestProblem("STORE_UNAVAILABLE", 503, "The gateway's store is unavailable: try again."),
        RequestProblem("INTERNAL_SERVER_ERROR", 500, "Unexpected error."),
    )
}


class RequestRefused(VaultgraphError):
    """A request that the API refuses. `detail` replaces the table's message and never quotes input."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[dict[str, Any]] = (),
        **extensions: Any,
    ) -> None:
        problem = PROBLEMS[code]
        super().__init__(detail or problem.message)
        self.code = code
        self.status = status or problem.status
        self.message = detail or problem.message
        self.headers = dict(headers or {})
        self.extensions = extensions
        self._errors = errors

    def as_errors(self) -> list[dict[str, Any]]:
        """The response's `errors`: the given ones, else one for the refusal itself."""
        return list(self._errors) or [
            {"message": self.message, "extensions": {"code": self.code, **self.extensions}},
        ]
