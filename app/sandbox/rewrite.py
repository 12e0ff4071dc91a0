"""Changes an emulator's reply: status, headers, body, or single values in a JSON body."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

Headers = list[tuple[bytes, bytes]]
_APPEND: Final = "-"


class BadPointer(ValueError):
    """The text is not a JSON Pointer (RFC 6901)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """The changes; None or empty keeps the emulator's value.

    `headers` maps a name to its new value, or to None to remove it. `body` replaces the whole body: text as it is,
    anything else as JSON. `values` and `removed` hold JSON Pointers into a JSON body, in which ``*`` stands for every
    element or member and a final ``-`` appends to an array; a pointer that matches nothing is ignored.
    """

    status: int | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def apply(self, status: int, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        """The changed reply. `values` and `removed` ignore a body that is not JSON."""
        if self.body is not None:
            body = self.body.encode() if isinstance(self.body, str) else orjson.dumps(self.body)
        elif self.values or self.removed:
            body = self._changed(body)
        changed = {name.lower().encode(): value for name, value in self.headers.items()}
        others = [(name, value) for name, value in headers if name.lower() not in changed]
        added = [(name, value.encode()) for name, value in changed.items() if value is not None]
        return (status if self.status is None else self.status), [*others, *added], body

    def _changed(self, body: bytes) -> bytes:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body
        root = [document]
        for pointer, value in self.values.items():
            _set(root, ["0", *parts_of(pointer)], value)
        for pointer in self.removed:
            _remove(root, ["0", *parts_of(pointer)])
        return orjson.dumps(root[0]) if root else b""


def parts_of(pointer: str) -> list[str]:
    """The reference tokens of a JSON Pointer; raises BadPointer."""
    if pointer and not pointer.startswith("/"):
        raise BadPointer("A JSON Pointer is empty or begins with a slash.")
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
