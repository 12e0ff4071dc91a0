"""Changes single values in the JSON body of an emulator's reply."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

import orjson
from msgspec import Meta

Headers = list[tuple[bytes, bytes]]
Pointer = Annotated[str, Meta(pattern="^(/|\\Z)")]
"""A JSON Pointer (RFC 6901)."""
_APPEND: Final = "-"


def rewritten(body: bytes, values: Mapping[Pointer, Any], removed: Iterable[Pointer]) -> bytes:
    """The JSON body with these values set, and these removed; a body that is not JSON as it is."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    root = [document]
    for pointer, value in values.items():
        _set(root, ["0", *_parts_of(pointer)], value)
    for pointer in removed:
        _remove(root, ["0", *_parts_of(pointer)])
    return orjson.dumps(root[0]) if root else b""


def _parts_of(pointer: str) -> list[str]:
    """The reference tokens of a JSON Pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _set(node: Any, parts: list[str], value: Any) -> None:
    part, rest = parts[0], parts[1:]
    if not rest and isinstance(node, list) and part == _APPEND:
        node.append(value)
        return
    if not rest and isinstance(node, dict) and part != "*":
        node[part] = value
        return
    for key in _keys(node, part):
        if rest:
            _set(node[key], rest, value)
        else:
            node[key] = value


def _remove(node: Any, parts: list[str]) -> None:
    part, rest = parts[0], parts[1:]
    for key in reversed(list(_keys(node, part))):
        if rest:
            _remove(node[key], rest)
        else:
            del node[key]


def _keys(node: Any, part: str) -> Iterator[Any]:
    """A container's existing keys that match one reference token."""
    if isinstance(node, dict):
        if part == "*":
            yield from list(node)
        elif part in node:
            yield part
    elif isinstance(node, list):
        if part == "*":
            yield from range(len(node))
        elif part.isascii() and part.isdigit() and int(part) < len(node):
            yield int(part)
