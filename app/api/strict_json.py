"""Strict JSON: UTF-8 only, no duplicate keys, no NaN, bounded depth.

orjson refuses invalid UTF-8, NaN, Infinity and lone surrogates. Parsers and proxies differ in which duplicate key they
use, so duplicates are refused by a second pass, which takes a few microseconds.
"""

import json
import re
from itertools import accumulate
from typing import Any, Final

import orjson

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # matches any input, so it never backtracks
_CONTAINERS: Final = frozenset({dict, list})
_STEP: Final = {0x7B: 1, 0x5B: 1, 0x7D: -1, 0x5D: -1}


class NotStrictJson(ValueError):
    """The text is not acceptable JSON. The message names the rule, never the content."""


class NestedTooDeep(NotStrictJson):
    """Nested deeper than `max_depth`."""


def loads(raw: bytes, *, max_depth: int) -> Any:
    """Decode `raw`; raises NotStrictJson."""
    if raw.count(b"{") + raw.count(b"[") > max_depth and _depth(raw) > max_depth:
        raise NestedTooDeep("it is nested too deeply")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise NotStrictJson("it is not valid JSON in UTF-8") from None
    # Most clients serialise as orjson does. If the bytes are equal, no key was dropped as a duplicate.
    if value.__class__ in _CONTAINERS and orjson.dumps(value) != raw:
        _STRICT.decode(raw.decode())
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise NotStrictJson("an object has a duplicate key")


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_int=len, parse_float=len)


def _depth(raw: bytes) -> int:
    """The deepest nesting of objects and lists, ignoring brackets within strings. Works on invalid JSON too."""
    bare = _STRING.sub(b"", raw)
    return max(accumulate(_STEP[byte] for byte in bare if byte in _STEP), default=0)
