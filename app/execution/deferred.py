"""Deferred fragments (`@defer`) of an operation that has a plan.

An object's deferred fields form groups (`internals.FieldGroups`). Each group runs on the same object with errors of its
own, concurrently with the rest, except in a mutation: there it starts when every field of the mutation has run.
graphql-core's publisher decides what is delivered when, so the response equals the one without a plan.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, Self, cast

from graphql import ExecutionResult, ExperimentalIncrementalExecutionResults

from app.execution import strawberry_internals as internals
from app.execution.selected import IS_DEFERRED, SelectedField
from app.execution.state import Path, Run, keys_of

Result = ExecutionResult | ExperimentalIncrementalExecutionResults


class ReadsDeferred(Protocol):
    """An object that was read for the fields selected with it alone, and is read again for each deferred group."""

    def read_deferred(self, info: Any, fields: Sequence[SelectedField]) -> Awaitable[Self]:
        """The object for these fields: those executed with it and those of the group. `info` is of one of them."""
        ...


class Deliveries:
    """The state that all parts of an operation share. Implements graphql-core's `IncrementalPublisherContext`."""

    abort_signal: Any = None

    def __init__(self, *, is_early: bool) -> None:
        self.is_early = is_early
        self._known: dict[tuple[int, Path | None], internals.DeliveryGroup] = {}
        self._pending: set[asyncio.Future[Any]] = set()

    def enter(self, fragment: internals.DeferUsage, path: Path | None) -> internals.DeliveryGroup:
        """The fragment begins at the object at `path`."""
        above = fragment.parent_defer_usage
        parent = None if above is None else self.delivery(above, path)
        at = None if path is None else internals.path_of(path)
        made = self._known[id(fragment), path] = internals.DeliveryGroup(at, fragment.label, parent)
        return made

    def delivery(self, fragment: internals.DeferUsage, path: Path | None) -> internals.DeliveryGroup:
        """The fragment's delivery for the object at `path`, at which it begins or which is below that."""
        while (id(fragment), path) not in self._known:
            assert path is not None
            path = path[0]
        return self._known[id(fragment), path]

    def start(self, computation: "internals.Computation[internals.WorkResult]") -> None:
        computation.prime()
        future = computation.pending_future
        if future is not None:
            self._pending.add(future)
            future.add_done_callback(self._pending.discard)

    def abort_error(self) -> Exception:
        raise NotImplementedError  # without a signal, graphql-core does not ask

    async def cancel_incremental_work(self, reason: BaseException | None = None) -> None:
        pending = tuple(self._pending)
        for future in pending:
            future.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def run_async_work_finished_hook(self) -> None:
        return None


class Deferral:
    """The deferred groups that one execution met: the operation's, or a deferred group's own."""

    def __init__(self, deliveries: Deliveries) -> None:
        self.deliveries = deliveries
        self._entered: list[internals.DeliveryGroup] = []
        self._tasks: list[internals.ExecutionGroup] = []

    def enter(self, fragments: Sequence[internals.DeferUsage], path: Path | None) -> None:
        """Must precede the execution of the object's fields, as they may belong to these fragments too."""
        for one in fragments:
            self._entered.append(self.deliveries.enter(one, path))

    def add(
        self, run: Run, fragments: internals.DeferUsageSet, execute: Callable[[Run], Awaitable[Any]], path: Path | None
    ) -> None:
        """Add a group of fields of the object at `path`. `execute` runs it and returns its data."""
        deliveries = self.deliveries
        groups = [deliveries.delivery(one, path) for one in fragments]
        part = _part_of(run)
        work = partial(_completed, part, groups, execute, path)
        computation: internals.Computation[internals.WorkResult] = internals.Computation(work, _deferral_of(part).abort)
        if deliveries.is_early:
            deliveries.start(computation)
        self._tasks.append(internals.ExecutionGroup(groups, computation, cast(Any, path)))

    def abort(self, reason: BaseException | None = None) -> None:
        for task in self._tasks:
            task.computation.abort(reason)

    def work(self, run: Run) -> internals.Work:
        """What is to be delivered. Cancels groups of objects that an error of this execution made null."""
        tasks: list[internals.ExecutionGroup] = []
        for task in self._tasks:
            if run.is_null(cast(Any, task.path)):
                task.computation.abort(RuntimeError("an error made the object null"))
            else:
                tasks.append(task)
        return internals.Work(self._entered, tasks)


async def deliver(run: Run, execution: Awaitable[ExecutionResult]) -> Result:
    """The result of `execution`, which `run` belongs to; with the deferred groups, if it met any."""
    deferral = _deferral_of(run)
    try:
        result = await execution
    except BaseException:
        await deferral.deliveries.cancel_incremental_work()
        raise
    work = deferral.work(run)
    if not work.tasks:
        return result
    assert result.data is not None
    return internals.IncrementalPublisher().build_response(result.data, result.errors, work, deferral.deliveries)


async def read_again(info: Any, source: Any, fields: Sequence[SelectedField]) -> Any:
    """The object on which a deferred group with these fields runs."""
    read = getattr(source, "read_deferred", None)
    return source if read is None else await read(info, fields)


def _part_of(run: Run) -> Run:
    part = Run(run.schema, run.operation, run.fragments, run.variables, run.context, run.hide, run.budget)
    part.deferral = Deferral(_deferral_of(run).deliveries)
    return part


def _deferral_of(run: Run) -> Deferral:
    assert run.deferral is not None
    return run.deferral


async def _completed(
    part: Run,
    groups: Sequence[internals.DeliveryGroup],
    execute: Callable[[Run], Awaitable[Any]],
    path: Path | None,
) -> internals.WorkResult:
    IS_DEFERRED.set(True)
    deferral = _deferral_of(part)
    try:
        await part.budget.begin_part()
        data = await execute(part)
    except Exception:
        deferral.abort()
        raise
    value = internals.ExecutionGroupValue(groups, keys_of(path), data, part.errors or None)
    return internals.WorkResult(value, deferral.work(part))
