"""The fields that a document selects on one object type, compiled on first use.

A selection has two parts: a generated function for plain fields (`codegen`), and executors for the others. If the
function raises, all fields of that object are executed one by one from the same source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import CoroutineType
from typing import Any, Final

import strawberry
from graphql import (
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
)
from graphql.error import located_error
from graphql.type import GraphQLList, GraphQLNonNull, is_abstract_type, is_leaf_type, is_object_type

from app.execution import codegen, fields, interpreter
from app.execution import strawberry_internals as internals
from app.execution.budget import TooLarge
from app.execution.deferred import read_again
from app.execution.encoded_objects import FIXED, FixedObject
from app.execution.interpreter import Completer
from app.execution.selected import selected_fields
from app.execution.state import Path, Run, together

_BYTES_OF_FIELD: Final = 5  # two quotes, a colon, a comma and a value of one character

Weight = tuple[int, int]  # fields and bytes


@dataclass(frozen=True, slots=True)
class SelectionEntry:
    """One response name. `place` is None for `__typename`."""

    key: str
    place: internals.FieldSite | None
    details: internals.Details
    resolution: internals.Attribute | internals.FieldResolver | None


class Variant:
    """One document compiled for one outcome of its conditions and guards. Holds no state of a request."""

    def __init__(
        self,
        schema: strawberry.Schema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        conditions: Mapping[str, Any],
        passing: frozenset[int],
        *,
        is_fast: bool,
    ) -> None:
        self.strawberry = schema
        self.schema: GraphQLSchema = schema._schema
        self.operation = operation
        self.is_fast = is_fast
        self.weight = 0
        self._fragments = fragments
        self._conditions = conditions
        self._passing = passing
        self._known: dict[tuple[str, int], Selection] = {}
        root = self.schema.get_root_type(operation.operation)
        assert root is not None
        self.root = self._selection(root, internals.root_fields(self.schema, operation, fragments, conditions, root))

    def select(self, type_: GraphQLObjectType, details: internals.Details) -> "Selection":
        """The cached selection of a type and field. `details` lives as long as this variant, so its id is the key."""
        key = type_.name, id(details)
        found = self._known.get(key)
        if found is None:
            groups = internals.sub_fields(
                self.schema, self.operation, self._fragments, self._conditions, type_, details
            )
            found = self._known[key] = self._selection(type_, groups)
        return found

    def _selection(self, type_: GraphQLObjectType, groups: internals.FieldGroups) -> "Selection":
        if groups.later or groups.fragments:
            return DeferringSelection(self, type_, groups)
        kind = internals.class_of(type_) if self.is_fast else None
        if kind is not None and issubclass(kind, FixedObject):
            return EncodedSelection(self, type_, groups.now)
        return Selection(self, type_, groups.now)

    def weight_of(self, type_: Any, details: internals.Details) -> Weight:
        """Weight of the largest possible object; zero for leaves and lists."""
        inner = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        if is_object_type(inner):
            return self.select(inner, details).full_weight
        if not is_abstract_type(inner):
            return 0, 0
        found = [self.select(one, details).full_weight for one in self.schema.get_possible_types(inner)]
        return max(found, default=(0, 0))

    def is_fixed(self, type_: Any, details: internals.Details) -> bool:
        """Whether all fields selected on a value of this type, and all fields below them, depend on it alone."""
        types = [type_] if is_object_type(type_) else self.schema.get_possible_types(type_)
        return all(_is_fixed(self.select(one, details)) for one in types)

    def resolution(self, place: internals.FieldSite) -> internals.Attribute | internals.FieldResolver | None:
        """None if a guard rejects: then Strawberry's resolver chain runs and reports the error."""
        found = internals.resolution_of(self.strawberry, place.field)
        if found is not None and any(id(guard) not in self._passing for guard in found.guards):
            return None
        return found

    def completer(self, place: internals.FieldSite, details: internals.Details, type_: Any) -> Completer:
        if isinstance(type_, GraphQLNonNull):
            return interpreter.non_null(place, self.completer(place, details, type_.of_type))
        if isinstance(type_, GraphQLList):
            return interpreter.list_of(place, self.completer(place, details, type_.of_type), type_.of_type)
        if is_leaf_type(type_):
            return interpreter.leaf(type_)
        if is_abstract_type(type_):
            classes = internals.classes_of(self.schema, type_)
            return interpreter.abstract(place, type_, classes, lambda runtime: self.select(runtime, details).execute)
        assert is_object_type(type_)
        return interpreter.object_of(place, type_, self.select(type_, details).execute)


