"""The plan of one operation: compiles its variants on demand and runs them."""

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from types import CoroutineType
from typing import Any, Final

import strawberry
from graphql import ExecutionResult, FragmentDefinitionNode, GraphQLError, OperationDefinitionNode, OperationType

from app.execution import strawberry_internals as internals
from app.execution.budget import budget_of
from app.execution.deferred import Deferral, Deliveries, Result, deliver
from app.execution.measure import Measurement, Unsupported, measure
from app.execution.selections import DeferringSelection, Variant, execute_fields, execute_serially
from app.execution.state import Run
from app.execution.variables import acceptor

MOST_VARIANTS: Final = 16  # otherwise a hostile document could create one for each combination of its variables
_MOST_RIGHTS: Final = 100  # of which a plan knows the guards that allow them
_BYTES_PER_FIELD: Final = 600  # measured: tracemalloc over the wallet's plan
Key = tuple[tuple[object, ...], tuple[bool, ...]]


class Plan:
    """Stateless and shared by all requests with the document. The constructor raises Unsupported."""

    def __init__(
        self,
        schema: strawberry.Schema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        *,
        is_fast: bool = True,
    ) -> None:
        self.measurement: Measurement = measure(schema, operation, fragments)
        self._strawberry = schema
        self._schema = schema._schema
        self._operation = operation
        self._fragments = dict(fragments)
        self._is_fast = is_fast
        self._is_serial = operation.operation is OperationType.MUTATION
        self._accept = acceptor(self._schema, operation)
        self.on_growth: Callable[[], None] = _ignore
        """Called when `weight` may have grown: after the 1st, 2nd, 4th ... run, as a plan grows ever more rarely."""
        self._runs = 0
        self._variants: OrderedDict[Key, Variant] = OrderedDict()
        self._rights = _rights_of(self.measurement.guards)
        self._passed: dict[Hashable, tuple[bool, ...]] = {}  # by the caller's rights

    def start(self, inputs: Mapping[str, Any], context: Any, *, hide_suggestions: bool) -> Coroutine[Any, Any, Result]:
        """A coroutine of graphql-core's result. Raises Unsupported immediately, before any resolver is called."""
        variables = self._accept(inputs, hide_suggestions)
        if variables.__class__ is list:
            return _refused(variables)
        variant = self._variant(variables.coerced, context)
        budget = budget_of(context)
        run = Run(self._schema, self._operation, self._fragments, variables, context, hide_suggestions, budget)
        return self._deliver(run, variant) if self.measurement.has_defer else self._execute(run, variant)

    async def _deliver(self, run: Run, variant: Variant) -> Result:
        """As `_execute`, with deferred fragments."""
        run.deferral = Deferral(Deliveries(is_early=not self._is_serial))
        root = variant.root
        if isinstance(root, DeferringSelection):
            root.enter(run, None)
            root.defer(run, None, None)
        return await deliver(run, self._execute(run, variant))

    async def _execute(self, run: Run, variant: Variant) -> ExecutionResult:
        data: dict[str, Any] | None
        root = variant.root
        try:
            run.budget.take(*root.own_weight)
            if self._is_serial:
                data = await execute_serially(run, root)
            elif root.sole is not None:
                key, execute = root.sole
                done = execute(run, None, None)
                data = {key: await done if done.__class__ is CoroutineType else done}
            else:
                done = execute_fields(run, None, None, root.executors, {})
                data = await done if done.__class__ is CoroutineType else done
        except GraphQLError as error:
            run.add(error, None)
            data = None
        self._runs = runs = self._runs + 1
        if runs & (runs - 1) == 0:
            self.on_growth()
        return ExecutionResult(data, run.errors or None)

    @property
    def weight(self) -> int:
        """Estimated bytes. Grows as more is compiled."""
        weight = 0
        for one in self._variants.values():
            weight += one.weight
        return 1_000 + weight * _BYTES_PER_FIELD

    def _variant(self, values: Mapping[str, Any], context: Any) -> Variant:
        measurement = self.measurement
        conditions: tuple[Any, ...] = ()
        if measurement.conditions:
            conditions = tuple([values.get(name) for name in measurement.conditions])
            if any(one is not True and one is not False for one in conditions):
                raise Unsupported("condition", "a condition without a value")
        rights = self._rights(context) if self._rights is not None else None
        known = self._passed
        passed = known[rights] if rights is not None and rights in known else self._passed_guards(context, rights)
        key = conditions, passed
        if key in self._variants:
            return self._variants[key]
        found = self._variants[key] = Variant(
            self._strawberry,
            self._operation,
            self._fragments,
            dict(zip(measurement.conditions, conditions, strict=True)),
            frozenset(id(guard) for guard, passes in zip(measurement.guards, passed, strict=True) if passes),
            is_fast=self._is_fast,
        )
        if len(self._variants) > MOST_VARIANTS:
            self._variants.popitem(last=False)
        return found

    def _passed_guards(self, context: Any, rights: Hashable | None) -> tuple[bool, ...]:
        """Whether each guard allows the request; remembered by the caller's rights, if these are known."""
        passed = tuple([guard.allows(context) for guard in self.measurement.guards])
        if rights is not None:
            if len(self._passed) >= _MOST_RIGHTS:
                self._passed.clear()
            self._passed[rights] = passed
        return passed


def _ignore() -> None:
    return None


def _rights_of(guards: Sequence[internals.Guard]) -> Callable[[Any], Hashable] | None:
    """The `rights` of all guards; None if a guard has none, or another than the others."""
    found = {getattr(type(guard), "rights", None) for guard in guards}
    return found.pop() if len(found) == 1 else None


async def _refused(errors: list[GraphQLError]) -> ExecutionResult:
    return ExecutionResult(None, errors=errors)
