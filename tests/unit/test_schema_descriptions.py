"""Everything in the schema is described, for readers who have met no vault."""

from collections.abc import Iterator

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    is_specified_scalar_type,
)

from resolvers.schema import schema

_FEDERATION = ("_", "link__", "federation__")


def described() -> Iterator[tuple[str, str | None]]:
    """Every part of the schema by its coordinate, with its description, but for federation's own parts."""
    for name, kind in schema._schema.type_map.items():
        if not name.startswith(_FEDERATION) and not is_specified_scalar_type(kind):
            yield name, kind.description
            yield from parts_of(kind)
    for directive in schema._schema.directives:
        if directive.name not in ("key", "link"):
            yield f"@{directive.name}", directive.description


def parts_of(kind: GraphQLNamedType) -> Iterator[tuple[str, str | None]]:
    if isinstance(kind, GraphQLEnumType):
        yield from ((f"{kind.name}.{name}", value.description) for name, value in kind.values.items())
    elif isinstance(kind, GraphQLInputObjectType):
        yield from ((f"{kind.name}.{name}", value.description) for name, value in kind.fields.items())
    elif isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        for name, field in kind.fields.items():
            if not name.startswith(_FEDERATION):
                yield f"{kind.name}.{name}", field.description
                yield from ((f"{kind.name}.{name}({key}:)", one.description) for key, one in field.args.items())


def test_every_part_of_the_schema_is_described() -> None:
    assert [at for at, text in described() if not (text or "").strip()] == []


def test_descriptions_are_sentences_for_readers() -> None:
    """They are whole sentences, and fit on a screen of GraphiQL."""
    texts = [(at, text.strip()) for at, text in described() if text and not at.startswith("@")]
    assert len(texts) > 700
    assert [at for at, text in texts if not text.endswith((".", ')"', "`"))] == []
    assert [at for at, text in texts if len(text) > 400] == []
