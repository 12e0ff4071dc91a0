"""Content negotiation: the media type of a response, and whether a request body's type is accepted.

GraphQL over HTTP: `application/graphql-response+json` uses real status codes. A client that asks for `application/json`
by name gets 200 for a well-formed request even if its document is refused, as older clients expect.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

BOUNDARY: Final = "graphql"
_LONGEST_CACHED: Final = 300
_LONGEST_READ: Final = 2_000


class AnswerType(Enum):
    """`JSON_BY_DEFAULT` is for clients without a preference: plain JSON with real status codes."""

    GRAPHQL_RESPONSE = "application/graphql-response+json"
    JSON = "application/json"
    JSON_BY_DEFAULT = "*/*"

    def __init__(self, media_type: str) -> None:
        self.content_type = f"{'application/json' if media_type == '*/*' else media_type}; charset=utf-8"
        self.refuses_with_200 = media_type == "application/json"


class StreamType(Enum):
    """How a stream of responses is framed."""

    EVENTS = "text/event-stream"
    MULTIPART = "multipart/mixed"


class PartsFormat(Enum):
    """How the parts of an operation with `@defer` say where they belong: by path (older) or by id.

    A client names the format of multipart by the parameter `deferSpec=20220824` or `incrementalSpec=v0.2`; by default
    it is the older one, which every client reads.
    """

    PATHS = "deferSpec=20220824"
    IDS = "incrementalSpec=v0.2"


@dataclass(frozen=True, slots=True)
class Parts:
    """How a client accepts the parts of an operation with `@defer`."""

    framing: StreamType
    format: PartsFormat


@dataclass(frozen=True, slots=True)
class Accepted:
    """`answer`: the type of a single response, None if no offered type is acceptable. `stream`: the framing of a
    stream, if the client accepts one. `parts`: set if the client accepts parts as readily as a single response.
    """

    answer: AnswerType | None
    stream: StreamType | None = None
    parts: Parts | None = None


_ANYTHING: Final = Accepted(AnswerType.JSON_BY_DEFAULT)
_NOTHING: Final = Accepted(None)
_OFFERED: Final = {
    "application/graphql-response+json": AnswerType.GRAPHQL_RESPONSE,
    "application/json": AnswerType.JSON,
}
_RANGES: Final = ("application/*", "*/*")


def accepted(accept: str | None) -> Accepted:
    """What the Accept header allows. The highest quality wins; among equals, the first."""
    if not accept or accept == "*/*" or accept.isspace():
        return _ANYTHING
    if len(accept) > _LONGEST_READ:
        return _NOTHING
    return _read_cached(accept) if len(accept) <= _LONGEST_CACHED else _read(accept)


def _read(accept: str) -> Accepted:
    best: AnswerType | None = None
    best_quality = 0.0
    refused: set[AnswerType] = set()
    stream: StreamType | None = None
    ranges: list[float] = []
    parts: Parts | None = None
    parts_rank = 0.0, False
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        if not _is_utf8(parameters):
            continue
        quality = _quality(parameters)
        offered = _parts(media, parameters)
        if offered is not None and quality and (quality, offered.framing is StreamType.MULTIPART) > parts_rank:
            parts, parts_rank = offered, (quality, offered.framing is StreamType.MULTIPART)
        if media == "text/event-stream":
            stream = StreamType.EVENTS if quality > 0 else stream
        elif _is_multipart(media, parameters):
            stream = stream or (StreamType.MULTIPART if quality > 0 else None)
        elif media in _RANGES:
            ranges.append(quality)
        elif media in _OFFERED:
            if not quality:
                refused.add(_OFFERED[media])
            elif quality > best_quality:
                best, best_quality = _OFFERED[media], quality
    if any(quality > best_quality for quality in ranges):
        best = _by_range(refused)
    if best is not None and max(best_quality, *ranges, 0.0) > parts_rank[0]:
        parts = None
    return Accepted(best, stream, parts)


_read_cached = lru_cache(maxsize=512)(_read)


def _by_range(refused: set[AnswerType]) -> AnswerType | None:
    """A range includes every type that is not refused by name."""
    if AnswerType.JSON not in refused:
        return AnswerType.JSON_BY_DEFAULT
    return None if AnswerType.GRAPHQL_RESPONSE in refused else AnswerType.GRAPHQL_RESPONSE


def is_json_body(content_type: str | None) -> bool:
    """True for exactly `application/json`, with charset UTF-8 or none."""
    if content_type == "application/json":
        return True
    if content_type is None:
        return False
    media, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    return media == "application/json" and _is_utf8(parameters)


def _parts(media: str, parameters: list[str]) -> Parts | None:
    """What this media range means for an operation with `@defer`: None if it is for something else."""
    if media == "text/event-stream":
        framing = StreamType.EVENTS
    elif media == "multipart/mixed":
        framing = StreamType.MULTIPART
    else:
        return None
    given = dict(_name_and_value(one) for one in parameters)
    if given.get("incrementalspec") == "v0.2":
        return Parts(framing, PartsFormat.IDS)
    is_other = (
        given.keys() & {"incrementalspec", "subscriptionspec"} or given.get("deferspec", "20220824") != "20220824"
    )
    return None if is_other else Parts(framing, PartsFormat.PATHS)


def _is_multipart(media: str, parameters: list[str]) -> bool:
    """True for the subscription protocol; parts of `@defer` use the same media type. Takes lower case."""
    if media != "multipart/mixed":
        return False
    given = dict(_name_and_value(one) for one in parameters)
    return given.get("subscriptionspec", "").startswith("1.") and given.get("boundary", BOUNDARY) == BOUNDARY


def _name_and_value(parameter: str) -> tuple[str, str]:
    name, _, value = parameter.partition("=")
    return name.strip(), value.strip().strip('"')


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
