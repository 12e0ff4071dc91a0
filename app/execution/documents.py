"""Documents, parsed and validated once: a bounded store from text to its verdict.

One entry serves every request with the same text, whoever sends it, so an entry depends on the text and the schema
alone. Refusals are kept too: a client that repeats a broken document costs one look-up.
"""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

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

from app.execution.literals import LocatedValuesRule

if TYPE_CHECKING:
    from app.execution.plans import Plans

_MAX_ERRORS = 5  # a document of a thousand mistakes is told of five
_BYTES_PER_CHARACTER = 60  # what a parsed, validated document weighs, measured on the wallet query


Screen = Callable[[DocumentNode, Sequence[OperationDefinitionNode]], Sequence[GraphQLError]]


@dataclass(frozen=True, slots=True)
class Document:
    """`errors` is empty when the document may run. `memo` belongs to whoever derives more from it (limits, plans).

    `plans` is where its operations are planned; None where they are not.
    """

    text: str
    node: DocumentNode | None
    operations: Mapping[str | None, OperationDefinitionNode]
    fragments: Mapping[str, FragmentDefinitionNode]
    parse_error: GraphQLError | None = None
    errors: Sequence[GraphQLError] = ()
    memo: dict[str, Any] = field(default_factory=dict)
    plans: "Plans | None" = None
    sole: OperationDefinitionNode | None = field(init=False)
    """The operation, where there is just one."""

    def __post_init__(self) -> None:
        found = tuple(self.operations.values())
        object.__setattr__(self, "sole", found[0] if len(found) == 1 else None)

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The operation that a request means; None when the name is unknown, or missing where several stand."""
        return self.sole if name is None else self.operations.get(name)


_QUESTIONS: Final = "execution.questions"  # in a document's memo: a number for each of its operations
_numbers: Final = itertools.count()


def question_of(document: Document, operation_name: str | None) -> int:
    """A number that no other operation has, for as long as the document is known."""
    known: dict[str | None, int] = document.memo.setdefault(_QUESTIONS, {})
    number = known.get(operation_name)
    if number is None:
        number = known[operation_name] = next(_numbers)
    return number


class Documents:
    """Text -> Document, least recently used first out, bounded by an estimate of bytes.

    `screen` looks at a parsed document before it is validated; what it finds wrong becomes the document's errors.
    `rules` are validation rules besides GraphQL's own.
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
        self._max_bytes = max_bytes
        self._max_tokens = max_tokens
        self._suggest = suggest
        self._screen = screen
        self._plans = plans
        own = (LocatedValuesRule if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules)
        self._rules = (*own, *rules)
        self._known: OrderedDict[str, Document] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def get(self, text: str) -> Document:
        """The document, parsed and validated now if it is new. Never raises for what the text says."""
        known = self._known.get(text)
        if known is not None:
            self._known.move_to_end(text)
            return known
        document = self.prepare(text)
        self._known[text] = document
        self._bytes += _weight(document)
        while self._bytes > self._max_bytes and self._known:
            _, dropped = self._known.popitem(last=False)
            self._bytes -= _weight(dropped)
        return document

    def prepare(self, text: str) -> Document:
        """Parse and validate without keeping: what `get` does for a new text."""
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
            every = [one for one in node.definitions if isinstance(one, OperationDefinitionNode)]  # same names too
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


def _weight(document: Document) -> int:
    return 1_000 + len(document.text) * _BYTES_PER_CHARACTER
