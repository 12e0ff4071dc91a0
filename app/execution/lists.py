"""Completes lists of mostly plain objects: generated code for all items first, then the remaining fields.

No resolver is called before the plain fields of every item have succeeded, so a fallback to the interpreter
repeats attribute reads only.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from graphql import GraphQLObjectType
from graphql.type import GraphQLList, GraphQLNonNull, is_abstract_type, is_object_type

from app.execution import strawberry_internals as internals
from app.execution.budget import SLICE, STEPS_INTERPRETED, ExecutionBudget, TooLarge
from app.execution.encoded_lists import EncodedItems, FixedList
from app.execution.interpreter import Completer, closed, filled
from app.execution.state import Path, Run

if TYPE_CHECKING:
    from app.execution.fields import Execute
    from app.execution.selections import Variant


Remaining = list[tuple[int, Sequence[tuple[str, "Execute"]]]]
"""Index of an item, and its fields that must be executed."""


@dataclass(frozen=True, slots=True)
class _AtOnce:
    """A field whose value is often known already: then `attribute` holds it, otherwise None."""

    key: str
    attribute: str
    names: internals.EnumNames
    execute: "Execute"


@dataclass(frozen=True, slots=True)
class _Shape:
    """Generated code for items of one class. `whole` completes an item whose fields are all known, otherwise raises.

    Then `plain` completes the plain fields, and `asked` are the fields that must be executed for each item.
    """

    whole: Callable[[Any, ExecutionBudget], dict[str, Any]]
    plain: Callable[[Any, ExecutionBudget], dict[str, Any]]
    at_once: tuple[_AtOnce, ...]
    asked: tuple[tuple[str, "Execute"], ...]


class _NoShape(Exception):
    """The list cannot use generated code. Never leaves this file."""


def listed(
    variant: "Variant",
    place: internals.FieldSite,
    details: internals.Details,
    type_: GraphQLList[Any],
    interpreter: Completer,
) -> Completer:
    """A completer for a list of objects; `interpreter` for other lists."""
    is_nullable = not isinstance(type_.of_type, GraphQLNonNull)
    item = type_.of_type if is_nullable else type_.of_type.of_type
    if not is_object_type(item) and not is_abstract_type(item):
        return interpreter
    shapes = _Shapes(variant, details, item)
    selection = object()

    def complete(run: Run, value: Any, path: Path) -> Any:
        budget = run.budget
        is_fixed = value.__class__ is FixedList
        if is_fixed:
            owner = value.owner
            if owner is not None and shapes.are_fixed:
                whole = owner.find(selection, run.context, budget)
                if whole is not None:
                    return whole
            before = budget.fields, budget.bytes
            known = value.find(selection, budget)
            if known is not None:
                return fill_and_keep(run, value, path, known, before) if known.remaining else known.data
        elif value.__class__ is not list:
            return interpreter(run, value, path)
        fields, size = shapes.weight
        if len(value) * fields > SLICE or budget.until_turn < 0:
            return slices(run, value, path)
        before = budget.fields, budget.bytes
        results: list[Any] = [None] * len(value)
        remaining: Remaining = []
        try:
            budget.take_items(value, fields, size)
            make(value, budget, 0, results, remaining)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - the interpreter repeats it and reports the error
            budget.given_back(*before)
            return interpreter(run, value, path)
        if is_fixed:
            taken = before[0] - budget.fields, before[1] - budget.bytes
            known = value.keep(selection, results, remaining, *taken)
            if known is not None:
                return fill(run, value, path, known.results(), remaining) if remaining else known.data
        return fill(run, value, path, results, remaining) if remaining else results

    def fill_and_keep(run: Run, value: Any, path: Path, known: EncodedItems, before: tuple[int, int]) -> Any:
        """Fill in the fields left out; their results are kept too if they are FIXED."""
        errors, budget = len(run.errors), run.budget
        done = fill(run, value, path, known.results(), known.remaining)
        is_whole = done.__class__ is list and len(run.errors) == errors
        if is_whole and value.owner is not None and shapes.are_fixed:
            value.owner.keep(selection, done, run.context, before[0] - budget.fields, before[1] - budget.bytes)
        return done

    async def slices(run: Run, value: list[Any], path: Path) -> Any:
        """The same for a list that is too long for one slice."""
        budget = run.budget
        fields, size = shapes.weight
        at_once = max(1, SLICE // fields)
        before = budget.fields, budget.bytes
        results: list[Any] = [None] * len(value)
        remaining: Remaining = []
        try:
            for start in range(0, len(value), at_once):
                if budget.until_turn < 0:
                    await budget.turn()
                part = value[start : start + at_once]
                budget.take_items(part, fields, size)
                make(part, budget, start, results, remaining)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - as above
            budget.given_back(*before)
            done = interpreter(run, value, path)
            return await done if done.__class__ is CoroutineType else done
        return await fill_in_turns(run, value, path, results, remaining, 0, [])

    def make(part: list[Any], budget: ExecutionBudget, start: int, results: list[Any], remaining: Remaining) -> None:
        for index, one in enumerate(part, start):
            shape = shapes[one.__class__]
            try:
                made = shape.whole(one, budget)
            except TooLarge:
                raise
            except Exception:  # noqa: BLE001 - a field must be executed; other errors are raised again below
                made = shape.plain(one, budget)
                remaining.append((index, _fill_known(shape, one, made)))
            results[index] = made

    def fill(
        run: Run, value: list[Any], path: Path, results: list[Any], remaining: Remaining
    ) -> list[Any] | Awaitable[list[Any]]:
        waiting: list[int] = []
        budget = run.budget
        for number, (index, asked) in enumerate(remaining, 1):
            fill_one(run, value[index], (path, index, None), results, asked, waiting)
            if budget.until_turn < 0:
                return fill_in_turns(run, value, path, results, remaining, number, waiting)
        return filled(results, waiting) if waiting else results

    async def fill_in_turns(
        run: Run,
        value: list[Any],
        path: Path,
        results: list[Any],
        remaining: Remaining,
        done: int,
        waiting: list[int],
    ) -> list[Any]:
        budget = run.budget
        for index, asked in remaining[done:]:
            if budget.until_turn < 0:
                try:
                    await budget.turn()
                except BaseException:
                    closed(results, waiting)
                    raise
            fill_one(run, value[index], (path, index, None), results, asked, waiting)
        return await filled(results, waiting) if waiting else results

    def fill_one(
        run: Run,
        one: Any,
        at: Path,
        results: list[Any],
        asked: Sequence[tuple[str, "Execute"]],
        waiting: list[int],
    ) -> None:
        """Execute the remaining fields of one item; `results` holds a coroutine if they must be awaited."""
        index = at[1]
        try:
            run.budget.until_turn -= len(asked) * STEPS_INTERPRETED
            done = shapes.execute_fields(run, one, at, asked, results[index])
            if done.__class__ is CoroutineType:
                waiting.append(index)
                done = run.finished(done, place, at, is_nullable)
            results[index] = done
        except Exception as error:  # noqa: BLE001 - any failure of an item is its field's error
            try:
                run.fail(error, place, at, is_nullable)
            except Exception:
                run.settle([results[other] for other in waiting])
                raise
            results[index] = None

    return complete


def _fill_known(shape: _Shape, one: Any, made: dict[str, Any]) -> Sequence[tuple[str, "Execute"]]:
    """Fill in the item's known fields; returns the fields that must be executed."""
    unknown: list[tuple[str, Execute]] = []
    for field in shape.at_once:
        value = getattr(one, field.attribute)
        if value is None:
            unknown.append((field.key, field.execute))
        else:
            made[field.key] = field.names.of_member(value)
    return (*shape.asked, *unknown) if unknown else shape.asked


