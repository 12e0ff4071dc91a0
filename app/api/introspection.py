"""Cache for introspection results, which are the same for every caller."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from graphql import FieldNode, FragmentSpreadNode, OperationDefinitionNode, SelectionSetNode

from app.caching.lru import LruCache
from app.execution.documents import Document

_STATIC: Final = frozenset({"__schema", "__type", "__typename", "_service"})
_MEMO: Final = "introspection"

Key = tuple[str, str | None, bytes]


class IntrospectionCache:
    """LRU of encoded `data`, for operations that select nothing but the schema."""

    def __init__(self, max_bytes: int = 8_000_000) -> None:
        self._known: LruCache[Key, bytes] = LruCache(max_bytes)

    def key(self, document: Document, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Key | None:
        """The cache key, or None if the operation selects more than the schema."""
        name = operation.name.value if operation.name else None
        try:
            is_static = document.memo[_MEMO, name]
        except KeyError:
            is_static = document.memo[_MEMO, name] = _asks_for_the_schema(document, operation.selection_set)
        if not is_static:
            return None
        try:
            given = orjson.dumps(variables, option=orjson.OPT_SORT_KEYS)
        except TypeError:  # integers beyond 64 bits: no introspection argument takes them
            return None
        return document.text, name, given

    def get(self, key: Key) -> orjson.Fragment | None:
        found = self._known.get(key)
        return None if found is None else orjson.Fragment(found)

    def put(self, key: Key, data: orjson.Fragment) -> None:
        encoded = orjson.dumps(data)
        self._known.put(key, encoded, weight=len(key[0]) + len(key[2]) + len(encoded))


def _asks_for_the_schema(document: Document, selections: SelectionSetNode) -> bool:
    for one in selections.selections:
        if isinstance(one, FieldNode):
            if one.name.value not in _STATIC:
                return False
        else:
            part: Any = document.fragments[one.name.value] if isinstance(one, FragmentSpreadNode) else one
            if not _asks_for_the_schema(document, part.selection_set):
                return False
    return True
