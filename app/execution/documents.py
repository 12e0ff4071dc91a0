"""LRU cache of parsed and validated documents, keyed by their text.

An entry depends on the text and the schema alone, because requests of all clients share it. Invalid documents are
cached too, so repeating one costs a lookup.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphql import (
    ASTValidationRule,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    ValuesOfCorrectTypeRule,
    parse,
    specified_rules,
    validate,
)

from app.caching.lru import LruCache
from app.execution.literals import LocatedValuesRule

if TYPE_CHECKING:
    from app.execution.plans import Plans

_MAX_ERRORS = 5  # validation errors reported per document
_BYTES_PER_CHARACTER = 60  # memory of a parsed document, measured on the wallet query


Screen = Callable[[DocumentNode, Sequence[OperationDefinitionNode]], Sequence[GraphQLError]]


@dataclass(frozen=True, slots=True)
class Document:
    """`errors` is empty if the document may run. `memo` caches values derived from the document (limits, plans).

    `plans` caches the plans of its operations; None if they are not planned.
    """

    text: str
    node: DocumentNode | None
    operations: Mapping[str | None, OperationDefinitionNode]
    fragments: Mapping[str, FragmentDefinitionNode]
    parse_error: GraphQLError | None = None
    errors: Sequence[GraphQLError] = ()
    memo: dict[Any, Any] = field(default_factory=dict)
    plans: "Plans | None" = None
    sole: OperationDefinitionNode | None = field(init=False)
    """The operation, if there is only one."""

    def __post_init__(self) -> None:
        found = tuple(self.operations.values())
        object.__setattr__(self, "sole", found[0] if len(found) == 1 else None)

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The named operation, or the only one; None if the name is unknown or ambiguous."""
        return self.sole if name is None else self.operations.get(name)


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
        document = self._known.get(text)
        if document is None:
            document = self.prepare(text)
            self._known.put(text, document, weight=1_000 + len(text) * _BYTES_PER_CHARACTER)
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
        operations = {
            definition.name.value if definition.name else None: definition
            for definition in node.definitions
            if isinstance(definition, OperationDefinitionNode)
        }
        fragments = {
            definition.name.value: definition
            for definition in node.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
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
        return Document(text, node, operations, fragments, errors=tuple(errors), plans=self._plans)


def is_mutation(operation: OperationDefinitionNode) -> bool:
    return operation.operation is OperationType.MUTATION


def is_subscription(operation: OperationDefinitionNode) -> bool:
    return operation.operation is OperationType.SUBSCRIPTION
