"""A writer that records its inputs, and inputs generated from the schema's types."""

from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    get_named_type,
    is_required_input_field,
)

from app.vault.provider import Call
from app.wallet.commands import Actor, Command, WriteResult
from resolvers.schema import schema
from resolvers.writer import NoWrites

GRAPH = schema._schema
SAMPLES: dict[str, Any] = {
    "ID": "cus_a",
    "String": "words",
    "SensitiveString": "tok_1234567890",
    "IdempotencyKey": "0123456789abcdef",
    "YearMonth": "2031-05",
    "Date": "2026-01-31",
    "Last4": "4242",
    "CountryCode": "US",
    "DateTime": "2026-05-01T12:00:00Z",
    "CurrencyCode": "USD",
    "Decimal": "10.00",
    "URL": "https://shop.example/back",
    "Boolean": False,
    "Int": 1,
}
NEEDED = {"CreateCustomerInput": ["name"], "PersonNameInput": ["last"], "AddressInput": ["postalCode"]}
"""Not required by a type, but by rules over several fields."""
Path = tuple[str, ...]


class RecordingWriter(NoWrites):
    """Returns `result` for everything; `asked` records the inputs."""

    def __init__(self, result: WriteResult | None = None) -> None:
        self.result = result or WriteResult()
        self.asked: list[tuple[Any, Actor]] = []

    async def run(self, command: Command, actor: Actor, call: Call) -> WriteResult:
        self.asked.append((command, actor))
        return self.result


def mutations() -> dict[str, GraphQLInputObjectType]:
    """Root mutation field to the type of its input."""
    assert GRAPH.mutation_type is not None
    found: dict[str, GraphQLInputObjectType] = {}
    for name, field in GRAPH.mutation_type.fields.items():
        assert list(field.args) == ["input"], name
        kind = get_named_type(field.args["input"].type)
        assert isinstance(kind, GraphQLInputObjectType)
        found[name] = kind
    return found


def leaves(kind: GraphQLInputObjectType, below: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every scalar field, at any depth, with the name of its type."""
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLInputObjectType):
            yield from leaves(inner, (*below, name))
        else:
            yield (*below, name), inner.name


def sample(kind: Any, path: Path = (), value: Any = None) -> Any:
    """The smallest value of type `kind`; with `path`, one that has `value` there."""
    if isinstance(kind, GraphQLNonNull):
        return sample(kind.of_type, path, value)
    if isinstance(kind, GraphQLList):
        return [sample(kind.of_type, path, value)]
    if isinstance(kind, GraphQLInputObjectType):
        wanted = [name for name, field in kind.fields.items() if is_required_input_field(field)]
        wanted += [name for name in NEEDED.get(kind.name, ()) if name not in (*wanted, *path[:1])]
        if path and path[0] not in wanted:
            wanted.append(path[0])
        if kind.extensions["strawberry-definition"].is_one_of and not wanted:
            wanted = [next(iter(kind.fields))]
        return {
            name: sample(kind.fields[name].type, path[1:], value)
            if path and path[0] == name
            else sample(kind.fields[name].type)
            for name in wanted
        }
    if value is not None and not path:
        return value
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    assert isinstance(kind, GraphQLScalarType)
    return SAMPLES[kind.name]


def document(mutation: str, kind: GraphQLInputObjectType, selection: str = "userErrors { code path }") -> str:
    return f"mutation ($input: {kind.name}!) {{ {mutation}(input: $input) {{ {selection} }} }}"
