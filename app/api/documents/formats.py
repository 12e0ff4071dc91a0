"""Reads published documents in four formats. Ids are opaque and never recomputed.

- Apollo's persisted query manifest, version 1: `operations` with `id`, `name`, `type` and `body`
- Relay's map of id to text, as an object or as a list of pairs
- GraphQL Codegen's `persisted-documents.json`: the same map, with ids that start with ``sha256:``
- a folder of ``.graphql`` files: each operation is a document whose id is the operation's name; fragments may be
  in any file of the folder
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from graphql import (
    DefinitionNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    Visitor,
    parse,
    print_ast,
    visit,
)

from app.api.documents.naming import fault_in
from app.errors import VaultgraphError

APOLLO: Final = "apollo-persisted-query-manifest"
_LARGEST_FILE: Final = 64_000_000


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A document to publish. `place` is its location, for messages."""

    document_id: str
    text: str
    place: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ManifestFault:
    """One fault: `place` is the file, with line and column if known; `operation` its name or id."""

    place: str
    operation: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.operation}: {self.message}" if self.operation else f"{self.place}: {self.message}"


class ManifestUnreadable(VaultgraphError):
    """The file or folder is in none of the four formats; the message gives the reason in one line."""


def read(path: Path) -> tuple[list[ManifestEntry], list[ManifestFault]]:
    """The documents of a manifest or folder, and faults of single ones. Raises ManifestUnreadable for the whole."""
    if path.is_dir():
        return _folder(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ManifestUnreadable(f"{path.name}: larger than {_LARGEST_FILE // 1_000_000} MB")
        value = json.loads(path.read_text("utf-8"), object_pairs_hook=_without_duplicates)
    except OSError as error:
        raise ManifestUnreadable(f"{path.name}: {error.strerror}") from None
    except _Duplicate as duplicate:
        raise ManifestUnreadable(f"{path.name}: duplicate id: {str(duplicate)[:80]}") from None
    except (ValueError, RecursionError):
        raise ManifestUnreadable(f"{path.name}: not JSON in UTF-8") from None
    return _checked(path.name, _entries(path.name, value))


def _entries(file: str, value: Any) -> list[tuple[Any, Any, str | None]]:
    if isinstance(value, dict) and "format" in value:
        if value["format"] != APOLLO or value.get("version") != 1 or not isinstance(value.get("operations"), list):
            raise ManifestUnreadable(f"{file}: not a version 1 {APOLLO}")
        return [
            (row.get("id"), row.get("body"), row.get("name")) if isinstance(row, dict) else (None, None, None)
            for row in value["operations"]
        ]
    if isinstance(value, dict):
        return [(key, text, None) for key, text in value.items()]
    if isinstance(value, list) and all(isinstance(row, list) and len(row) == 2 for row in value):
        return [(row[0], row[1], None) for row in value]
    raise ManifestUnreadable(f"{file}: neither a manifest nor a map of ids to documents")


def _checked(
    file: str, entries: Iterable[tuple[Any, Any, str | None]]
) -> tuple[list[ManifestEntry], list[ManifestFault]]:
    found: dict[str, ManifestEntry] = {}
    faults: list[ManifestFault] = []
    for number, (document_id, text, name) in enumerate(entries, start=1):
        shown = name if isinstance(name, str) else f"entry {number}"
        if fault := fault_in(document_id if isinstance(document_id, str) else ""):
            faults.append(ManifestFault(file, shown, fault))
        elif not (isinstance(text, str) and text.strip()):
            faults.append(ManifestFault(file, shown, "its text is missing"))
        elif document_id in found:
            faults.append(ManifestFault(file, shown, f"duplicate id {document_id}"))
        else:
            found[document_id] = ManifestEntry(document_id, text, file, name if isinstance(name, str) else None)
    return list(found.values()), faults


def _folder(path: Path) -> tuple[list[ManifestEntry], list[ManifestFault]]:
    files = sorted([*path.rglob("*.graphql"), *path.rglob("*.gql")])
    if not files:
        raise ManifestUnreadable(f"{path.name}: no .graphql files")
    faults: list[ManifestFault] = []
    operations: list[tuple[str, OperationDefinitionNode]] = []
    fragments: dict[str, FragmentDefinitionNode] = {}
    for file in files:
        place = str(file.relative_to(path))
        for definition in _definitions(file, place, faults):
            if isinstance(definition, OperationDefinitionNode):
                operations.append((place, definition))
            elif isinstance(definition, FragmentDefinitionNode):
                if definition.name.value in fragments:
                    faults.append(
                        ManifestFault(place, definition.name.value, "this fragment is defined twice in the folder")
                    )
                fragments[definition.name.value] = definition
            else:
                faults.append(ManifestFault(place, "", "only operations and fragments can be published"))
    found: dict[str, ManifestEntry] = {}
    for place, operation in operations:
        name = operation.name.value if operation.name else ""
        if not name:
            faults.append(ManifestFault(place, "", "an operation without a name cannot be published from a folder"))
        elif name in found:
            faults.append(ManifestFault(place, name, "another operation in the folder has this name"))
        else:
            found[name] = ManifestEntry(name, _with_fragments(operation, fragments), place, name)
    return list(found.values()), faults


def _definitions(file: Path, place: str, faults: list[ManifestFault]) -> Sequence[DefinitionNode]:
    try:
        return parse(file.read_text("utf-8")).definitions
    except GraphQLError as error:
        line = error.locations[0] if error.locations else None
        faults.append(ManifestFault(f"{place}:{line.line}:{line.column}" if line else place, "", error.message))
    except (OSError, ValueError, RecursionError):
        faults.append(ManifestFault(place, "", "not readable as UTF-8 text"))
    return ()


def _with_fragments(operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> str:
    """The operation's text, followed by every fragment that it reaches. Unknown fragments are left to validation."""
    needed: dict[str, FragmentDefinitionNode] = {}
    waiting: list[DefinitionNode] = [operation]
    while waiting:
        for name in _spread_names(waiting.pop()):
            if name in fragments and name not in needed:
                needed[name] = fragments[name]
                waiting.append(fragments[name])
    return "\n\n".join(print_ast(node) for node in (operation, *needed.values()))


def _spread_names(definition: DefinitionNode) -> list[str]:
    names: list[str] = []

    class Spreads(Visitor):
        def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> None:
            names.append(node.name.value)

    visit(definition, Spreads())
    return names


class _Duplicate(ValueError):
    pass


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Duplicate(key)
        found[key] = value
    return found
