"""Secrets must be sent in variables: the texts of documents are stored, hashed, shown in GraphiQL and logged."""

from typing import Any

from graphql import (
    GraphQLError,
    GraphQLInputObjectType,
    ObjectFieldNode,
    ValidationRule,
    VariableDefinitionNode,
    VariableNode,
    get_named_type,
)
from graphql.language import NamedTypeNode, Node, NullValueNode, TypeNode, ValueNode

from resolvers.directives import Sensitive

_SCALAR = "SensitiveString"
_MESSAGE = "A sensitive value must be sent in a variable, not in the document's text."


class SecretsInVariablesOnly(ValidationRule):
    """Refuses literals for `@sensitive` fields, and defaults of variables for them. Quotes no value."""

    def enter_object_field(self, node: ObjectFieldNode, *_: Any) -> None:
        holder = get_named_type(self.context.get_parent_input_type())
        if not isinstance(holder, GraphQLInputObjectType):
            return
        field = holder.fields.get(node.name.value)
        if field is not None and is_sensitive(field) and _is_literal(node.value):
            self.report_error(_error(node.name))

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        if node.default_value is not None and _name_of(node.type) == _SCALAR and _is_literal(node.default_value):
            self.report_error(_error(node.variable))


def is_sensitive(field: Any) -> bool:
    """True if an input field of graphql-core is `@sensitive`, whether created by Strawberry or read from SDL."""
    if field.ast_node is not None:
        return any(one.name.value == "sensitive" for one in field.ast_node.directives or ())
    made = field.extensions.get("strawberry-definition")
    return any(isinstance(one, Sensitive) for one in getattr(made, "directives", None) or ())


def _error(node: Node) -> GraphQLError:
    return GraphQLError(_MESSAGE, node, extensions={"code": "GRAPHQL_VALIDATION_FAILED"})


def _is_literal(value: ValueNode) -> bool:
    return not isinstance(value, VariableNode | NullValueNode)


def _name_of(node: TypeNode) -> str:
    inner: Any = node
    while not isinstance(inner, NamedTypeNode):
        inner = inner.type
    return inner.name.value
