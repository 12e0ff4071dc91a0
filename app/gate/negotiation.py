"""Which media type an answer takes, and whether a request body's type is one we read.

GraphQL over HTTP: `application/graphql-response+json` carries real status codes; `application/json`, asked for by
name, answers a well-formed request with 200 even when its document is refused, for clients that look no further.
"""

from enum import Enum


class AnswerType(Enum):
    """`JSON_BY_DEFAULT` is what a client without a preference gets: plain JSON with real status codes."""

    GRAPHQL_RESPONSE = "application/graphql-response+json"
    JSON = "application/json"
    JSON_BY_DEFAULT = "*/*"
    EVENT_STREAM = "text/event-stream"
    MULTIPART = "multipart/mixed"

    @property
    def content_type(self) -> str:
        media = AnswerType.JSON.value if self is AnswerType.JSON_BY_DEFAULT else self.value
        return f"{media}; charset=utf-8"

    @property
    def refuses_with_200(self) -> bool:
        return self is AnswerType.JSON


_EXACT = {
    "application/graphql-response+json": AnswerType.GRAPHQL_RESPONSE,
    "application/json": AnswerType.JSON,
    "application/*": AnswerType.JSON_BY_DEFAULT,
    "*/*": AnswerType.JSON_BY_DEFAULT,
    "text/event-stream": AnswerType.EVENT_STREAM,
    "multipart/mixed": AnswerType.MULTIPART,
}


def answer_type(accept: str | None) -> AnswerType | None:
    """The best type that Accept allows; None when it allows none of ours. The first of equals wins."""
    if not accept or not accept.strip():
        return AnswerType.JSON_BY_DEFAULT
    best: AnswerType | None = None
    best_quality = 0.0
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        offered = _EXACT.get(media)
        if offered is None or not _is_utf8(parameters):
            continue
        quality = _quality(parameters)
        if quality > best_quality:
            best, best_quality = offered, quality
    return best


def is_json_body(content_type: str | None) -> bool:
    """Exactly `application/json`, in UTF-8 if a charset is named at all."""
    if content_type is None:
        return False
    media, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    return media == "application/json" and _is_utf8(parameters)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return min(1.0, max(0.0, float(parameter[2:])))
            except ValueError:
                return 0.0
    return 1.0


def _is_utf8(parameters: list[str]) -> bool:
    charsets = [parameter[8:].strip('"') for parameter in parameters if parameter.startswith("charset=")]
    return all(charset in ("utf-8", "utf8") for charset in charsets)
