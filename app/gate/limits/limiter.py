"""The limits of a document, kept with it; and its price under the variables of one request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode

from app.execution.documents import Document, is_mutation
from app.gate.limits.prices import PriceList
from app.gate.limits.rules import Limits
from app.gate.limits.survey import Charge, Measures, SpreadTooDeep, Surveyor
from app.gate.limits.variables import check_variables
from app.gate.problems import PROBLEMS, Refused

EXPLORE: Final = "explore"
_MEMO: Final = "limits"


class HasScopes(Protocol):
    @property
    def scopes(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class _Row:
    """What admission needs of one operation. `fixed` is the price that no variable changes."""

    introspects: bool
    fixed: int
    varying: Sequence[Charge]


class Limiter:
    """One for the process. `screen` goes to the documents' store, `admit` runs for every request."""

    def __init__(self, schema: GraphQLSchema, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._schema = schema
        self._prices = PriceList(schema)

    def screen(self, node: DocumentNode, operations: Sequence[OperationDefinitionNode]) -> Sequence[GraphQLError]:
        """Before validation, which costs more than this: the first limit that the document breaks, if any."""
        surveyor = Surveyor(self._schema, self._prices, node)
        for operation in operations:
            try:
                measures = surveyor.measure(operation)
            except (SpreadTooDeep, RecursionError):
                return [_error("DEPTH_LIMIT", "Fragments are spread within fragments too deep.", {})]
            if error := self._broken(operation, measures):
                return [error]
        return ()

    def admit(
        self,
        document: Document,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
        caller: HasScopes,
    ) -> int:
        """The price of this request in calls to vaults; raises Refused. Pure: nothing has been called yet."""
        if variables:
            check_variables(variables, self.limits)
        row = self._row(document, operation)
        if row.introspects and EXPLORE not in caller.scopes:
            raise Refused("INTROSPECTION_DISABLED")
        cost = row.fixed
        for charge in row.varying:
            cost += charge.price(variables)
        if cost > self.limits.cost:
            raise Refused(
                "COST_ESTIMATED_TOO_EXPENSIVE",
                f"The request may cost {cost} calls to vaults, and {self.limits.cost} are allowed.",
                cost={"requested": cost, "maximum": self.limits.cost},
            )
        return cost

    def prepare(self, document: Document) -> None:
        """Price a document that will be used again, before its first request."""
        if document.node is not None and not document.errors:
            for operation in document.operations.values():
                self._row(document, operation)

    def _row(self, document: Document, operation: OperationDefinitionNode) -> _Row:
        rows: dict[int, _Row] = document.memo.setdefault(_MEMO, {})
        row = rows.get(id(operation))  # the document keeps its nodes alive, so an id is not used again
        if row is None:
            row = rows[id(operation)] = self._made(document, operation)
        return row

    def _made(self, document: Document, operation: OperationDefinitionNode) -> _Row:
        assert document.node is not None
        surveyor = Surveyor(self._schema, self._prices, document.node)
        charges = surveyor.charges(operation)
        varying = tuple(one for one in charges if one.variable is not None)
        fixed = sum(one.price({}) for one in charges if one.variable is None)
        return _Row(surveyor.measure(operation).introspects, fixed, varying)

    def _broken(self, operation: OperationDefinitionNode, found: Measures) -> GraphQLError | None:
        limits = self.limits
        if is_mutation(operation) and found.top_fields > limits.mutation_fields:
            return _over("ROOT_FIELD_LIMIT", limits.mutation_fields, found.top_fields)
        for code, name in _CHECKS:
            limit, number = getattr(limits, name), getattr(found, _MEASURED.get(name, name))
            if number > limit:
                return _over(code, limit, number)
        return None


_CHECKS: Final = (
    ("DEPTH_LIMIT", "depth"),
    ("ALIAS_LIMIT", "aliases"),
    ("FIELD_LIMIT", "fields"),
    ("ROOT_FIELD_LIMIT", "root_fields"),
    ("DIRECTIVE_LIMIT", "directives"),
    ("LIST_LIMIT", "list_items"),
)
_MEASURED: Final = {"root_fields": "top_fields", "list_items": "longest_list"}


def _over(code: str, limit: int, found: int) -> GraphQLError:
    return _error(code, PROBLEMS[code].message, {"limit": limit, "found": found})


def _error(code: str, message: str, extensions: Mapping[str, Any]) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code, **extensions})