class Selection:
    """`execute` is a completer for an object that is known to be of `type`."""

    def __init__(self, variant: Variant, type_: GraphQLObjectType, grouped: internals.Grouped) -> None:
        self.variant = variant
        self.type = type_
        self.entries: Sequence[SelectionEntry] = tuple(
            entry for key, details in grouped.items() if (entry := self._entry(key, details)) is not None
        )
        variant.weight += 1 + len(self.entries)
        self._code: codegen.Code | None = None
        self._at_once: codegen.Code | None = None
        self._holes: list[tuple[str, fields.Execute]] = []
        self._is_compiled = False

    def _entry(self, key: str, details: internals.Details) -> SelectionEntry | None:
        name = details[0].node.name.value
        if name == "__typename":
            return SelectionEntry(key, None, details, None)
        definition = self.type.fields.get(name)
        if definition is None:  # only in a document that was not validated
            return None
        place = internals.FieldSite(definition, internals.FieldNodes(details), self.type, key)
        return SelectionEntry(key, place, details, self.variant.resolution(place))

    def execute(self, run: Run, source: Any, path: Path | None) -> Any:
        if not self._is_compiled:
            self._compile()
        if self._code is None:
            run.budget.take(*self.own_weight)
            return execute_fields(run, source, path, self.executors, {})
        run.budget.take(*self.full_weight)
        try:
            results = self._code.function(source, run.budget)
        except TooLarge:
            raise
        except Exception:  # noqa: BLE001 - the executors repeat the completion and report the error
            return execute_fields(run, source, path, self.executors, {})
        return execute_fields(run, source, path, self._holes, results) if self._holes else results

    @cached_property
    def own_weight(self) -> Weight:
        """Weight of the object's fields."""
        size = sum(len(one.key) for one in self.entries) + _BYTES_OF_FIELD * len(self.entries)
        return len(self.entries), size

    @cached_property
    def full_weight(self) -> Weight:
        """Weight including nested objects in attributes (not in lists), which generated code completes with it."""
        fields, size = self.own_weight
        for entry in self.entries:
            if entry.place is not None and isinstance(entry.resolution, internals.Attribute):
                more = self.variant.weight_of(entry.place.field.type, entry.details)
                fields, size = fields + more[0], size + more[1]
        return fields, size

    @cached_property
    def executors(self) -> list[tuple[str, fields.Execute]]:
        """Executors of all fields."""
        return [(entry.key, self._executor(entry)) for entry in self.entries]

    @cached_property
    def sole(self) -> tuple[str, fields.Execute] | None:
        """The executor of the field, if there is only one."""
        return self.executors[0] if len(self.executors) == 1 else None

    def dynamic_fields(self) -> list[tuple[str, fields.Execute]]:
        """Executors of the fields that the generated function leaves out."""
        self.code()
        return self._holes

    def resolved(self, key: str) -> tuple[internals.FieldSite, internals.Attribute | internals.FieldResolver | None]:
        """The field site of a left-out field, and its resolution."""
        entry = next(one for one in self.entries if one.key == key)
        assert entry.place is not None  # `__typename` leaves no hole
        return entry.place, entry.resolution

    def code(self, *, at_once: bool = False) -> codegen.Code | None:
        """The generated function; None if no field is plain. See `codegen.compile_selection`."""
        if not self._is_compiled:
            self._compile()
        if not at_once or self._code is None or not self._code.holes:
            return self._code
        if self._at_once is None:
            self._at_once = codegen.compile_selection(self, at_once=True)
        return self._at_once

    def _compile(self) -> None:
        self._is_compiled = True
        if not self.variant.is_fast:
            return
        self._code = codegen.compile_selection(self)
        if self._code is not None:
            holes = self._code.holes
            self._holes = [(entry.key, self._executor(entry)) for entry in self.entries if entry.key in holes]

    def _executor(self, entry: SelectionEntry) -> fields.Execute:
        place = entry.place
        if place is None:
            return fields.typename(self.type.name)
        complete = self.variant.completer(place, entry.details, place.field.type)
        if self.variant.is_fast:
            complete = codegen.generated_first(self.variant, place, entry.details, place.field.type, complete)
        return fields.executor(self.variant.strawberry, place, entry.resolution, complete)


