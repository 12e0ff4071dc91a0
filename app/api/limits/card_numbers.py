"""Refuses requests that contain card numbers, before a document is stored, a variable read or a name echoed.

Values of a mutation's `input` are checked by `resolvers.inputs.rules`, which reports them in `userErrors` and knows the
one field that takes a card number. Everything else is checked here: names, literals and variables.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from graphql import (
    SKIP,
    ArgumentNode,
    DocumentNode,
    FloatValueNode,
    GraphQLError,
    IntValueNode,
    NameNode,
    StringValueNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)

from app.api.problems import PROBLEMS, RequestRefused
from app.execution.documents import Document
from app.vault.pan import looks_like_card_number

CODE: Final = "PAN_NOT_ALLOWED"
_INPUT: Final = "input"  # the argument of every mutation, and of no other field
_MEMO: Final = "gate.card_numbers"  # in a document's memo: names of the variables to check
_SHORTEST: Final = 12


def refused_in(node: DocumentNode) -> list[GraphQLError]:
    """At most one error, for the first card number in a name or literal of the document."""
    text = node.loc.source.body if node.loc is not None else "\\"
    if "\\" not in text and not looks_like_card_number(text):  # escape sequences could hide digits
        return []
    found = _Texts()
    visit(node, found)
    return [] if found.first is None else [GraphQLError(PROBLEMS[CODE].message, found.first, extensions={"code": CODE})]


def check_variables(document: Document, variables: Mapping[str, Any]) -> None:
    """Raises RequestRefused for the first variable that contains a card number."""
    if not variables:
        return
    try:
        names: Sequence[str] = document.memo[_MEMO]
    except KeyError:
        names = document.memo[_MEMO] = _variables_of(document)
    for name in names:
        if name in variables and _holds_one(variables[name]):
            raise RequestRefused(
                CODE, f"The variable ${name} holds a card number, which is not allowed. It was not stored."
            )


def check_text(text: str) -> None:
    """Raises RequestRefused if a document to be stored contains a card number, comments included."""
    if looks_like_card_number(text):
        raise RequestRefused(CODE, "The document holds a card number, which is not allowed. It was not stored.")


def check_name(operation_name: str | None) -> None:
    """Raises RequestRefused if an operation name contains a card number."""
    if operation_name is not None and looks_like_card_number(operation_name):
        raise RequestRefused(CODE, "operationName holds a card number, which is not allowed. It was not stored.")


def _holds_one(value: Any) -> bool:
    if value.__class__ is str:
        return len(value) >= _SHORTEST and looks_like_card_number(value)
    if isinstance(value, Mapping):
        return any(_holds_one(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return any(map(_holds_one, value))
    return isinstance(value, int | float) and looks_like_card_number(str(value))  # an ID may be sent as a number


class _Texts(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.first: NameNode | StringValueNode | IntValueNode | FloatValueNode | None = None
        self._inputs = 0

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        self._inputs += node.name.value == _INPUT

    def leave_argument(self, node: ArgumentNode, *_: Any) -> None:
        self._inputs -= node.name.value == _INPUT

    def enter_name(self, node: NameNode, *_: Any) -> None:
        self._check(node)

    def _check_value(self, node: Any, *_: Any) -> None:
        if not self._inputs:
            self._check(node)

    enter_string_value = enter_int_value = enter_float_value = _check_value

    def _check(self, node: Any) -> None:
        if self.first is None and len(node.value) >= _SHORTEST and looks_like_card_number(node.value):
            self.first = node


class _Variables(Visitor):
    """Collects the variables that are used outside a mutation's input."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def enter_argument(self, node: ArgumentNode, *_: Any) -> Any:
        return SKIP if node.name.value == _INPUT else None

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> Any:
        return SKIP

    def enter_variable(self, node: VariableNode, *_: Any) -> None:
        self.names[node.name.value] = None


def _variables_of(document: Document) -> tuple[str, ...]:
    found = _Variables()
    if document.node is not None:
        visit(document.node, found)
    return tuple(found.names)
