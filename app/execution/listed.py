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
from app.execution.careful import Completer, filled
from app.execution.state import Path, Run

if TYPE_CHECKING:
    from app.execution.fields import Execute
    from app.execution.selections import Variant


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

    whole: Callable[[Any], dict[str, Any]]
    plain: Callable[[Any], dict[str, Any]]
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
        results: list[Any] = []
        left_out: list[tuple[int, Sequence[tuple[str, Execute]]]] = []
        try:
            for one in value:
                shape = known.get(one.__class__) or shapes.of(one.__class__)
                try:
                    made = shape.whole(one)
                except Exception:  # noqa: BLE001 - something of it must be asked; what is odd raises again below
                    made = shape.plain(one)
                    left_out.append((len(results), _asked(shape, one, made)))
                results.append(made)
        except Exception:  # noqa: BLE001 - whatever is odd about an item is met again, and told, by `careful`
            return careful(run, value, path)
        return fill(run, value, path, results, left_out) if left_out else results

    def fill(
        run: Run, value: list[Any], path: Path, results: list[Any], left_out: list[tuple[int, Any]]
    ) -> list[Any] | Awaitable[list[Any]]:
        waiting: list[int] = []
        try:
            for index, asked in left_out:
                at = (path, index, None)
                try:
                    done = shapes.execute_fields(run, value[index], at, asked, results[index])
                    if done.__class__ is CoroutineType:
                        waiting.append(index)
                        done = run.finished(done, place, at, is_nullable)
                except Exception as error:  # noqa: BLE001 - any failure of an item is its field's error
                    run.fail(error, place, at, is_nullable)
                    done = None
                results[index] = done
        except Exception:
            run.settle([results[index] for index in waiting])
            raise
        return filled(results, waiting) if waiting else results

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


def _refuse(one: Any) -> dict[str, Any]:
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
