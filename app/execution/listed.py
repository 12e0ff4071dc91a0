"""Lists of objects that are plain but for a few fields: generated code for all items first, then what it left out.

No resolver is called before every item's plain part has come out well, so that giving up, and leaving the whole list to
the careful completer, repeats nothing but reading attributes.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from graphql import GraphQLObjectType
from graphql.type import GraphQLList, GraphQLNonNull, is_abstract_type, is_object_type

from app.execution import bridge
from app.execution.budget import SLICE, STEPS_INTERPRETED, Budget, TooLarge
from app.execution.careful import Completer, closed, filled
from app.execution.state import Path, Run

if TYPE_CHECKING:
    from app.execution.fields import Execute
    from app.execution.selections import Variant


LeftOut = list[tuple[int, Sequence[tuple[str, "Execute"]]]]
"""The items of which something must be asked, by their place, and what."""


@dataclass(frozen=True, slots=True)
class _AtOnce:
    """A field whose value is often known when the object is made: then it is this attribute, which is None else."""

    key: str
    attribute: str
    names: Mapping[int, str]
    execute: "Execute"


@dataclass(frozen=True, slots=True)
class _Shape:
    """Items of one class. `whole` makes an item of which everything is known at once, and raises for others: then
    `plain` makes what is plain, and `asked` are the fields that must be executed for each."""

    whole: Callable[[Any, Budget], dict[str, Any]]
    plain: Callable[[Any, Budget], dict[str, Any]]
    at_once: tuple[_AtOnce, ...]
    asked: tuple[tuple[str, "Execute"], ...]


class _NoShape(Exception):
    """Never leaves this file."""


def listed(
    variant: "Variant", place: bridge.Place, details: bridge.Details, type_: GraphQLList[Any], careful: Completer
) -> Completer:
    """A completer for a list whose items are objects; `careful` where they are not."""
    is_nullable = not isinstance(type_.of_type, GraphQLNonNull)
    item = type_.of_type if is_nullable else type_.of_type.of_type
    if not is_object_type(item) and not is_abstract_type(item):
        return careful
    shapes = _Shapes(variant, details, item)
    known = shapes.known

    def complete(run: Run, value: Any, path: Path) -> Any:
        if value.__class__ is not list:
            return careful(run, value, path)
        budget = run.budget
        fields, size = shapes.weight
        if len(value) * fields > SLICE or budget.until_turn < 0:
            return slices(run, value, path)
        before = budget.fields, budget.bytes
        results: list[Any] = []
        left_out: LeftOut = []
        try:
            budget.take_items(value, fields, size)
            make(value, budget, results, left_out)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - whatever is odd about an item is met again, and told, by `careful`
            budget.given_back(*before)
            return careful(run, value, path)
        return fill(run, value, path, results, left_out) if left_out else results

    async def slices(run: Run, value: list[Any], path: Path) -> Any:
        """The same for a list that would keep others waiting."""
        budget = run.budget
        fields, size = shapes.weight
        at_once = max(1, SLICE // fields)
        before = budget.fields, budget.bytes
        results: list[Any] = []
        left_out: LeftOut = []
        try:
            for start in range(0, len(value), at_once):
                if budget.until_turn < 0:
                    await budget.turn()
                part = value[start : start + at_once]
                budget.take_items(part, fields, size)
                make(part, budget, results, left_out)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - as above
            budget.given_back(*before)
            done = careful(run, value, path)
            return await done if done.__class__ is CoroutineType else done
        return await fill_in_turns(run, value, path, results, left_out, 0, [])

    def make(value: list[Any], budget: Budget, results: list[Any], left_out: LeftOut) -> None:
        for one in value:
            shape = known.get(one.__class__) or shapes.of(one.__class__)
            try:
                made = shape.whole(one, budget)
            except TooLarge:
                raise
            except Exception:  # noqa: BLE001 - something of it must be asked; what is odd raises again below
                made = shape.plain(one, budget)
                left_out.append((len(results), _asked(shape, one, made)))
            results.append(made)

    def fill(
        run: Run, value: list[Any], path: Path, results: list[Any], left_out: LeftOut
    ) -> list[Any] | Awaitable[list[Any]]:
        waiting: list[int] = []
        budget = run.budget
        for number, (index, asked) in enumerate(left_out, 1):
            fill_one(run, value[index], (path, index, None), results, asked, waiting)
            if budget.until_turn < 0:
                return fill_in_turns(run, value, path, results, left_out, number, waiting)
        return filled(results, waiting) if waiting else results

    async def fill_in_turns(
        run: Run,
        value: list[Any],
        path: Path,
        results: list[Any],
        left_out: LeftOut,
        done: int,
        waiting: list[int],
    ) -> list[Any]:
        budget = run.budget
        for index, asked in left_out[done:]:
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
        """What is left out of one item; its place in `results` holds a coroutine where that must be awaited."""
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


def _asked(shape: _Shape, one: Any, made: dict[str, Any]) -> Sequence[tuple[str, "Execute"]]:
    """What must be executed for this item, its known fields being filled in."""
    unknown: list[tuple[str, Execute]] = []
    for field in shape.at_once:
        value = getattr(one, field.attribute)
        if value is None:
            unknown.append((field.key, field.execute))
        else:
            made[field.key] = field.names[id(value)]
    return (*shape.asked, *unknown) if unknown else shape.asked


def _refuse(one: Any, budget: Budget) -> dict[str, Any]:
    raise _NoShape


class _Shapes:
    """By class, made when the first item of it comes. Raises _NoShape for what is not plain enough."""

    def __init__(self, variant: "Variant", details: bridge.Details, item: Any) -> None:
        from app.execution.selections import execute_fields

        self.execute_fields = execute_fields
        self._variant = variant
        self._details = details
        self._item = item
        self.known: dict[type, _Shape] = {}
        fields, size = variant.weight_of(item, details)
        self.weight = max(1, fields), size

    def of(self, kind: type) -> _Shape:
        found = self.known[kind] = self._made(kind)
        return found

    def _made(self, kind: type) -> _Shape:
        runtime = self._runtime(kind)
        selection = self._variant.select(runtime, self._details)
        code = selection.code()
        if code is None:
            raise _NoShape
        at_once: list[_AtOnce] = []
        asked: list[tuple[str, Execute]] = []
        for key, execute in selection.holes():
            place, resolution = selection.resolved(key)
            known = bridge.known_at_once(place, resolution)
            if known is None:
                asked.append((key, execute))
            else:
                at_once.append(_AtOnce(key, known.attribute, known.names, execute))
        whole = selection.code(at_once=True) if not asked else None
        return _Shape(whole.function if whole is not None else _refuse, code.function, tuple(at_once), tuple(asked))

    def _runtime(self, kind: type) -> GraphQLObjectType:
        if is_object_type(self._item):
            if self._item.is_type_of is None or bridge.class_of(self._item) is kind:
                return self._item
            raise _NoShape
        runtime = bridge.classes_of(self._variant.schema, self._item).get(kind)
        if runtime is None:
            raise _NoShape
        return runtime
