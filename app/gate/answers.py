"""What leaves the gate: one JSON body with its status and headers, encoded once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from starlette.types import Send

from app.gate.negotiation import AnswerType
from app.gate.problems import Refused

_BASE_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"accept, origin"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is encoded JSON, or empty. Header names are lower case."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Send, extra: Sequence[tuple[bytes, bytes]] = (), *, body: bool = True) -> None:
        headers = [
            (b"content-type", self.content_type.encode()),
            (b"content-length", str(len(self.body)).encode()),
            *_BASE_HEADERS,
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()),
            *extra,
        ]
        if "cache-control" not in self.headers:
            headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body if body else b""})


def encode(value: Any) -> bytes:
    """JSON bytes. Decimals, dates and our scalars are text by now: the schema serialised them."""
    return orjson.dumps(value)


def json_answer(value: Any, kind: AnswerType, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, encode(value), kind.content_type, headers or {})


def refusal(refused: Refused, kind: AnswerType, request_id: str) -> Answer:
    """A refused request: no `data` member, one error, the request's id."""
    body = {"errors": refused.as_errors(), "extensions": {"requestId": request_id}}
    status = refused.status
    if kind.refuses_with_200 and refused.code in _DOCUMENT_FAULTS:
        status = 200
    return json_answer(body, kind, status, refused.headers)


_DOCUMENT_FAULTS: Final = frozenset({"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"})