class EncodedSelection(Selection):
    """A selection on a FixedObject. If all fields below depend on the object alone, its result stays encoded."""

    def __init__(self, variant: Variant, type_: GraphQLObjectType, grouped: internals.Grouped) -> None:
        super().__init__(variant, type_, grouped)
        self._kind: Any = internals.class_of(type_)
        self._key = object()  # by which objects keep it; this selection may have to live shorter

    @cached_property
    def _is_fixed(self) -> bool:
        return _is_fixed(self)

    def execute(self, run: Run, source: Any, path: Path | None) -> Any:
        if source.__class__ is not self._kind or not source.is_fixed or not self._is_fixed:
            return super().execute(run, source, path)
        budget, context = run.budget, run.context
        known = source.find(self._key, context, budget)
        if known is not None:
            return known
        fields, size, errors = budget.fields, budget.bytes, len(run.errors)
        done = super().execute(run, source, path)
        if done.__class__ is dict and len(run.errors) == errors:
            source.keep(self._key, done, context, fields - budget.fields, size - budget.bytes)
        return done


def _is_fixed(selection: Selection) -> bool:
    """Whether all fields depend on their object alone, and all fields below them."""
    return not isinstance(selection, DeferringSelection) and all(
        entry.place is None or _is_fixed_field(selection.variant, entry) for entry in selection.entries
    )


def _is_fixed_field(variant: Variant, entry: SelectionEntry) -> bool:
    place, resolution = entry.place, entry.resolution
    assert place is not None
    if isinstance(resolution, internals.FieldResolver):
        own = internals.strawberry_field(place.field)
        if own is None or FIXED not in own.metadata or not fields.is_constant(variant.strawberry, place, resolution):
            return False
    elif resolution is None:
        return False
    named: Any = get_named_type(place.field.type)
    return is_leaf_type(named) or variant.is_fixed(named, entry.details)


class DeferringSelection(Selection):
    """A selection with deferred fields. Generated code of the objects around it leaves it out: it needs the path."""

    def __init__(self, variant: Variant, type_: GraphQLObjectType, groups: internals.FieldGroups) -> None:
        super().__init__(variant, type_, groups.now)
        self._fragments = groups.fragments
        self._now = groups.now
        self._later = [(fragments, Selection(variant, type_, grouped), grouped) for fragments, grouped in groups.later]

    def code(self, *, at_once: bool = False) -> codegen.Code | None:
        return None

    def execute(self, run: Run, source: Any, path: Path | None) -> Any:
        run.budget.take_parts(len(self._later))
        self.enter(run, path)
        done = super().execute(run, source, path)
        self.defer(run, source, path)
        return done

    def enter(self, run: Run, path: Path | None) -> None:
        assert run.deferral is not None
        run.deferral.enter(self._fragments, path)

    def defer(self, run: Run, source: Any, path: Path | None) -> None:
        assert run.deferral is not None
        for fragments, selection, grouped in self._later:
            run.deferral.add(run, fragments, partial(self._execute_later, selection, grouped, source, path), path)

    async def _execute_later(
        self, selection: Selection, grouped: internals.Grouped, source: Any, path: Path | None, run: Run
    ) -> Any:
        place = next((one.place for one in selection.entries if one.place is not None), None)
        if place is not None and path is not None:
            info = internals.LazyInfo(run, place, (path, place.key, self.type.name))
            source = await read_again(info, source, selected_fields(info._raw_info, self.type, self._now, grouped))
        done = selection.execute(run, source, path)
        return await done if done.__class__ is CoroutineType else done


def execute_fields(
    run: Run, source: Any, path: Path | None, executors: Sequence[tuple[str, fields.Execute]], results: dict[str, Any]
) -> Any:
    """graphql-core's `execute_fields`: the results, or a coroutine of them. Awaitable siblings run concurrently."""
    waiting: list[str] | None = None
    try:
        for key, execute in executors:
            done = results[key] = execute(run, source, path)
            if done.__class__ is CoroutineType:
                if waiting is None:
                    waiting = [key]
                else:
                    waiting.append(key)
    except Exception:
        run.settle([results[key] for key in waiting or ()])
        raise
    return results if waiting is None else _awaited(results, waiting)


async def _awaited(results: dict[str, Any], waiting: list[str]) -> dict[str, Any]:
    if len(waiting) == 1:
        results[waiting[0]] = await results[waiting[0]]
    else:
        results.update(zip(waiting, await together([results[key] for key in waiting]), strict=True))
    return results


async def execute_serially(run: Run, selection: Selection) -> dict[str, Any]:
    """graphql-core's `execute_fields_serially`: each root field ends before the next starts.

    If one exceeds the budget, it is null and later fields do not run: their results could not be reported.
    """
    results: dict[str, Any] = {}
    budget = run.budget
    for key, execute in selection.executors:
        try:
            if budget.error is not None:
                raise budget.error
            done = execute(run, None, None)
            results[key] = await done if done.__class__ is CoroutineType else done
        except TooLarge as error:
            results[key] = None
            run.add(located_error(error, None, [key]), (None, key, None))
    return results
