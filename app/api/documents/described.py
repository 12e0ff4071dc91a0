"""What a published document does, for descriptions outside GraphQL (OpenAPI, MCP): a name, scopes, JSON Schemas."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    get_named_type,
    get_nullable_type,
    type_from_ast,
)

from app.api.documents.check import ScopeTable
from app.api.documents.json_schema import JsonSchemas
from app.execution.documents import Document

_LONGEST_NAME: Final = 64  # what hosts of language models accept as a tool's name
_DIGITS: Final = 8


class PublishedDocument(Protocol):
    """`version` is the number of its publication. `for_agents`: agents may run it although it is a mutation."""

    @property
    def document_id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def for_agents(self) -> bool: ...
    @property
    def document(self) -> Document: ...


@dataclass(frozen=True, slots=True)
class RootField:
    """A root field of an operation. `key` is its name in the response."""

    key: str
    field: GraphQLField
    name: str


class DescribedDocument:
    """One document that fits the schema. `name` is unique among the documents of its partner."""

    def __init__(self, graph: "DescribedGraph", name: str, published: PublishedDocument) -> None:
        document = published.document
        assert document.sole is not None
        self.name = name
        self.document_id = published.document_id
        self.for_agents = published.for_agents
        self.document = document
        self.operation: OperationDefinitionNode = document.sole
        self.kind: str = self.operation.operation.value
        self.needed = graph.scopes.needed(document)
        self._graph = graph

    @property
    def description(self) -> str:
        """The operation's own description, else those of its root fields."""
        own = getattr(self.operation, "description", None)
        if own is not None:
            return str(own.value)
        return " ".join(filter(None, (one.field.description for one in self.roots)))

    @property
    def roots(self) -> list[RootField]:
        """The root fields, in the order of the response, with those that a variable may leave out."""
        parent = self._graph.schema.get_root_type(self.operation.operation)
        assert isinstance(parent, GraphQLObjectType)
        named = self._graph.schemas(None).root_fields(self.operation, self.document.fragments)
        return [RootField(key, parent.fields[name], name) for key, name in named.items() if name in parent.fields]

    def paths_to(self, type_name: str) -> Iterator[tuple[str, ...]]:
        """Where the variables hold a value of this type: a variable's name, and below it names of input fields."""
        for one in self.operation.variable_definitions or ():
            kind = type_from_ast(self._graph.schema, one.type)
            yield from _paths_to(type_name, kind, (one.variable.name.value,), ())

    def allows(self, scopes: frozenset[str]) -> bool:
        """True if these scopes suffice for every field of the document."""
        return all(not group.isdisjoint(scopes) for group in self.needed)

    def schemas(
        self, scopes: frozenset[str] | None, *, prefix: str = "#/$defs/", without: frozenset[str] = frozenset()
    ) -> JsonSchemas:
        """A builder for this graph, without the input fields that need other scopes, or are of a type of `without`."""
        return self._graph.schemas(scopes, prefix=prefix, without=without)


class DescribedGraph:
    """The schema that documents are described by; `scalars` has the JSON Schema of each scalar."""

    def __init__(self, sdl: str, scalars: Mapping[str, Mapping[str, Any]]) -> None:
        self.schema: GraphQLSchema = build_schema(sdl, assume_valid_sdl=True)
        self.scopes = ScopeTable(self.schema)
        self._scalars = scalars

    def schemas(
        self, scopes: frozenset[str] | None, *, prefix: str = "#/$defs/", without: frozenset[str] = frozenset()
    ) -> JsonSchemas:
        def is_hidden(owner: str, name: str, kind: Any) -> bool:
            if get_named_type(kind).name in without:
                return True
            return scopes is not None and not self.scopes.allows(owner, name, scopes)

        return JsonSchemas(self.schema, self._scalars, prefix=prefix, is_hidden=is_hidden)

    def describe(self, published: Iterable[PublishedDocument]) -> list[DescribedDocument]:
        """Those that fit the schema, by name.

        A document is named as its operation. Of several with the same operation name the latest publication has the
        plain name; the others have a suffix that depends on their ids alone.
        """
        made: dict[str, DescribedDocument] = {}
        for one in sorted(published, key=lambda one: (-one.version, one.document_id)):
            document = one.document
            if document.sole is None or document.errors or document.parse_error is not None:
                continue
            plain = document.sole.name.value if document.sole.name else "document"
            name = plain[:_LONGEST_NAME]
            if name in made or name != plain or document.sole.name is None:
                digest = sha256(one.document_id.encode()).hexdigest()[:_DIGITS]
                name = f"{plain[: _LONGEST_NAME - _DIGITS - 1]}_{digest}"
            made[name] = DescribedDocument(self, name, one)
        return [made[name] for name in sorted(made)]


def _paths_to(type_name: str, kind: Any, path: tuple[str, ...], seen: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Not in lists, whose items have no names, and not below a type within itself."""
    named = get_nullable_type(kind)
    if isinstance(named, GraphQLInputObjectType) and named.name not in seen:
        for name, field in named.fields.items():
            yield from _paths_to(type_name, field.type, (*path, name), (*seen, named.name))
    elif getattr(named, "name", None) == type_name:
        yield path
