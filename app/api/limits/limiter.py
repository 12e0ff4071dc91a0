"""Checks a document's limits (cached with it) and prices a request by its variables."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from graphql import DocumentNode, GraphQLError, GraphQLSchema, IntValueNode, OperationDefinitionNode

from app.api.limits.analyze import DocumentAnalyzer, Measures, SpreadTooDeep
from app.api.limits.card_numbers import refused_in
from app.api.limits.overlaps import comparisons
from app.api.limits.prices import PriceList
from app.api.limits.pricing import RootPrice, root_prices
from app.api.limits.rules import Limits
from app.api.limits.variables import check_variables
from app.api.problems import PROBLEMS, RequestRefused
from app.execution.documents import Document, is_mutation

EXPLORE: Final = "explore"
_MEMO: Final = "limits"
_MOST_SIZES: Final = 64


class HasScopes(Protocol):
    @property
    def scopes(self) -> frozenset[str]: ...


FIELDS_PER_CALL: Final = 500
"""The number of response fields that cost as much as one vault call."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Upper bounds for one request: `calls` to vaults, `statuses` of single payment methods requested in addition, and
    `fields` of the response. `price` is what it is charged.
    """

    calls: int
    statuses: int
    fields: int
    price: int = field(init=False)

    def __post_init__(self) -> None:
        price = max(self.calls + self.statuses, self.fields // FIELDS_PER_CALL)
        object.__setattr__(self, "price", price)  # computed once: most requests have the estimate of their document

    @property
    def summary(self) -> str:
        return (
            f"at most {self.calls} vault calls, {self.statuses} more for single payment methods, "
            f"{self.fields} response fields"
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """What admission needs of one operation. `fixed` is the part that no variable changes.

    `sizing` are the variables that request the size of a list, with their defaults; `by_size` are rows by their values.
    """

    introspects: bool
    fixed: Estimate
    varying: Sequence[RootPrice]
    sizing: Mapping[str, int | None] = field(default_factory=dict)
    by_size: dict[tuple[int | None, ...], "_Row"] = field(default_factory=dict)

    def estimate(self, variables: Mapping[str, Any]) -> Estimate:
        if not self.varying:
            return self.fixed
        return _sum(self.varying, variables, self.fixed)


class Limiter:
    """One per process. `screen` runs once per document, `admit` for every request."""

    def __init__(self, schema: GraphQLSchema, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._schema = schema
        self._prices = PriceList(schema)

    def screen(self, node: DocumentNode, operations: Sequence[OperationDefinitionNode]) -> Sequence[GraphQLError]:
        """Refuse a document with a card number or over a limit, before validation, which is more expensive.

        Fragments that no operation spreads count too, since validation walks them.
        """
        if found := refused_in(node):
            return found
        surveyor = DocumentAnalyzer(self._schema, node)
        try:
            for operation in operations:
                if error := self._broken(surveyor.measure(operation), operation):
                    return [error]
            roots = [one.selection_set for one in operations]
            for fragment in surveyor.unused():
                roots.append(fragment.selection_set)
                if error := self._broken(surveyor.measure_fragment(fragment)):
                    return [error]
        except (SpreadTooDeep, RecursionError):
            return [_error("DEPTH_LIMIT", "Fragments are spread within fragments too deeply.", {})]
        if len(node.definitions) > self.limits.definitions:
            return [_over("DEFINITION_LIMIT", self.limits.definitions, len(node.definitions))]
        most = self.limits.comparisons
        if comparisons(roots, surveyor.fragments, at_most=most) > most:
            return [_error("FIELD_LIMIT", "The document repeats the same fields too often.", {"limit": most})]
        return ()

    def admit(
        self,
        document: Document,
        operation: OperationDefinitionNode,
        variables: Mapping[str, Any],
        caller: HasScopes,
    ) -> int:
        """The price of this request in vault calls; raises RequestRefused. Makes no calls."""
        if variables:
            check_variables(variables, self.limits)
        try:
            row: _Row = document.memo[_MEMO, operation.name.value if operation.name else None]
        except KeyError:
            row = self._row(document, operation)
        if row.sizing:
            row = self._sized(row, document, operation, variables)
        if row.introspects and EXPLORE not in caller.scopes:
            raise RequestRefused("INTROSPECTION_DISABLED")
        found = row.estimate(variables) if row.varying else row.fixed
        limits = self.limits
        if found.calls > limits.cost:
            raise RequestRefused(
                "COST_ESTIMATED_TOO_EXPENSIVE",
                f"The request may cost {found.calls} calls to vaults; {limits.cost} are allowed.",
                cost={"requested": found.calls, "maximum": limits.cost},
            )
        if found.fields > limits.response_fields:
            raise RequestRefused(
                "COST_ESTIMATED_TOO_EXPENSIVE",
                f"The response may contain {found.fields} fields; {limits.response_fields} are allowed.",
                cost={"requestedFields": found.fields, "maximumFields": limits.response_fields},
            )
        return found.price

    def estimate(
        self, document: Document, operation: OperationDefinitionNode, variables: Mapping[str, Any]
    ) -> Estimate:
        """The estimated cost of the request, without checking limits."""
        row = self._row(document, operation)
        return self._sized(row, document, operation, variables).estimate(variables)

    def prepare(self, document: Document) -> None:
        """Price a published document before its first request."""
        if document.node is not None and not document.errors:
            for operation in document.operations.values():
                self._row(document, operation)

    def _row(self, document: Document, operation: OperationDefinitionNode) -> _Row:
        key = _MEMO, operation.name.value if operation.name else None
        try:
            row: _Row = document.memo[key]
        except KeyError:
            row = document.memo[key] = self._made(document, operation)
        return row

    def _sized(
        self, row: _Row, document: Document, operation: OperationDefinitionNode, variables: Mapping[str, Any]
    ) -> _Row:
        values = {name: variables.get(name, default) for name, default in row.sizing.items()}
        sizes = {name: value for name, value in values.items() if isinstance(value, int)}
        if not sizes:
            return row
        key = tuple(sizes.get(name) for name in row.sizing)
        found = row.by_size.get(key)
        if found is None:
            if len(row.by_size) >= _MOST_SIZES:
                row.by_size.clear()
            found = row.by_size[key] = self._made(document, operation, sizes)
        return found

    def _made(
        self, document: Document, operation: OperationDefinitionNode, sizes: Mapping[str, int] | None = None
    ) -> _Row:
        assert document.node is not None
        introspects = DocumentAnalyzer(self._schema, document.node).measure(operation).introspects
        roots, sizing = root_prices(self._schema, self._prices, operation, document.fragments, sizes or {})
        fixed = [one for one in roots if one.variable is None]
        varying = tuple(one for one in roots if one.variable is not None)
        fixed_part = _sum(fixed, {}, Estimate(1 if introspects else 0, 0, 0))
        return _Row(introspects, fixed_part, varying, {} if sizes else _with_defaults(operation, sizing))

    def _broken(self, found: Measures, operation: OperationDefinitionNode | None = None) -> GraphQLError | None:
        """`operation` is None for a fragment that no operation spreads, whose top fields are not root fields."""
        limits = self.limits
        if operation is None:
            found.top_fields = 0
        elif is_mutation(operation) and found.top_fields > limits.mutation_fields:
            return _over("ROOT_FIELD_LIMIT", limits.mutation_fields, found.top_fields)
        for code, name in _CHECKS:
            limit, number = getattr(limits, _LIMITED.get(name, name)), getattr(found, name)
            if number > limit:
                return _over(code, limit, number)
        return None


_CHECKS: Final = (
    ("DEPTH_LIMIT", "depth"),
    ("ALIAS_LIMIT", "aliases"),
    ("FIELD_LIMIT", "fields"),
    ("FIELD_LIMIT", "spreads"),
    ("ROOT_FIELD_LIMIT", "top_fields"),
    ("DIRECTIVE_LIMIT", "directives"),
    ("VARIABLES_LIMIT", "variables"),
    ("LIST_LIMIT", "longest_list"),
)
_LIMITED: Final = {"top_fields": "root_fields", "longest_list": "list_items", "spreads": "fields"}


def _sum(roots: Sequence[RootPrice], variables: Mapping[str, Any], start: Estimate) -> Estimate:
    calls: dict[object, int] = {}
    statuses: dict[object, int] = {}
    fields = start.fields
    for one in roots:
        times = one.times_with(variables)
        key = one.key if one.variable is None else (*one.key, one.variable)
        calls[key] = max(calls.get(key, 0), one.calls * times)
        statuses[key] = max(statuses.get(key, 0), one.statuses * times)
        fields += one.fields * times
    return Estimate(start.calls + sum(calls.values()), start.statuses + sum(statuses.values()), fields)


def _with_defaults(operation: OperationDefinitionNode, names: Collection[str]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for one in operation.variable_definitions or ():
        if one.variable.name.value in names:
            default = one.default_value
            found[one.variable.name.value] = int(default.value) if isinstance(default, IntValueNode) else None
    return found


def _over(code: str, limit: int, found: int) -> GraphQLError:
    return _error(code, PROBLEMS[code].message, {"limit": limit, "found": found})


def _error(code: str, message: str, extensions: Mapping[str, Any]) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code, **extensions})
