"""Scopes per field, declared by `@requiresScope`, which is both printed in the schema and enforced.

A field's guard is synchronous and checks the caller once. `enforce` adds the checks that one field's guard cannot make:
scoped fields of inputs, and several writes in one request.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from inspect import isawaitable
from typing import Any, Final

import strawberry
from graphql import (
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_named_type,
)
from graphql.execution.collect_fields import FragmentDetails, collect_fields
from graphql.execution.values import VariableValues, get_argument_values
from strawberry.extensions import FieldExtension

from resolvers.audit import Refusal, customer_named
from resolvers.context import Info
from resolvers.directives import ListSize, RequiresScope, UpstreamCost
from resolvers.errors import Forbidden

GraphInfo = GraphQLResolveInfo[Any]
Resolver = Callable[..., Any]
Needs = tuple[tuple[str, ...], ...]
"""The caller needs one scope of each group."""
_NOTHING_RAN: Final = "Nothing was run: the caller lacks the scope for another field of this request."


def scoped(
    *scopes: str,
    calls: int | None = None,
    per_method: bool = False,
    if_read: bool = False,
    size: ListSize | None = None,
    **field: Any,
) -> Any:
    """`strawberry.field` for a field that needs any one of these scopes, may cost `calls` vault calls (with
    `per_method` for each payment method that it returns, with `if_read` only if a field below is read from a vault),
    and is a list of this size.

    The field must be nullable: without the scope it is null, with an error FORBIDDEN.
    """
    directives: list[object] = [RequiresScope(any=list(scopes))]
    if calls is not None:
        unset = strawberry.UNSET
        directives.append(UpstreamCost(calls=calls, per_method=per_method or unset, if_read=if_read or unset))
    if size is not None:
        directives.append(size)
    return strawberry.field(directives=directives, extensions=[ScopeGuard(scopes)], **field)


def require(info: Info, *scopes: str) -> None:
    """Check a scope that no directive can declare, such as that of a node id. Raises Forbidden."""
    context = info.context
    if context.caller.scopes.isdisjoint(scopes):
        context.refusals.add(Refusal(info.field_name, "FORBIDDEN", scopes=scopes))
        raise Forbidden(scopes)


class ScopeGuard(FieldExtension):
    """Checks scopes before the resolver. Synchronous, so that a plain attribute stays one."""

    def __init__(self, scopes: tuple[str, ...]) -> None:
        self.scopes = scopes
        self._enough = frozenset(scopes)

    def allows(self, context: Any) -> bool:
        """True if `resolve` would only call the next resolver; compiled plans then skip it."""
        return not self._enough.isdisjoint(context.caller.scopes)

    @staticmethod
    def rights(context: Any) -> frozenset[str]:
        """What `allows` depends on."""
        scopes: frozenset[str] = context.caller.scopes
        return scopes

    def resolve(self, next_: Resolver, source: Any, info: Any, **arguments: Any) -> Any:
        if self._enough.isdisjoint(info.context.caller.scopes):
            raise _refused(self.scopes, _what(info._raw_info), source, info.context, arguments)
        return next_(source, info, **arguments)

    async def resolve_async(self, next_: Resolver, source: Any, info: Any, **arguments: Any) -> Any:
        return await self.resolve(next_, source, info, **arguments)


def _what(info: GraphInfo) -> str:
    return f"{info.parent_type.name}.{info.field_name}"


def _refused(scopes: tuple[str, ...], what: str, source: Any, context: Any, arguments: Mapping[str, Any]) -> Forbidden:
    context.refusals.add(Refusal(what, "FORBIDDEN", customer_named(source, arguments), scopes))
    return Forbidden(scopes)


def needs_of(definition: Any) -> Needs:
    """The scopes required by the directives of a GraphQL type, field or input field."""
    declared = (definition.extensions or {}).get("strawberry-definition")
    return tuple(tuple(one.any) for one in getattr(declared, "directives", None) or () if type(one) is RequiresScope)


# ---- inputs and mutations ------------------------------------------------------------------------------------


def enforce(schema: GraphQLSchema) -> None:
    """Guard fields whose input has scoped fields, and the root fields of mutations, none of which may run unless all
    may.

    Called once, when the schema is created. A declaration that nothing would enforce is an error.
    """
    inputs = _Inputs()
    for kind in schema.type_map.values():
        if not isinstance(kind, GraphQLObjectType) or kind.name.startswith("__"):
            continue
        for name, field in kind.fields.items():
            guard = _Guard(f"{kind.name}.{name}", needs_of(field), field, inputs)
            own = (field.extensions or {}).get("strawberry-definition")
            if kind is schema.subscription_type:
                field.subscribe = guard.before(field.subscribe or _missing)
                continue
            guarded = tuple(one.scopes for one in getattr(own, "extensions", ()) if isinstance(one, ScopeGuard))
            if needs_of(kind) or guarded != guard.needs:
                raise TypeError(f"{guard.what} declares a scope that nothing enforces: use `scoped`")
            if kind is schema.mutation_type:
                field.resolve = _write(name, guard, field.resolve or _missing)
            elif guard.asking:
                field.resolve = guard.before(field.resolve or _missing)
            else:
                continue
            # Compiled plans read the definition and would bypass `field.resolve`, except for an extension without
            # `allows`.
            own.extensions = [*own.extensions, FieldExtension()]  # type: ignore[union-attr]


class _Inputs:
    """The scoped input fields, and where they occur below an input type."""

    def __init__(self) -> None:
        self._asking: dict[str, bool] = {}

    def ask(self, kind: Any) -> bool:
        """True if any field of this type or below it is scoped. Types may contain themselves."""
        named = get_named_type(kind)
        if not isinstance(named, GraphQLInputObjectType):
            return False
        if named.name not in self._asking:
            self._asking[named.name] = False
            self._asking[named.name] = any(needs_of(one) or self.ask(one.type) for one in named.fields.values())
        return self._asking[named.name]

    def needs(self, kind: Any, value: Any) -> Iterator[tuple[str, ...]]:
        """The scopes of the fields set in a coerced value; null counts as not set."""
        named = get_named_type(kind)
        if isinstance(value, list):
            for one in value:
                yield from self.needs(named, one)
        elif isinstance(value, Mapping) and isinstance(named, GraphQLInputObjectType):
            for name, field in named.fields.items():
                if value.get(name) is not None:
                    yield from needs_of(field)
                    yield from self.needs(field.type, value[name])


class _Guard:
    """The scopes that one field needs with its arguments."""

    def __init__(self, what: str, needs: Needs, field: GraphQLField, inputs: _Inputs) -> None:
        self.what = what
        self.needs = needs
        self.asking = {name: one.type for name, one in field.args.items() if inputs.ask(one.type)}
        self._inputs = inputs

    def missing(self, arguments: Mapping[str, Any], scopes: frozenset[str]) -> tuple[str, ...] | None:
        """The first group that these scopes do not satisfy."""
        input_needs = (
            need for name, kind in self.asking.items() for need in self._inputs.needs(kind, arguments.get(name))
        )
        return next((any_of for any_of in (*self.needs, *input_needs) if scopes.isdisjoint(any_of)), None)

    def before(self, inner: Resolver) -> Resolver:
        """`inner` for callers with the scopes; an error for others, without calling `inner`."""

        @wraps(inner)
        def guarded(source: Any, info: GraphInfo, **arguments: Any) -> Any:
            missing = self.missing(arguments, info.context.caller.scopes)
            if missing is not None:
                raise _refused(missing, self.what, source, info.context, arguments)
            return inner(source, info, **arguments)

        return guarded


def _write(name: str, guard: _Guard, inner: Resolver) -> Resolver:
    """A root field of a mutation: it runs only if all root fields of the operation may run."""

    @wraps(inner)
    def guarded(source: Any, info: GraphInfo, **arguments: Any) -> Any:
        context = info.context
        if context.writes_refused is None:
            context.writes_refused = _refused_writes(info)
        if context.writes_refused:
            mine = guard.missing(arguments, context.caller.scopes)
            if mine is None:
                raise Forbidden(next(iter(context.writes_refused.values())), _NOTHING_RAN)
            raise _refused(mine, guard.what, source, context, arguments)
        result = inner(source, info, **arguments)
        return _audited(result, name, info, arguments) if isawaitable(result) else result

    guarded.guard = guard  # type: ignore[attr-defined]
    return guarded


def _refused_writes(info: GraphInfo) -> dict[str, tuple[str, ...]]:
    """The operation's root fields for which the caller lacks a scope, with that scope. Determined before the first of
    them runs. Invalid arguments are reported later by their field.
    """
    fragments = {name: FragmentDetails(one) for name, one in info.fragments.items()}
    values: Any = info.variable_values
    # Strawberry's executor gives resolvers the plain dict, graphql-core's VariableValues.
    variables = values if isinstance(values, VariableValues) else VariableValues(sources={}, coerced=values)
    collected = collect_fields(info.schema, fragments, variables, info.parent_type, info.operation)
    found: dict[str, tuple[str, ...]] = {}
    for key, details in collected.grouped_field_set.items():
        node = details[0].node
        field = info.parent_type.fields.get(node.name.value)
        guard: _Guard | None = getattr(field.resolve, "guard", None) if field is not None else None
        if field is None or guard is None:
            continue  # __typename
        try:
            arguments = get_argument_values(field, node, variables) if guard.asking else {}
        except GraphQLError:
            arguments = {}
        missing = guard.missing(arguments, info.context.caller.scopes)
        if missing is not None:
            found[key] = missing
    return found


async def _audited(running: Any, name: str, info: GraphInfo, arguments: Mapping[str, Any]) -> Any:
    """Note the result in the context. Record mutations that ended before the journal; the others record an event
    themselves.
    """
    context = info.context
    key = str(info.path.key)
    context.writes = {**(context.writes or {}), key: None}
    about = customer_named(None, arguments)
    trail, caller = context.services.audit, context.caller
    try:
        payload = await running
    except Exception:
        trail.mutation(caller, context.request_id, name, about, "ERROR", ())
        raise
    context.writes[key] = payload.result
    if payload.result.operation is None:
        codes = [str(one.code.value) for one in payload.result.problems]
        outcome = "REFUSED" if codes else "DONE"
        trail.mutation(caller, context.request_id, name, about, outcome, codes)
    return payload


def _missing(*_: Any, **__: Any) -> Any:
    raise AssertionError("a field of this schema has no resolver")
