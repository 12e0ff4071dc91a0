"""JSON as strictly as a gate should read it: UTF-8 alone, no duplicate keys, no NaN, bounded depth.

orjson refuses invalid UTF-8, NaN, Infinity and lone surrogates by itself; duplicates and depth are looked for here,
and only where the raw bytes make them possible, so that an ordinary request pays next to nothing.
"""

import json
from typing import Any, Final

import orjson

_OPENING: Final = (b"{", b"[")


class NotStrictJson(ValueError):
    """The text is not JSON as we accept it. The message says which rule, never what was there."""


def loads(raw: bytes, *, guarded_keys: frozenset[str], max_depth: int) -> Any:
    """Decode `raw`. A key of `guarded_keys` that may stand twice makes the whole text checked for duplicates."""
    if sum(raw.count(mark) for mark in _OPENING) > max_depth and _depth(raw) > max_depth:
        raise NotStrictJson("nested too deep")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise NotStrictJson("not valid JSON in UTF-8") from None
    if _may_repeat(raw, guarded_keys):
        json.loads(raw, object_pairs_hook=_without_duplicates)
    return value


def _may_repeat(raw: bytes, keys: frozenset[str]) -> bool:
    """An escape can spell a key in disguise, so any backslash-u counts as a possible repetition."""
    return b"\\u" in raw or any(raw.count(b'"%s"' % key.encode()) > 1 for key in keys)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrictJson("a key stands twice in one object")
    return found


def _depth(raw: bytes) -> int:
    """The deepest nesting of objects and lists, brackets within strings left out. Works on broken JSON too."""
    deepest = depth = 0
    in_string = False
    escaped = False
    for byte in raw:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x7B, 0x5B):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (0x7D, 0x5D):
            depth -= 1
    return deepest
