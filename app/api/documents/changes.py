"""Effects of a schema change on published documents: breaking, dangerous or safe, per partner and operation."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    is_enum_type,
    parse,
    validate,
    visit,
)
from graphql.utilities import BreakingChange, BreakingChangeType, DangerousChange, find_schema_changes

from app.api.documents.check import message_of
from app.api.documents.formats import ManifestEntry, ManifestUnreadable
from app.api.sdl import api_sdl

_NAMES: Final = re.compile(r"\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\b")


# Changes that validation does not detect: a field's type, and inputs that are passed in variables.
_UNSEEN: Final = frozenset(
    {
        BreakingChangeType.FIELD_CHANGED_KIND,
        BreakingChangeType.FIELD_REMOVED,
        BreakingChangeType.REQUIRED_INPUT_FIELD_ADDED,
        BreakingChangeType.VALUE_REMOVED_FROM_ENUM,
        BreakingChangeType.TYPE_CHANGED_KIND,
    }
)


class Weight(Enum):
    BREAKING = "breaking"
    DANGEROUS = "dangerous"
    SAFE = "safe"


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """One difference between two schemas, and the documents that it affects."""

    weight: Weight
    description: str
    used_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BrokenDocument:
    """A published document that is invalid in the new schema, or whose result has another type."""

    partner: str
    operation: str
    message: str


def schema_from(sdl: str, place: str) -> GraphQLSchema:
    """The API schema of an SDL; a subgraph's SDL and its API schema give the same one. Raises ManifestUnreadable."""
    try:
        return build_schema(api_sdl(sdl), assume_valid_sdl=True)
    except (GraphQLError, TypeError):
        raise ManifestUnreadable(f"{place}: not readable as SDL") from None


def compare(
    old: GraphQLSchema, new: GraphQLSchema, published: Mapping[str, Sequence[ManifestEntry]]
) -> tuple[list[SchemaChange], list[BrokenDocument]]:
    """All differences, most severe first, and all documents of `published` (by partner) that break."""
    uses = {
        f"{partner}/{document.name or document.document_id}": coordinates(old, document.text)
        for partner, documents in published.items()
        for document in documents
    }
    found = find_schema_changes(old, new)
    changes = [_change(one, uses) for one in found]
    changes.sort(key=lambda change: list(Weight).index(change.weight))
    unseen = [one for one in found if isinstance(one, BreakingChange) and one.type in _UNSEEN]
    broken = [
        BrokenDocument(partner, document.name or document.document_id, message_of(error))
        for partner, documents in published.items()
        for document in documents
        for error in _errors(new, document.text)
    ]
    broken += [
        BrokenDocument(partner, document.name or document.document_id, one.description)
        for partner, documents in published.items()
        for document in documents
        for one in _unnoticed(old, document.text, unseen)
    ]
    return changes, broken


def coordinates(schema: GraphQLSchema, text: str) -> frozenset[str]:
    """What a document uses: `Type.field`, and the names of its input types and enums."""
    fields, inputs, enums = _touched(schema, text)
    return fields | inputs | enums


def _unnoticed(schema: GraphQLSchema, text: str, changes: Sequence[BreakingChange]) -> list[BreakingChange]:
    """The changes that break this document although it stays valid.

    An enum value that is no longer returned breaks no document, and validation detects a removed field, so both count
    for inputs only.
    """
    fields, inputs, _ = _touched(schema, text)
    return [
        one
        for one in changes
        if _is_about(one.description, inputs if one.type is BreakingChangeType.FIELD_REMOVED else fields | inputs)
    ]


def _touched(schema: GraphQLSchema, text: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    info = TypeInfo(schema)
    fields: set[str] = set()
    inputs: set[str] = set()
    enums: set[str] = set()

    class Touched(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            parent, kind = info.get_parent_type(), info.get_type()
            if parent is not None:
                fields.add(f"{parent.name}.{node.name.value}")
            if kind is not None and is_enum_type(get_named_type(kind)):
                enums.add(get_named_type(kind).name)

        def enter_variable_definition(self, node: Any, *_: Any) -> None:
            named = node.type
            while hasattr(named, "type"):
                named = named.type
            inputs.update(_inputs(schema, named.name.value))

    try:
        visit(parse(text), TypeInfoVisitor(info, Touched()))
    except GraphQLError:
        return frozenset(), frozenset(), frozenset()
    return frozenset(fields), frozenset(inputs), frozenset(enums)


def _inputs(schema: GraphQLSchema, name: str) -> Iterable[str]:
    """An input type and all types nested in it."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        for field in getattr(schema.type_map.get(one), "fields", {}).values():
            waiting.append(get_named_type(field.type).name)
    return seen


def _change(change: Any, uses: Mapping[str, frozenset[str]]) -> SchemaChange:
    if isinstance(change, BreakingChange):
        weight = Weight.BREAKING
    elif isinstance(change, DangerousChange):
        weight = Weight.DANGEROUS
    else:
        weight = Weight.SAFE
    used_by = () if weight is Weight.SAFE else tuple(who for who, names in uses.items() if _touches(change, names))
    return SchemaChange(weight, change.description, used_by)


def _touches(change: Any, touched: frozenset[str]) -> bool:
    """True if the change affects the document. It names ``Type.member`` or only a type; a type's change affects every
    use of its fields.
    """
    if _is_about(change.description, touched):
        return True
    named = set(_NAMES.findall(change.description))
    owners = {name.split(".")[0] for name in touched}
    return not any("." in name for name in named) and any(name in owners for name in named)


def _is_about(description: str, touched: frozenset[str]) -> bool:
    """True if it names something used: a field, an input type or enum, or a member of one of these."""
    named = set(_NAMES.findall(description))
    return bool((named | {name.split(".")[0] for name in named if "." in name}) & touched)


def _errors(schema: GraphQLSchema, text: str) -> Sequence[GraphQLError]:
    try:
        return validate(schema, parse(text))
    except GraphQLError as error:
        return [error]
