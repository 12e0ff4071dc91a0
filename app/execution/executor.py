"""graphql-core's executor with a budget: operations without a plan have the same limits and scheduling."""

from collections.abc import Awaitable, Iterable, Iterator
from typing import Any

import strawberry
from graphql.error import located_error

from app.execution import strawberry_internals as internals
from app.execution.budget import STEPS_BY_LIBRARY, TooLarge, budget_of
from app.execution.deferred import read_again
from app.execution.selected import IS_DEFERRED, selected_fields
from app.execution.strawberry_internals import (
    LibraryExecutor,
    Path,
    collect_iterator_awaitables,
    gather_with_cancel,
    to_nodes,
)


class BoundedExecutor(LibraryExecutor):
    """`Executor` of graphql-core 3.3 as extended by Strawberry; the overridden methods keep their signatures."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.budget = budget_of(self.context_value)
        self._sizes: dict[int, tuple[int, Any]] = {}

    def build_per_event_executor(self, payload: Any) -> Any:
        self.budget.renew()
        return super().build_per_event_executor(payload)

    def execute_fields(self, parent_type: Any, source_value: Any, path: Any, grouped_field_set: Any, *more: Any) -> Any:
        self._take(grouped_field_set)
        return super().execute_fields(parent_type, source_value, path, grouped_field_set, *more)

    def _take(self, grouped_field_set: Any) -> None:
        known = self._sizes.get(id(grouped_field_set))
        if known is None:
            size = sum(len(one) + 5 for one in grouped_field_set)
            known = self._sizes[id(grouped_field_set)] = (
                size,
                grouped_field_set,
            )  # keeps the object, and so its id, alive
        self.budget.take(len(grouped_field_set), known[0], STEPS_BY_LIBRARY)

    async def execute_fields_serially(
        self, parent_type: Any, source_value: Any, path: Any, grouped_field_set: Any, position_context: Any
    ) -> dict[str, Any]:
        """If a field exceeds the budget, it is null and later fields do not run."""
        results: dict[str, Any] = {}
        self._take(grouped_field_set)
        for name, details in grouped_field_set.items():
            field_path = Path(path, name, parent_type.name)
            try:
                if self.budget.error is not None:
                    raise self.budget.error
                done = self.execute_field(parent_type, source_value, details, field_path, position_context)
                results[name] = await done if self.is_awaitable(done) else done
            except TooLarge as error:
                results[name] = None
                self.collected_errors.add(located_error(error, to_nodes(details), field_path.as_list()), field_path)
        return results

    def handle_field_error(self, raw_error: Exception, *more: Any) -> None:
        """TooLarge fails the whole response; it does not become null at a nullable field."""
        if isinstance(raw_error, TooLarge):
            raise raw_error
        super().handle_field_error(raw_error, *more)

    async def complete_awaitable_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        return await super().complete_awaitable_value(
            return_type, field_details_list, info, path, self._in_turn(result), position_context
        )

    async def _in_turn(self, result: Awaitable[Any]) -> Any:
        found = await result
        if self.budget.until_turn < 0:
            await self.budget.turn()
        return found

    def complete_iterable_value(
        self, item_type: Any, details: Any, info: Any, path: Any, items: Iterable[Any], position_context: Any
    ) -> Any:
        """Complete items one by one, across several slices if needed. `@stream` is not supported."""
        listed = _List(self, (item_type, details, info), path, position_context)
        rest = iter(items)
        budget = self.budget
        try:
            for one in rest:
                listed.add(one)
                if budget.until_turn < 0:
                    return self._in_turns(listed, rest)
        except Exception:
            self._abandon(listed, rest)
            raise
        return listed.finished() if listed.waiting else listed.results

    async def _in_turns(self, listed: "_List", rest: Iterator[Any]) -> list[Any]:
        budget = self.budget
        try:
            await budget.turn()
            for one in rest:
                listed.add(one)
                if budget.until_turn < 0:
                    await budget.turn()
        except Exception:
            self._abandon(listed, rest)
            raise
        except BaseException:  # the request was cancelled: close coroutines that have not started
            for index in listed.waiting:
                listed.results[index].close()
            raise
        return await listed.finished() if listed.waiting else listed.results

    def _abandon(self, listed: "_List", rest: Iterator[Any]) -> None:
        pending = [listed.results[index] for index in listed.waiting]
        pending.extend(collect_iterator_awaitables(rest, self.is_awaitable))
        if pending:
            self.settle_in_background(pending)


class DeferringExecutor(BoundedExecutor):
    """`BoundedExecutor` for operations with `@defer`: objects are read again for their deferred groups."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._details: internals.Details | None = None
        self._beside: dict[int, internals.Grouped] = {}  # by id of a group: the fields executed with the object

    def execute_field(self, parent_type: Any, source: Any, details: Any, path: Any, position_context: Any) -> Any:
        self._details = details
        return super().execute_field(parent_type, source, details, path, position_context)

    def build_resolve_info(self, field_def: Any, field_nodes: Any, parent_type: Any, path: Any) -> Any:
        if self._details is not None:
            field_nodes, self._details = internals.FieldNodes(self._details), None
        return super().build_resolve_info(field_def, field_nodes, parent_type, path)

    def execute_collected_subfields(
        self, parent_type: Any, source_value: Any, path: Any, grouped: Any, new_defer_usages: Any, groups: Any
    ) -> Any:
        if new_defer_usages or groups is not None:
            now, later = self.build_sub_execution_plan(grouped)
            self.budget.take_parts(len(later))
            for fields in later.values():
                self._beside[id(fields)] = now
        return super().execute_collected_subfields(parent_type, source_value, path, grouped, new_defer_usages, groups)

    def execute_execution_group(
        self, groups: Any, parent_type: Any, source_value: Any, path: Any, grouped: Any, group_map: Any
    ) -> Any:
        execute = super().execute_execution_group

        async def executed() -> Any:
            IS_DEFERRED.set(True)
            await self.budget.begin_part()
            source = await self._read_again(parent_type, source_value, path, grouped)
            done = execute(groups, parent_type, source, path, grouped, group_map)
            return await done if self.is_awaitable(done) else done

        return executed()

    async def _read_again(self, parent_type: Any, source: Any, path: Any, grouped: internals.Grouped) -> Any:
        place = next(((key, details) for key, details in grouped.items() if self._field(parent_type, details)), None)
        if path is None or place is None:
            return source
        key, details = place
        field = self._field(parent_type, details)
        at = Path(path, key, parent_type.name)
        raw = self.build_resolve_info(field, internals.FieldNodes(details), parent_type, at)
        own: Any = internals.strawberry_field(field)
        fields = selected_fields(raw, parent_type, self._beside.get(id(grouped), {}), grouped)
        return await read_again(strawberry.Info(_raw_info=raw, _field=own), source, fields)

    def _field(self, parent_type: Any, details: internals.Details) -> Any:
        return parent_type.fields.get(details[0].node.name.value)  # None for `__typename`


class _List:
    """A list being completed; `waiting` are the indexes that hold awaitables."""

    __slots__ = ("_context", "_executor", "_path", "_what", "results", "waiting")

    def __init__(self, executor: BoundedExecutor, what: tuple[Any, Any, Any], path: Any, context: Any) -> None:
        self._executor = executor
        self._what = what
        self._path = path
        self._context = context
        self.results: list[Any] = []
        self.waiting: list[int] = []

    def add(self, one: Any) -> None:
        executor, results = self._executor, self.results
        index = len(results)
        at = self._path.add_key(index, None)
        if executor.is_awaitable(one):
            waited = executor._in_turn(one)
            results.append(executor.complete_awaitable_list_item_value(waited, *self._what, at, self._context))
            self.waiting.append(index)
        elif executor.complete_list_item_value(one, results, *self._what, at, self._context):
            self.waiting.append(index)

    async def finished(self) -> list[Any]:
        results, waiting = self.results, self.waiting
        found = await gather_with_cancel(*[results[index] for index in waiting])
        for index, one in zip(waiting, found, strict=True):
            results[index] = one
        return results
