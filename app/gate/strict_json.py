"""JSON as strictly as a gate should read it: UTF-8 alone, no key twice, no NaN, bounded depth.

orjson refuses invalid UTF-8, NaN, Infinity and lone surrogates by itself. A key that stands twice is read in one way
here and in another by some proxy, so it is refused wherever it stands; a second pass, of a few microseconds, looks.
"""

import json
import re
from itertools import accumulate
from typing import Any, Final

import orjson

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # never fails, so it never starts over
_STEP: Final = {0x7B: 1, 0x5B: 1, 0x7D: -1, 0x5D: -1}


class NotStrictJson(ValueError):
    """The text is not JSON as we accept it. The message says which rule, never what was there."""


class NestedTooDeep(NotStrictJson):
    """Deeper than `max_depth`."""


def loads(raw: bytes, *, max_depth: int) -> Any:
    """Decode `raw`; raises NotStrictJson."""
    if raw.count(b"{") + raw.count(b"[") > max_depth and _depth(raw) > max_depth:
        raise NestedTooDeep("it is nested too deep")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise NotStrictJson("it is not valid JSON in UTF-8") from None
    # What clients send is mostly written as orjson would write it; then no key stands twice, for none was lost.
    if isinstance(value, dict | list) and orjson.dumps(value) != raw:
        _STRICT.decode(raw.decode())
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise NotStrictJson("a key stands twice in one object")


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_int=len, parse_float=len)


def _depth(raw: bytes) -> int:
    """The deepest nesting of objects and lists, brackets within strings left out. Works on broken JSON too."""
    bare = _STRING.sub(b"", raw)
    return max(accumulate(_STEP[byte] for byte in bare if byte in _STEP), default=0)
