"""A schema with constructs that the gateway's schema lacks, each of which a simplistic plan would get wrong.

Unions, lists of lists, async fields in lists, async iterables, sync awaitables, permissions, extensions of fields,
casts, `is_type_of`, properties, input objects with every kind of absence, ids that convert, and mutations.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Annotated, Any

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig


@strawberry.enum
class Colour(Enum):
    RED = "r"
    GREEN = 2
    BLUE = ("b",)


@dataclass
class World:
    """`random` decides, for each value, what it is: both executors see the same calls only if they ask the same.

    So nothing is decided by the order of calls: a value depends on the seed and on what is asked.
    """

    seed: int
    allowed: bool = True
    log: list[str] = field(default_factory=list)

    def choose(self, what: str, *values: Any) -> Any:
        return Random(f"{self.seed}/{what}").choice(values)

    async def turns(self, what: str) -> None:
        for _ in range(self.choose(f"turns {what}", 0, 0, 1, 2, 5)):
            await asyncio.sleep(0)


Info = strawberry.Info[World, None]


class Allowed(BasePermission):
    message = "not allowed"

    def has_permission(self, source: Any, info: Any, **kwargs: Any) -> bool:
        return bool(info.context.allowed)


class Shout(FieldExtension):
    def resolve(self, next_: Any, source: Any, info: Any, **kwargs: Any) -> Any:
        found = next_(source, info, **kwargs)
        return found.upper() if isinstance(found, str) else found


class Pass(FieldExtension):
    """A guard in the sense of `app.execution.strawberry_internals.Guard`."""

    def allows(self, context: Any) -> bool:
        return bool(context.allowed)

    def resolve(self, next_: Any, source: Any, info: Any, **kwargs: Any) -> Any:
        if not info.context.allowed:
            raise PermissionError("guarded")
        return next_(source, info, **kwargs)

    async def resolve_async(self, next_: Any, source: Any, info: Any, **kwargs: Any) -> Any:
        if not info.context.allowed:
            raise PermissionError("guarded")
        return await next_(source, info, **kwargs)


@strawberry.interface
class Thing:
    id: strawberry.ID
    name: str
    note: str | None
    size: int | None
    colour: Colour
    world: strawberry.Private[World]

    @strawberry.field
    async def slow(self) -> str | None:
        await self.world.turns(f"slow {self.id}")
        return _maybe_fail(self.world, f"slow {self.id}", "slow", None)

    @strawberry.field
    async def slow_needed(self) -> str:
        await self.world.turns(f"needed {self.id}")
        return _maybe_fail(self.world, f"needed {self.id}", "needed", None)  # type: ignore[return-value]

    @strawberry.field
    def sync(self) -> int:
        return _maybe_fail(self.world, f"sync {self.id}", 5, "not a number")  # type: ignore[return-value]


@strawberry.type
class Plain(Thing):
    at: datetime | None
    price: Decimal | None
    tags: list[str]
    guarded: str | None = strawberry.field(extensions=[Pass()])

    @strawberry.field
    def parent(self, depth: int = 1) -> "Thing | None":
        return make(self.world, f"{self.id}.{depth}")


@strawberry.type
class Nested(Thing):
    inner: Plain | None
    inners: list[Plain | None]
    needed: list[Plain]
    grid: list[list[int | None] | None] | None
    any: JSON | None

    @property
    def computed(self) -> str:
        return "never asked by a field"

    @strawberry.field(permission_classes=[Allowed])
    def secret(self) -> str | None:
        return "secret"

    @strawberry.field(extensions=[Shout()])
    def loud(self, word: str = "hey") -> str | None:
        return f"{word} {self.name}"


@strawberry.type
class Asked:
    """Not tied to a class of objects: `is_type_of` decides."""

    name: str
    colour: Colour | None

    @classmethod
    def is_type_of(cls, obj: Any, info: Any) -> bool:
        return isinstance(obj, dict | Asked | Stand)


@dataclass
class Stand:
    """Resolves to Asked without being one."""

    name: Any
    colour: Any = None


@strawberry.type
class Row:
    """Of no interface: nobody asks what class an answer is, and any with the attributes will do."""

    name: str
    colour: Colour | None

    @strawberry.field
    async def late(self, info: Info) -> str | None:
        await info.context.turns(f"late {self.name}")
        return f"late {self.name}"


def row(world: World, key: str) -> Any:
    kind = world.choose(f"row {key}", "row", "stand", "stand", "stand", "none", "bare", "error", "later")
    if kind == "none":
        return None
    if kind == "bare":
        return object()
    if kind == "error":
        return ValueError(f"row {key}")
    if kind == "later":
        return _row_later(world, key)
    made = Row if kind == "row" else Stand
    return made(name=key, colour=world.choose(f"row colour {key}", Colour.RED, None, "r"))


async def _row_later(world: World, key: str) -> Any:
    await world.turns(f"row {key}")
    return Stand(key)


Found = Annotated[Plain | Nested | Asked, strawberry.union("Found")]


@strawberry.input
class Deep:
    word: str
    colour: Colour = Colour.RED
    count: int | None = strawberry.UNSET


@strawberry.input
class Wanted:
    deep: Deep | None = None
    many: list[Deep] = strawberry.field(default_factory=list)
    ids: list[strawberry.ID] | None = strawberry.UNSET
    maybe: strawberry.Maybe[int]


@strawberry.input(one_of=True)
class One:
    word: str | None = strawberry.UNSET
    number: int | None = strawberry.UNSET


def _maybe_fail(world: World, what: str, good: Any, odd: Any) -> Any:
    how = world.choose(f"fails {what}", "good", "good", "good", "good", "raise", "none", "odd", "error")
    if how == "raise":
        raise ValueError(f"failed {what}")
    return {"good": good, "none": None, "odd": odd, "error": RuntimeError(f"returned {what}")}[how]


def make(world: World, key: str) -> Any:
    """A thing that depends on the seed and its key alone."""
    kind = world.choose(f"kind {key}", "plain", "plain", "plain", "nested", "nested", "cast", "none", "other", "error")
    if kind == "none":
        return None
    if kind == "other":
        return object()
    if kind == "error":
        return ValueError(f"thing {key}")
    if kind == "nested" and len(key) < 30:
        return nested(world, key)
    made = plain(world, key)
    return strawberry.cast(Nested, made) if kind == "cast" else made


def _common(world: World, key: str) -> dict[str, Any]:
    odd = world.choose(f"odd {key}", *[False] * 4, True)
    return {
        "id": strawberry.ID(key),
        "name": world.choose(f"name {key}", None, 5, b"x", "n") if odd else "n",
        "note": world.choose(f"note {key}", None, "note", True),
        "size": world.choose(f"size {key}", None, 7, 2**31, 1.0, "12") if odd else 7,
        "colour": world.choose(f"colour {key}", Colour.GREEN, Colour.BLUE, "r", "RED", None) if odd else Colour.RED,
        "world": world,
    }


def plain(world: World, key: str) -> Plain:
    return Plain(
        **_common(world, key),
        at=world.choose(f"at {key}", None, datetime(2027, 1, 2, tzinfo=UTC), "soon"),
        price=world.choose(f"price {key}", None, Decimal("1.50")),
        tags=world.choose(f"tags {key}", [], ["a", "b"], ["a", None], ("t",), "text", (one for one in ("g",)), None),
        guarded=world.choose(f"guarded {key}", "g", None),
    )


def nested(world: World, key: str) -> Nested:
    def some(what: str) -> Any:
        made: list[Any] = [plain(world, f"{key}{what}{index}") for index in range(3)]
        if world.choose(f"hole {key} {what}", False, False, True):
            made[1] = world.choose(f"item {key} {what}", None, object(), ValueError("an item"))
        return world.choose(f"list {key} {what}", made, made, tuple(made), iter(made))

    return Nested(
        **_common(world, key),
        inner=world.choose(f"inner {key}", None, 1) and plain(world, f"{key}i"),
        inners=some("l"),
        needed=some("n"),
        grid=world.choose(f"grid {key}", None, [], [[1, None], None, [3]], [[1], 5], ((2,), [])),
        any=world.choose(f"any {key}", None, {"a": [1]}, [1, "x"], 5),
    )


@strawberry.type
class Query:
    @strawberry.field
    def thing(self, info: Info, id: strawberry.ID = strawberry.ID("t")) -> Thing | None:  # noqa: B008
        return make(info.context, id)

    @strawberry.field
    async def thing_needed(self, info: Info) -> Thing:
        await info.context.turns("thing")
        return make(info.context, "needed")

    @strawberry.field
    def things(self, info: Info, first: int = 3) -> list[Thing | None] | None:
        return [make(info.context, f"s{index}") for index in range(min(first, 5))]

    @strawberry.field(graphql_type=list[Thing])
    def things_needed(self, info: Info) -> Iterator[Thing]:
        return (make(info.context, f"g{index}") for index in range(3))

    @strawberry.field(graphql_type=list[Thing | None])
    def later(self, info: Info) -> list[Awaitable[Any]]:
        return [_later(info.context, f"l{index}") for index in range(3)]

    @strawberry.field(graphql_type=list[Thing] | None)
    def later_needed(self, info: Info) -> list[Any]:
        return [_later(info.context, "m0"), make(info.context, "m1"), _later(info.context, "m2")]

    @strawberry.field(graphql_type=list[Thing | None] | None)
    def stream(self, info: Info) -> AsyncIterator[Any]:
        return _stream(info.context)

    @strawberry.field
    def found(self, info: Info) -> list[Found | None]:
        world = info.context
        stand: Any = Stand(world.choose("stand", "s", None, 5), world.choose("shade", None, Colour.RED))
        return [make(world, "f0"), stand, plain(world, "f1"), Asked(name="a", colour=None), make(world, "f2")]

    @strawberry.field(graphql_type=Row | None)
    def row(self, info: Info) -> Any:
        return row(info.context, "r")

    @strawberry.field(graphql_type=list[Row | None] | None)
    def rows(self, info: Info) -> Any:
        return [row(info.context, f"r{index}") for index in range(info.context.choose("rows", 0, 2, 4))]

    @strawberry.field
    def wanted(self, wanted: Wanted, other: Wanted | None = None) -> str:
        return f"{wanted!r} {other!r}"

    @strawberry.field
    async def one(self, one: One, numbers: list[int | None] | None = None) -> str | None:
        return f"{one!r} {numbers!r}"

    @strawberry.field
    def defaults(
        self, info: Info, a: int | None = None, b: str = "b", c: Colour = Colour.GREEN, d: int | None = strawberry.UNSET
    ) -> str:
        return f"{a!r} {b!r} {c!r} {d!r} {info.path.as_list()} {info.field_name} {sorted(info.variable_values)}"

    @strawberry.field
    def selected(self, info: Info) -> str:
        return f"{info.selected_fields!r} {info.query!r} {info.operation.operation}"

    @strawberry.field(extensions=[Pass()])
    async def guarded(self, info: Info) -> Thing | None:
        return make(info.context, "guarded")


async def _later(world: World, key: str) -> Any:
    await world.turns(key)
    return make(world, key)


async def _stream(world: World) -> AsyncIterator[Any]:
    for index in range(3):
        await world.turns(f"stream {index}")
        if world.choose(f"stream breaks {index}", *[False] * 6, True):
            raise ValueError("the stream broke")
        yield make(world, f"x{index}")


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def write(self, info: Info, word: str) -> Thing | None:
        info.context.log.append(f"begin {word}")
        await info.context.turns(word)
        info.context.log.append(f"end {word}")
        return make(info.context, word)

    @strawberry.mutation
    def write_now(self, info: Info, word: str = "now") -> str:
        info.context.log.append(f"now {word}")
        return _maybe_fail(info.context, f"now {word}", word, None)  # type: ignore[return-value]

    @strawberry.mutation
    async def write_perhaps(self, info: Info, wanted: Wanted) -> str | None:
        info.context.log.append(f"perhaps {wanted!r}")
        return _maybe_fail(info.context, "perhaps", "done", 5)  # type: ignore[return-value]


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[Plain, Nested, Asked],
    config=StrawberryConfig(enable_experimental_incremental_execution=True),  # adds `@defer`
)
