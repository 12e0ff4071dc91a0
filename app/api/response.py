"""HTTP responses: a body encoded once, with status and headers."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from msgspec import Struct, field
from starlette.types import Receive, Scope, Send

from app.api.negotiation import AnswerType
from app.api.problems import RequestRefused

_BASE_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"accept, accept-encoding, origin"),
)
NOT_MODIFIED: Final = 304
_WITHOUT_BODY: Final = (204, NOT_MODIFIED)
_NOT_KEPT: Final = (b"cache-control", b"no-store")
_USUAL_LINES: Final = {
    kind.content_type: b"".join(
        b"%b: %b\r\n" % pair
        for pair in (
            *_BASE_HEADERS,
            _NOT_KEPT,
            (b"content-type", kind.content_type.encode()),
            (b"x-request-id", b"%b"),
            (b"content-length", b"%d"),
        )
    )
    for kind in AnswerType
}
"""Headers of usual responses, by content type; the request id and the body's length are filled in."""
_DOCUMENT_FAULTS: Final = frozenset({"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"})


class HttpResponse(Struct):  # created in C, without a Python call: one per request
    """`body` is encoded, or empty. Header names are lower case. Only responses with `is_open` may be compressed.
    `is_usual`: the answer to an operation, without headers of its own, so that a server may send its `usual_lines`.
    """

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = False
    is_usual: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.send(send, body=scope["method"] != "HEAD")

    def usual_lines(self, request_id: str) -> bytes:
        """The headers of a usual response, as they are sent."""
        return _USUAL_LINES[self.content_type] % (request_id.encode(), len(self.body))

    async def send(self, send: Send, extra: Sequence[tuple[bytes, bytes]] = (), *, body: bool = True) -> None:
        headers = [*_BASE_HEADERS, *extra]
        if self.status not in _WITHOUT_BODY:  # RFC 9110, 8.6: a 204 has no content length
            headers += (b"content-type", self.content_type.encode()), (b"content-length", b"%d" % len(self.body))
        if self.headers:
            headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        if "cache-control" not in self.headers:
            headers += (_NOT_KEPT,)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body if body else b""})


def encode(value: Any) -> bytes:
    """JSON bytes of a result whose scalars are serialised already.

    The standard library encodes (as ASCII) what orjson rejects: integers beyond 64 bits and lone surrogates from
    vaults.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_parsed).encode("ascii")


def _parsed(value: object) -> Any:
    """Decode already encoded fragments."""
    if isinstance(value, orjson.Fragment):
        return json.loads(orjson.dumps(value))
    raise TypeError


def json_answer(
    value: Any,
    kind: AnswerType,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    is_open: bool = False,
) -> HttpResponse:
    return HttpResponse(status, encode(value), kind.content_type, headers or {}, is_open)


def refusal(refused: RequestRefused, kind: AnswerType, request_id: str) -> HttpResponse:
    """The response to a refused request: `errors` and the request id, no `data`."""
    status = refused.status
    if kind.refuses_with_200 and refused.code in _DOCUMENT_FAULTS:
        status = 200
    return json_answer(refusal_body(refused, request_id), kind, status, refused.headers)


def refusal_body(refused: RequestRefused, request_id: str) -> dict[str, Any]:
    return {"errors": refused.as_errors(), "extensions": {"requestId": request_id}}