def _refuse(one: Any, budget: ExecutionBudget) -> dict[str, Any]:
    raise _NoShape


_NONE: Final = _Shape(_refuse, _refuse, (), ())
_MOST_CLASSES: Final = 1_000


class _Shapes(dict[type, _Shape]):
    """Shapes by class, created with the first item of each. That of a class that cannot be completed so, such as a
    coroutine, or without plain fields, raises _NoShape.
    """

    def __init__(self, variant: "Variant", details: internals.Details, item: Any) -> None:
        from app.execution.selections import execute_fields

        super().__init__()
        self.execute_fields = execute_fields
        self._variant = variant
        self._details = details
        self._item = item
        fields, size = variant.weight_of(item, details)
        self.weight = max(1, fields), size

    @cached_property
    def are_fixed(self) -> bool:
        """Whether all fields of the items are attributes or FIXED, and all fields below them."""
        return self._variant.is_fixed(self._item, self._details)

    def __missing__(self, kind: type) -> _Shape:
        try:
            found = self._made(kind)
        except _NoShape:
            found = _NONE
        if len(self) < _MOST_CLASSES:
            self[kind] = found
        return found

    def _made(self, kind: type) -> _Shape:
        runtime = self._runtime(kind)
        selection = self._variant.select(runtime, self._details)
        code = selection.code()
        if code is None:
            raise _NoShape
        at_once: list[_AtOnce] = []
        asked: list[tuple[str, Execute]] = []
        for key, execute in selection.dynamic_fields():
            place, resolution = selection.resolved(key)
            known = internals.precomputed_enum(place, resolution)
            if known is None:
                asked.append((key, execute))
            else:
                at_once.append(_AtOnce(key, known.attribute, known.names, execute))
        whole = selection.code(at_once=True) if not asked else None
        return _Shape(whole.function if whole is not None else _refuse, code.function, tuple(at_once), tuple(asked))

    def _runtime(self, kind: type) -> GraphQLObjectType:
        if is_object_type(self._item):
            if self._item.is_type_of is None or internals.class_of(self._item) is kind:
                return self._item
            raise _NoShape
        runtime = internals.classes_of(self._variant.schema, self._item).get(kind)
        if runtime is None:
            raise _NoShape
        return runtime
