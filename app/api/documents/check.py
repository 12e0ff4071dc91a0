"""Checks documents before publication: syntax, schema, limits and the partner's scopes.

Works from SDL alone, without a database or server.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from graphql import (
    SKIP,
    ASTValidationRule,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    InputObjectTypeDefinitionNode,
    InterfaceTypeDefinitionNode,
    ObjectTypeDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    is_input_object_type,
    visit,
)

from app.api import error_format
from app.api.documents.formats import ManifestEntry, ManifestFault, ManifestUnreadable
from app.api.limits import Estimate, Limiter, Limits
from app.api.problems import RequestRefused
from app.execution.documents import Document, DocumentCache, is_subscription
from app.store.records import NewDocument
from app.vault.pan import looks_like_card_number

_DIRECTIVE: Final = "requiresScope"
_KEY: Final = "IdempotencyKey"
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class CheckedDocuments:
    """A valid document, the scopes that it needs (one of each group), and its estimated cost."""

    new: NewDocument
    scopes: tuple[frozenset[str], ...]
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class _Publisher:
    name: str
    scopes: frozenset[str]


class Checker:
    """Checks documents against one schema and one set of limits."""

    def __init__(
        self, schema: GraphQLSchema, limiter: Limiter, rules: Collection[type[ASTValidationRule]] = ()
    ) -> None:
        self._limiter = limiter
        self._schema = schema
        self._documents = DocumentCache(
            schema, max_bytes=0, max_tokens=limiter.limits.tokens, suggest=True, screen=limiter.screen, rules=rules
        )
        self._scopes = ScopeTable(schema)

    @classmethod
    def from_sdl(cls, sdl: str, limits: Limits, rules: Collection[type[ASTValidationRule]] = ()) -> "Checker":
        """A checker for a printed schema; `rules` extend GraphQL's. Raises ManifestUnreadable if it is not SDL."""
        try:
            schema = build_schema(sdl, assume_valid_sdl=True)
        except (GraphQLError, TypeError):
            raise ManifestUnreadable("the schema is not readable as SDL") from None
        return cls(schema, Limiter(schema, limits), rules)

    def check(
        self,
        candidates: Sequence[ManifestEntry],
        *,
        partner_scopes: frozenset[str] | None,
        progress: Progress | None = None,
    ) -> tuple[list[CheckedDocuments], list[ManifestFault]]:
        """All valid documents, and all faults. With `partner_scopes` None, scopes are not checked."""
        good: list[CheckedDocuments] = []
        faults: list[ManifestFault] = []
        for candidate in candidates:
            found = list(self._faults(candidate, partner_scopes, good))
            faults.extend(found)
            if progress is not None:
                progress(1)
        return good, faults

    def _faults(
        self, candidate: ManifestEntry, partner_scopes: frozenset[str] | None, good: list[CheckedDocuments]
    ) -> Iterator[ManifestFault]:
        shown = candidate.name or candidate.document_id
        if looks_like_card_number(candidate.text):
            yield ManifestFault(candidate.place, "", "contains a card number")
            return
        document = self._documents.prepare(candidate.text)
        broken = [document.parse_error] if document.parse_error is not None else list(document.errors)
        if broken:
            yield from (ManifestFault(_placed(candidate.place, error), shown, message_of(error)) for error in broken)
            return
        if len(document.operations) != 1:
            yield ManifestFault(candidate.place, shown, "a published document must contain exactly one operation")
            return
        if self._has_fixed_key(document):
            yield ManifestFault(candidate.place, shown, "an idempotency key must be a variable: each write has its own")
            return
        needed = self._scopes.needed(document)
        if partner_scopes is not None:
            for group in needed:
                if not group & partner_scopes:
                    yield ManifestFault(candidate.place, shown, f"needs the scope {' or '.join(sorted(group))}")
                    return
        try:
            cost = self._cost(document, partner_scopes)
        except RequestRefused as refused:
            yield ManifestFault(candidate.place, shown, refused.message)
            return
        operation = document.operation(None)
        assert operation is not None
        estimate = self._limiter.estimate(document, operation, {})
        good.append(CheckedDocuments(_new(candidate, document, cost), needed, estimate))

    def _has_fixed_key(self, document: Document) -> bool:
        """Whether a key is written in the document: then every call but the first would only repeat its result."""
        assert document.node is not None
        info, found = TypeInfo(self._schema), False

        class Keys(Visitor):
            def enter_variable_definition(self, *_: Any) -> Any:
                return SKIP

            def enter_string_value(self, *_: Any) -> None:
                nonlocal found
                kind = get_named_type(info.get_input_type())
                found = found or (kind is not None and kind.name == _KEY)

        visit(document.node, TypeInfoVisitor(info, Keys()))
        return found

    def _cost(self, document: Document, scopes: frozenset[str] | None) -> int:
        """The price without variables; each request is priced again with its variables."""
        operation = document.operation(None)
        assert operation is not None
        return self._limiter.admit(document, operation, {}, _Publisher("publish", scopes or frozenset({"explore"})))


class ScopeTable:
    """`@requiresScope` of every field, from the schema's definitions."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._fields: dict[tuple[str, str], frozenset[str]] = {}
        for name, kind in schema.type_map.items():
            node = kind.ast_node
            if isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode):
                for field in node.fields or ():
                    if scopes := _any_of(field.directives or ()):
                        self._fields[name, field.name.value] = scopes

    def allows(self, owner: str, field: str, scopes: frozenset[str]) -> bool:
        """True if these scopes suffice for this field of a type."""
        wanted = self._fields.get((owner, field))
        return wanted is None or not wanted.isdisjoint(scopes)

    def needed(self, document: Document) -> tuple[frozenset[str], ...]:
        """Groups of scopes; the document needs one scope of each group."""
        assert document.node is not None
        found: dict[frozenset[str], None] = {}
        info = TypeInfo(self._schema)
        table = self._fields

        class Fields(Visitor):
            def enter_field(self, node: FieldNode, *_: Any) -> None:
                parent = info.get_parent_type()
                if parent is not None and (scopes := table.get((parent.name, node.name.value))):
                    found[scopes] = None

            def enter_object_field(self, node: Any, *_: Any) -> None:
                parent = info.get_parent_input_type()
                kind = get_named_type(parent) if parent is not None else None
                if kind is not None and is_input_object_type(kind):
                    scopes = table.get((kind.name, node.name.value))
                    if scopes:
                        found[scopes] = None

        visit(document.node, TypeInfoVisitor(info, Fields()))
        return tuple(found)


def _any_of(directives: Iterable[Any]) -> frozenset[str] | None:
    for directive in directives:
        if directive.name.value == _DIRECTIVE:
            values = directive.arguments[0].value.values
            return frozenset(value.value for value in values)
    return None


def _new(candidate: ManifestEntry, document: Document, cost: int) -> NewDocument:
    operation = document.operation(None)
    assert operation is not None
    return NewDocument(
        document_id=candidate.document_id,
        text=candidate.text,
        sha256=sha256(candidate.text.encode()).hexdigest(),
        operation_kind="subscription" if is_subscription(operation) else operation.operation.value,
        operation_name=operation.name.value if operation.name else None,
        cost=cost,
    )


def message_of(error: GraphQLError) -> str:
    """The error in one line without values: a literal may be a secret, and partners' CI prints this."""
    rows = error_format.format_document_errors([error], "GRAPHQL_VALIDATION_FAILED")
    return " ".join((rows[0]["message"] if rows else error.message).split())


def _placed(place: str, error: GraphQLError) -> str:
    return f"{place}:{error.locations[0].line}:{error.locations[0].column}" if error.locations else place
