"""Validation errors of literals, located and worded like those of variables."""

from typing import Any

from graphql import (
    SKIP,
    ArgumentNode,
    GraphQLError,
    GraphQLInputType,
    ValueNode,
    ValuesOfCorrectTypeRule,
    VariableDefinitionNode,
)
from graphql.pyutils import print_path_list
from graphql.utilities.validate_input_value import validate_input_literal


class LocatedValuesRule(ValuesOfCorrectTypeRule):
    """graphql-core's rule, with the argument or variable and the path within its value in the error message."""

    _subject = "Argument ''"

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> None:
        self._subject = f"Variable '${node.variable.name.value}' has invalid default value"

    def enter_argument(self, node: ArgumentNode, *_: Any) -> None:
        self._subject = f"Argument '{node.name.value}' has invalid value"

    def is_valid_value_node(self, node: ValueNode, input_type: GraphQLInputType | None) -> Any:
        def on_error(error: GraphQLError, path: list[str | int]) -> None:
            text = f"{self._subject}{print_path_list(path)}: {error.message}"
            placed = [one for one in error.nodes or () if one.loc is not None]  # skip synthetic nodes
            self.report_error(GraphQLError(text, placed or node))

        if input_type is not None:
            validate_input_literal(node, input_type, on_error, None, None, self.context.hide_suggestions)
        return SKIP
