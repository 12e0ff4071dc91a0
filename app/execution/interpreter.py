"""Value completion that follows graphql-core step by step, with all lookups done beforehand.

A completer takes the run, a resolved value and its path, and returns the completed value or a coroutine of it; it
raises if the value cannot be completed. Docstrings name the graphql-core methods whose order of checks is kept.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import CoroutineType, GeneratorType
from typing import Any, Final

from graphql import (
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLError,
    GraphQLLeafType,
    GraphQLObjectType,
    Undefined,
    is_object_type,
)
from graphql.pyutils import inspect
from graphql.type import GraphQLNonNull

from app.execution import strawberry_internals as internals
from app.execution.state import Path, Run, together
from app.execution.strawberry_internals import is_async_iterable, is_awaitable, is_iterable

Completer = Callable[[Run, Any, Path], Any]
NEVER_AWAITABLE: Final[set[type]] = {str, int, float, bool, list, tuple, dict, type(None)}
_MOST_CLASSES: Final = 1_000


def is_pending(value: Any) -> bool:
    """`is_awaitable`, which adds classes whose instances never are to NEVER_AWAITABLE."""
    if is_awaitable(value):
        return True
    if not isinstance(value, GeneratorType) and len(NEVER_AWAITABLE) < _MOST_CLASSES:
        NEVER_AWAITABLE.add(value.__class__)
    return False


def non_null(place: internals.FieldSite, inner: Completer) -> Completer:
    """`complete_value` for a non-null type."""
    message = f"Cannot return null for non-nullable field {place.parent}.{place.name}."

    def complete(run: Run, value: Any, path: Path) -> Any:
        done = inner(run, value, path)
        if done is None:
            raise TypeError(message)
        return done

    return complete


def leaf(type_: GraphQLLeafType) -> Completer:
    """`complete_leaf_value`."""
    coerce = type_.coerce_output_value
    names = internals.EnumNames.of(type_) if isinstance(type_, GraphQLEnumType) else internals.EnumNames(None, {})
    kind, by_member = names.kind, names.by_member

    def complete(run: Run, value: Any, path: Path) -> Any:
        if value.__class__ is kind:
            return by_member[value._name_]
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            return None
        done = coerce(value)
        if done is Undefined or done is None:
            raise TypeError(
                f"Expected `{inspect(type_)}.coerce_output_value({inspect(value)})` to return non-nullable value,"
                f" returned: {inspect(done)}"
            )
        return done

    return complete


def list_of(place: internals.FieldSite, item: Completer, item_type: Any) -> Completer:
    """`complete_list_value`, `complete_iterable_value` and `complete_list_item_value`."""
    is_nullable = not isinstance(item_type, GraphQLNonNull)

    def complete(run: Run, value: Any, path: Path) -> Any:
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            return None
        if value.__class__ is not list:
            if is_async_iterable(value):
                return from_async(run, value.__aiter__(), path)
            if not is_iterable(value):
                raise GraphQLError(f"Expected Iterable, but did not find one for field '{place.parent}.{place.name}'.")
        results: list[Any] = []
        waiting: list[int] = []
        rest = iter(value)
        budget = run.budget
        try:
            for index, one in enumerate(rest):
                add(run, one, (path, index, None), results, waiting)
                if budget.until_turn < 0:
                    return in_turns(run, rest, path, results, waiting)
        except Exception:
            abandon(run, rest, results, waiting)
            raise
        return filled(results, waiting) if waiting else results

    async def in_turns(run: Run, rest: Any, path: Path, results: list[Any], waiting: list[int]) -> list[Any]:
        """Complete the rest of a list that is too long for one slice."""
        budget = run.budget
        try:
            await budget.turn()
            for one in rest:
                add(run, one, (path, len(results), None), results, waiting)
                if budget.until_turn < 0:
                    await budget.turn()
        except Exception:
            abandon(run, rest, results, waiting)
            raise
        except BaseException:  # the request was cancelled: close coroutines that have not started
            closed(results, waiting)
            raise
        return await filled(results, waiting) if waiting else results

    def abandon(run: Run, rest: Any, results: list[Any], waiting: list[int]) -> None:
        run.settle([*[results[index] for index in waiting], *_awaitables(rest)])

    def add(run: Run, one: Any, path: Path, results: list[Any], waiting: list[int]) -> None:
        kind = one.__class__
        if kind is CoroutineType or (kind not in NEVER_AWAITABLE and is_pending(one)):
            waiting.append(len(results))
            results.append(later(run, one, path))
            return
        try:
            done = item(run, one, path)
            if done.__class__ is CoroutineType:
                waiting.append(len(results))
                done = run.finished(done, place, path, is_nullable)
        except Exception as error:  # noqa: BLE001 - any failure of an item is its field's error
            run.fail(error, place, path, is_nullable)
            done = None
        results.append(done)

    async def later(run: Run, one: Awaitable[Any], path: Path) -> Any:
        try:
            found = await one
            if run.budget.until_turn < 0:
                await run.budget.turn()
            done = item(run, found, path)
            return await done if done.__class__ is CoroutineType else done
        except Exception as error:  # noqa: BLE001
            run.fail(error, place, path, is_nullable)
            return None

    async def from_async(run: Run, items: Any, path: Path) -> Any:
        """`complete_async_iterator_value`."""
        results: list[Any] = []
        waiting: list[int] = []
        try:
            while True:
                try:
                    one = await anext(items)
                except StopAsyncIteration:
                    break
                except Exception as error:  # noqa: BLE001 - reported at the list's path
                    run.fail(error, place, path, is_nullable=False)
                    break
                add(run, one, (path, len(results), None), results, waiting)
                if run.budget.until_turn < 0:
                    await run.budget.turn()
        except Exception:
            close = getattr(items, "aclose", None)
            if close is not None:
                await _suppress_errors(close())
            run.settle([results[index] for index in waiting])
            raise
        return await filled(results, waiting) if waiting else results

    return complete


def closed(results: list[Any], waiting: list[int]) -> None:
    """Close coroutines that will not be awaited."""
    for index in waiting:
        results[index].close()


async def filled(results: list[Any], waiting: list[int]) -> list[Any]:
    """Await the coroutines in the list and replace them by their results."""
    if len(waiting) == 1:
        results[waiting[0]] = await results[waiting[0]]
        return results
    found = await together([results[index] for index in waiting])
    for index, one in zip(waiting, found, strict=True):
        results[index] = one
    return results


def _awaitables(rest: Any) -> list[Awaitable[Any]]:
    """The awaitables left in an iterator after a failure; an error of the iterator ends the search."""
    found: list[Awaitable[Any]] = []
    try:
        found.extend(one for one in rest if is_awaitable(one))
    except Exception:  # noqa: BLE001 - only the first failure is reported
        return found
    return found


async def _suppress_errors(closing: Awaitable[Any]) -> None:
    try:
        await closing
    except Exception:  # noqa: BLE001 - like graphql-core: only the list's failure is reported
        return


def object_of(place: internals.FieldSite, type_: GraphQLObjectType, select: Completer) -> Completer:
    """`complete_object_value`; `select` runs the sub-selection."""
    kind = internals.class_of(type_)

    def complete(run: Run, value: Any, path: Path) -> Any:
        if value is None:
            return None
        if value.__class__ is kind and not hasattr(value, internals.CAST_MARK):
            return select(run, value, path)
        if isinstance(value, Exception):
            raise value
        return None if value is Undefined else checked(run, value, path)

    def checked(run: Run, value: Any, path: Path) -> Any:
        return checked_object(run, place, type_, value, path, select)

    return complete


def checked_object(
    run: Run, place: internals.FieldSite, type_: GraphQLObjectType, value: Any, path: Path, select: Completer
) -> Any:
    """Complete an object whose class does not determine its type: calls `is_type_of`."""
    if type_.is_type_of is None:
        return select(run, value, path)
    answer = type_.is_type_of(value, _info(run, place, path))
    if is_awaitable(answer):
        return _when_checked(run, place, type_, value, path, select, answer)
    if not answer:
        raise _wrong_type(place, type_, value)
    return select(run, value, path)


async def _when_checked(
    run: Run,
    place: internals.FieldSite,
    type_: GraphQLObjectType,
    value: Any,
    path: Path,
    select: Completer,
    answer: Any,
) -> Any:
    if not await answer:
        raise _wrong_type(place, type_, value)
    done = select(run, value, path)
    return await done if done.__class__ is CoroutineType else done


def _wrong_type(place: internals.FieldSite, type_: GraphQLObjectType, value: Any) -> GraphQLError:
    return GraphQLError(f"Expected value of type '{type_}' but got: {inspect(value)}.", place.nodes)


def abstract(
    place: internals.FieldSite,
    type_: GraphQLAbstractType,
    classes: Mapping[type, GraphQLObjectType],
    select_for: Callable[[GraphQLObjectType], Completer],
) -> Completer:
    """`complete_abstract_value`: by exact class where possible, otherwise through `resolve_type`."""
    known: dict[type, Completer] = {}

    def complete(run: Run, value: Any, path: Path) -> Any:
        if value is None:
            return None
        kind = value.__class__
        if kind in classes and not hasattr(value, internals.CAST_MARK):
            select = known.get(kind)
            if select is None:
                select = known[kind] = select_for(classes[kind])
            return select(run, value, path)
        if isinstance(value, Exception):
            raise value
        return None if value is Undefined else resolved_type(run, value, path)

    def resolved_type(run: Run, value: Any, path: Path) -> Any:
        assert type_.resolve_type is not None  # Strawberry gives one to every interface and union
        name: Any = type_.resolve_type(value, _info(run, place, path), type_)
        return when_named(run, name, value, path) if is_awaitable(name) else of_name(run, name, value, path)

    async def when_named(run: Run, name: Awaitable[Any], value: Any, path: Path) -> Any:
        done = of_name(run, await name, value, path)
        return await done if done.__class__ is CoroutineType else done

    def of_name(run: Run, name: Any, value: Any, path: Path) -> Any:
        runtime = runtime_type(run, place, type_, name, value)
        return checked_object(run, place, runtime, value, path, select_for(runtime))

    return complete


def _info(run: Run, place: internals.FieldSite, path: Path) -> Any:
    """The field's info. Its path is the field's, also for items of a list."""
    while isinstance(path[1], int):
        path = path[0]
    return internals.raw_info(run, place, path)


def runtime_type(
    run: Run, place: internals.FieldSite, type_: GraphQLAbstractType, name: Any, value: Any
) -> GraphQLObjectType:
    """`ensure_valid_runtime_type`, with the same messages."""
    where = f"for field '{place.parent}.{place.name}'"
    if name is None:
        raise GraphQLError(
            f"Abstract type '{type_}' must resolve to an Object type at runtime {where}. Either the '{type_}' type "
            "should provide a 'resolve_type' function or each possible type should provide an 'is_type_of' function.",
            place.nodes,
        )
    if not isinstance(name, str):
        raise GraphQLError(
            f"Abstract type '{type_}' must resolve to an Object type at runtime {where} with value {inspect(value)}, "
            f"received '{inspect(name)}', which is not a valid Object type name.",
            place.nodes,
        )
    found = run.schema.get_type(name)
    if found is None:
        raise GraphQLError(
            f"Abstract type '{type_}' was resolved to a type '{name}' that does not exist inside the schema.",
            place.nodes,
        )
    if not is_object_type(found):
        raise GraphQLError(f"Abstract type '{type_}' was resolved to a non-object type '{name}'.", place.nodes)
    if not run.schema.is_sub_type(type_, found):
        raise GraphQLError(f"Runtime Object type '{found}' is not a possible type for '{type_}'.", place.nodes)
    return found
