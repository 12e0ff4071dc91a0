"""ETags for published queries requested by ``GET /graphql/{documentId}``.

Responses are private and revalidated each time, so caching saves the transfer but never skips authentication. The ETag
is weak: it covers the data alone, since the extensions (request id, cost) differ each time.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from msgspec.structs import replace

from app.api.response import NOT_MODIFIED, HttpResponse, encode

PATH: Final = "/graphql"
_PREFIX: Final = f"{PATH}/"
_HEADERS: Final = {"cache-control": "private, no-cache", "vary": "authorization, x-api-key"}


def id_in_path(path: str) -> str | None:
    """The text after /graphql/, or None."""
    return path[len(_PREFIX) :] or None if path.startswith(_PREFIX) else None


def with_etag(answer: HttpResponse, body: Mapping[str, Any], headers: Mapping[str, str]) -> HttpResponse:
    """`answer` with an ETag, or 304 if the client has it. Responses with errors get no ETag."""
    if answer.status != 200 or "errors" in body:
        return answer
    media_type = answer.content_type.encode()
    tag = f'W/"{sha256(media_type + encode(body["data"])).hexdigest()[:40]}"'
    sent = {**answer.headers, **_HEADERS, "etag": tag}
    if _is_known(tag, headers.get("if-none-match", "")):
        return HttpResponse(NOT_MODIFIED, b"", headers=sent)
    return replace(answer, headers=sent)


def _is_known(tag: str, wanted: str) -> bool:
    """RFC 9110, 13.1.2: a list of tags compared weakly, or *."""
    tags = [one.strip() for one in wanted.split(",")]
    return "*" in tags or any(one.removeprefix("W/") == tag.removeprefix("W/") for one in tags)
