"""LRU cache of parsed and validated documents, keyed by their text.

An entry depends on the text and the schema alone, because requests of all clients share it. Invalid documents are
cached too, so repeating one costs a lookup.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphql import (
    REMOVE,
    ASTValidationRule,
    DirectiveNode,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLDeferDirective,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    ValuesOfCorrectTypeRule,
    Visitor,
    parse,
    specified_rules,
    validate,
    visit,
)

from app.caching.lru import LruCache
from app.execution.literals import LocatedValuesRule

if TYPE_CHECKING:
    from app.execution.plans import Plans

_MAX_ERRORS = 5  # validation errors reported per document
_BYTES_PER_CHARACTER = 60  # memory of a parsed document, measured on the wallet query
_WITHOUT_DEFER = "# without @defer"


Screen = Callable[[DocumentNode, Sequence[OperationDefinitionNode]], Sequence[GraphQLError]]


@dataclass(frozen=True, slots=True)
class Document:
    """`errors` is empty if the document may run. `memo` caches values derived from the document (limits, plans).

    `plans` caches the plans of its operations; None if they are not planned. `has_defer`: it uses `@defer`.
    """

    text: str
    node: DocumentNode | None
    operations: Mapping[str | None, OperationDefinitionNode]
    fragments: Mapping[str, FragmentDefinitionNode]
    parse_error: GraphQLError | None = None
    errors: Sequence[GraphQLError] = ()
    memo: dict[Any, Any] = field(default_factory=dict)
    plans: "Plans | None" = None
    has_defer: bool = False
    sole: OperationDefinitionNode | None = field(init=False)
    """The operation, if there is only one."""

    def __post_init__(self) -> None:
        found = tuple(self.operations.values())
        object.__setattr__(self, "sole", found[0] if len(found) == 1 else None)

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The named operation, or the only one; None if the name is unknown or ambiguous."""
        return self.sole if name is None else self.operations.get(name)

    @property
    def without_defer(self) -> "Document":
        """The document for clients that accept one response only. Its text is no GraphQL, but tells it apart."""
        found: Document | None = self.memo.get(_WITHOUT_DEFER)
        if found is None:
            assert self.node is not None
            whole = visit(self.node, _DeferRemover())
            operations, fragments = _definitions(whole)
            found = Document(f"{self.text}\n{_WITHOUT_DEFER}", whole, operations, fragments, plans=self.plans)
            self.memo[_WITHOUT_DEFER] = found
        return found


class _DeferRemover(Visitor):
    def enter_directive(self, node: DirectiveNode, *_: Any) -> Any:
        return REMOVE if node.name.value == GraphQLDeferDirective.name else None


class _DeferFinder(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_directive(self, node: DirectiveNode, *_: Any) -> Any:
        self.found = self.found or node.name.value == GraphQLDeferDirective.name


def _uses_defer(text: str, node: DocumentNode) -> bool:
    if GraphQLDeferDirective.name not in text:
        return False
    finder = _DeferFinder()
    visit(node, finder)
    return finder.found


def _definitions(
    node: DocumentNode,
) -> tuple[dict[str | None, OperationDefinitionNode], dict[str, FragmentDefinitionNode]]:
    """Operations and fragments by name."""
    operations = {
        one.name.value if one.name else None: one
        for one in node.definitions
        if isinstance(one, OperationDefinitionNode)
    }
    fragments = {one.name.value: one for one in node.definitions if isinstance(one, FragmentDefinitionNode)}
    return operations, fragments


class DocumentCache:
    """LRU cache from text to Document, bounded by estimated bytes.

    `screen` checks a parsed document before validation; the errors it returns become the document's errors. `rules`
    are additional validation rules.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        max_bytes: int,
        max_tokens: int,
        suggest: bool,
        screen: Screen | None = None,
        rules: Collection[type[ASTValidationRule]] = (),
        plans: "Plans | None" = None,
    ) -> None:
        self._schema = schema
        self._max_tokens = max_tokens
        self._suggest = suggest
        self._screen = screen
        self._plans = plans
        own = (LocatedValuesRule if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules)
        self._rules = (*own, *rules)
        self._known: LruCache[str, Document] = LruCache(max_bytes)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, text: str) -> Document:
        """The cached document; a new text is parsed and validated first. Invalid text does not raise."""
        document = self._known.peek(text)
        if document is not None:
            self._known.touch(text)
        else:
            document = self.prepare(text)
            copies = 2 if document.has_defer else 1
            self._known.put(text, document, weight=1_000 + len(text) * _BYTES_PER_CHARACTER * copies)
        return document

    def prepare(self, text: str) -> Document:
        """Parse and validate without caching."""
        try:
            node = parse(
                text,
                max_lexical_tokens=self._max_tokens,
                max_comments=self._max_tokens,
                allow_empty_selection_sets=False,
            )
        except GraphQLError as error:
            return Document(text, None, {}, {}, parse_error=error)
        except RecursionError:
            return Document(text, None, {}, {}, parse_error=GraphQLError("Syntax Error: nested too deep."))
        operations, fragments = _definitions(node)
        if self._screen is not None:
            every = [
                one for one in node.definitions if isinstance(one, OperationDefinitionNode)
            ]  # also duplicate names
            refused = self._screen(node, every)
            if refused:
                return Document(text, node, operations, fragments, errors=tuple(refused))
        errors = validate(
            self._schema,
            node,
            self._rules,
            max_errors=_MAX_ERRORS,
            hide_suggestions=not self._suggest,
            allow_empty_selection_sets=False,
        )
        has_defer = _uses_defer(text, node)
        return Document(text, node, operations, fragments, errors=tuple(errors), plans=self._plans, has_defer=has_defer)


def is_mutation(operation: OperationDefinitionNode) -> bool:
    return operation.operation is OperationType.MUTATION


def is_subscription(operation: OperationDefinitionNode) -> bool:
    return operation.operation is OperationType.SUBSCRIPTION
