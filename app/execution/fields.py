"""Executes one field of one document like graphql-core's `execute_field`: resolve, complete, null or raise."""

from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any

import strawberry
from graphql.type import GraphQLNonNull

from app.execution import arguments
from app.execution import strawberry_internals as internals
from app.execution.interpreter import NEVER_AWAITABLE, Completer, is_pending
from app.execution.state import Path, Run
from app.execution.strawberry_internals import is_awaitable

Execute = Callable[[Run, Any, Path | None], Any]
Call = Callable[[Run, Any, Path], Any]


def executor(
    schema: strawberry.Schema,
    place: internals.FieldSite,
    resolution: internals.Attribute | internals.FieldResolver | None,
    complete: Completer,
) -> Execute:
    """Returns the completed value or a coroutine of it; raises only if the field is non-null. Without a resolution,
    Strawberry's full resolver chain gets the value.
    """
    if isinstance(resolution, internals.Attribute):
        name = resolution.name
        return _by_call(place, lambda run, source, path: getattr(source, name), complete)
    if resolution is None:
        return _by_call(place, _chain(place), complete)
    keywords = arguments.prepare(schema, place.field, place.nodes[0], resolution.arguments)
    if keywords is None:
        return _by_call(place, _conversion(schema, place, resolution), complete)
    return _by_function(place, resolution, keywords, complete)


def _by_call(place: internals.FieldSite, call: Call, complete: Completer) -> Execute:
    is_nullable = not isinstance(place.field.type, GraphQLNonNull)
    key, typename = place.key, place.parent.name
    later = _later(place, complete, is_nullable)

    def execute(run: Run, source: Any, above: Path | None) -> Any:
        path = (above, key, typename)
        try:
            value = call(run, source, path)
            if value.__class__ not in NEVER_AWAITABLE and is_pending(value):
                return later(run, value, path)
            done = complete(run, value, path)
            return run.finished(done, place, path, is_nullable) if done.__class__ is CoroutineType else done
        except Exception as error:  # noqa: BLE001 - any failure of a resolver is its field's error
            run.fail(error, place, path, is_nullable)
            return None

    return execute


def _by_function(
    place: internals.FieldSite,
    resolver: internals.FieldResolver,
    prepared: arguments.Prepared | arguments.Keywords,
    complete: Completer,
) -> Execute:
    """As `_by_call`, for most resolvers: it calls the function itself, without a call in between."""
    is_nullable = not isinstance(place.field.type, GraphQLNonNull)
    key, typename = place.key, place.parent.name
    later = _later(place, complete, is_nullable)
    constants, keywords = (prepared, None) if isinstance(prepared, dict) else ({}, prepared)
    function, takes_self, info_name = resolver.function, resolver.takes_self, resolver.info_name
    source_names = resolver.source_names

    def execute(run: Run, source: Any, above: Path | None) -> Any:
        path = (above, key, typename)
        try:
            made = keywords(run.variables) if keywords is not None else {**constants}
            if made is None:  # a value that does not fit: raises graphql-core's error
                made = _values(run, place)
            if info_name is not None:
                made[info_name] = internals.LazyInfo(run, place, path)
            for name in source_names:
                made[name] = source
            value = function(source, **made) if takes_self else function(**made)
            kind = value.__class__
            if kind is CoroutineType or (kind not in NEVER_AWAITABLE and is_pending(value)):
                return later(run, value, path)
            done = complete(run, value, path)
            return run.finished(done, place, path, is_nullable) if done.__class__ is CoroutineType else done
        except Exception as error:  # noqa: BLE001 - any failure of a resolver is its field's error
            run.fail(error, place, path, is_nullable)
            return None

    return execute


def _later(place: internals.FieldSite, complete: Completer, is_nullable: bool) -> Callable[[Run, Any, Path], Any]:
    async def later(run: Run, value: Awaitable[Any], path: Path) -> Any:
        try:
            found = await value
            if run.budget.until_turn < 0:
                await run.budget.turn()
            done = complete(run, found, path)
            return await done if done.__class__ is CoroutineType else done
        except Exception as error:  # noqa: BLE001
            run.fail(error, place, path, is_nullable)
            return None

    return later


def typename(name: str) -> Execute:
    return lambda run, source, above: name


def is_constant(schema: strawberry.Schema, place: internals.FieldSite, resolver: internals.FieldResolver) -> bool:
    """Whether the resolver's arguments are the same in each request."""
    return isinstance(arguments.prepare(schema, place.field, place.nodes[0], resolver.arguments), dict)


def _values(run: Run, place: internals.FieldSite) -> dict[str, Any]:
    """`get_argument_values`; raises graphql-core's errors."""
    node = place.nodes[0]
    if not place.field.args and not node.arguments:
        return {}
    return internals.get_argument_values(place.field, node, run.variables, None, run.hide)


def _chain(place: internals.FieldSite) -> Call:
    chain = internals.chain_of(place.field)

    def call(run: Run, source: Any, path: Path) -> Any:
        return chain(source, internals.raw_info(run, place, path), **_values(run, place))

    return call


def _conversion(schema: strawberry.Schema, place: internals.FieldSite, resolver: internals.FieldResolver) -> Call:
    function, takes_self = resolver.function, resolver.takes_self

    def converted(run: Run, source: Any, path: Path, values: dict[str, Any]) -> Any:
        info = internals.LazyInfo(run, place, path)
        made = internals.to_python(schema, values, resolver.arguments, info)
        for name in resolver.source_names:
            made[name] = source
        if resolver.info_name is not None:
            made[resolver.info_name] = info
        return function(source, **made) if takes_self else function(**made)

    async def when_started(run: Run, source: Any, path: Path, values: dict[str, Any]) -> Any:
        found = converted(run, source, path, values)
        return await found if is_awaitable(found) else found

    call = when_started if resolver.is_async else converted  # like Strawberry: an async resolver converts when awaited
    return lambda run, source, path: call(run, source, path, _values(run, place))
