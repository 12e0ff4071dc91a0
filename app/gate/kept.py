"""Answers that a browser may keep: those of published queries, asked for by ``GET /graphql/{documentId}``.

They are private, and asked about again each time: what is saved is the transfer, never a look at who asks. The tag is
made of the data alone, since the extensions (request id, cost) differ each time: it is a weak one.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from app.gate.answers import NOT_MODIFIED, Answer, encode

_PREFIX: Final = "/graphql/"
_HEADERS: Final = {"cache-control": "private, no-cache", "vary": "authorization, x-api-key"}


def id_in_path(path: str) -> str | None:
    """What stands after /graphql/; None where nothing does."""
    return path[len(_PREFIX) :] or None if path.startswith(_PREFIX) else None


def kept(answer: Answer, body: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
    """`answer` with its tag, or 304 where the client has it. An answer with errors is nothing to keep."""
    if answer.status != 200 or "errors" in body:
        return answer
    media_type = answer.content_type.encode()
    tag = f'W/"{sha256(media_type + encode(body["data"])).hexdigest()[:40]}"'
    told = {**answer.headers, **_HEADERS, "etag": tag}
    if _is_known(tag, headers.get("if-none-match", "")):
        return Answer(NOT_MODIFIED, b"", headers=told)
    return replace(answer, headers=told)


def _is_known(tag: str, wanted: str) -> bool:
    """RFC 9110, 13.1.2: a list of tags compared weakly, or *."""
    tags = [one.strip() for one in wanted.split(",")]
    return "*" in tags or any(one.removeprefix("W/") == tag.removeprefix("W/") for one in tags)
