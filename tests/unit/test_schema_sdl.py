"""The printed schema, and rules for every type in it."""

import dataclasses
from pathlib import Path

import pytest
from graphql import GraphQLNonNull, GraphQLObjectType, build_schema, is_interface_type, is_object_type
from graphql.utilities import find_schema_changes

from app.api.sdl import api_sdl
from app.execution.strawberry_internals import class_of
from app.vault.enums import ProviderName, SourceState
from app.wallet.reads.reader import SourceReading
from resolvers.schema import print_sdl, schema, subgraph_sdl
from resolvers.scopes import ScopeGuard
from resolvers.types.sources import SourceStatus

ROOT = Path(__file__).parents[2]
GRAPH = schema._schema


def test_schema_graphql_is_up_to_date() -> None:
    assert (ROOT / "schema.graphql").read_text("utf-8") == print_sdl(), "print it again: resolvers.schema.print_sdl()"


def test_the_subgraph_is_of_federation_2_9() -> None:
    assert 'schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])' in subgraph_sdl()
    for name in ("Customer", "Card", "BankAccount", "OtherMethod"):
        assert any(
            line.startswith(f"type {name} implements") and '@key(fields: "id")' in line
            for line in subgraph_sdl().splitlines()
        )


def test_the_api_schema_is_valid_by_itself() -> None:
    """Validated with the directives of the specification and those that the file defines."""
    read = build_schema(print_sdl())
    assert [name for name in read.type_map if "_" in name and not name.startswith("__")] == []
    whole = build_schema(subgraph_sdl(), assume_valid_sdl=True)
    changes = {change.description for change in find_schema_changes(whole, read)}
    assert changes == {
        "Field Query._entities was removed.",
        "Field Query._service was removed.",
        "_Any was removed.",
        "_Entity was removed.",
        "_Service was removed.",
    }


@pytest.mark.parametrize(
    ("sdl", "expected"),
    [
        ("type Query { a: Int }", "type Query { a: Int }"),
        ('extend schema @link(url: "x")\n\ntype Query { a: Int }\n', "type Query { a: Int }\n"),
        ("scalar _Any\ntype Query { a: Int @shareable @deprecated }", "type Query { a: Int @deprecated }"),
        (
            "directive @b on FIELD_DEFINITION\ntype Query { a: Int @b @c }",
            "directive @b on FIELD_DEFINITION\ntype Query { a: Int @b }",
        ),
        ('type Query { a: Int }\n\n"é"\ntype _Service @key(fields: "id") { sdl: String }\n', "type Query { a: Int }\n"),
        (
            "enum link__Purpose { A }\nscalar federation__FieldSet\ntype Query { _a(b: Int @c): Int }",
            "type Query { _a(b: Int): Int }",
        ),
    ],
)
def test_only_federation_is_removed(sdl: str, expected: str) -> None:
    assert api_sdl(sdl) == expected


def test_introspection_lists_published_locations_only() -> None:
    """https://spec.graphql.org/September2025/#DirectiveLocation: clients fail on unknown locations."""
    query = '{ __schema { directives { name locations } } __type(name: "__DirectiveLocation") { enumValues { name } } }'
    data = schema.execute_sync(query).data
    assert data is not None
    published = {
        "QUERY", "MUTATION", "SUBSCRIPTION", "FIELD", "FRAGMENT_DEFINITION", "FRAGMENT_SPREAD", "INLINE_FRAGMENT",
        "VARIABLE_DEFINITION", "SCHEMA", "SCALAR", "OBJECT", "FIELD_DEFINITION", "ARGUMENT_DEFINITION", "INTERFACE",
        "UNION", "ENUM", "ENUM_VALUE", "INPUT_OBJECT", "INPUT_FIELD_DEFINITION",
    }  # fmt: skip
    assert {one["name"] for one in data["__type"]["enumValues"]} == published
    found = {one["name"]: set(one["locations"]) for one in data["__schema"]["directives"]}
    assert set().union(*found.values()) <= published
    assert found["deprecated"] == {"FIELD_DEFINITION", "ARGUMENT_DEFINITION", "INPUT_FIELD_DEFINITION", "ENUM_VALUE"}


def test_a_row_of_sources_has_every_field_of_its_type() -> None:
    """The row is returned in place of the type."""
    row = SourceReading(provider=ProviderName.ALOHA, state=SourceState.OK)
    assert {one.name for one in dataclasses.fields(SourceStatus)} <= set(dir(row))  # type: ignore[arg-type]


def test_every_scoped_field_is_nullable_and_guarded_as_printed() -> None:
    seen = 0
    for kind in GRAPH.type_map.values():
        if not isinstance(kind, GraphQLObjectType) or kind.name.startswith("__") or kind is GRAPH.subscription_type:
            continue  # a subscription without its scope does not start, so nothing is null
        for name, field in kind.fields.items():
            made = field.extensions.get("strawberry-definition")
            guards = [one.scopes for one in getattr(made, "extensions", []) if isinstance(one, ScopeGuard)]
            printed = [
                tuple(one.any) for one in getattr(made, "directives", []) if type(one).__name__ == "RequiresScope"
            ]
            assert guards == printed, f"{kind.name}.{name}"
            if guards:
                seen += 1
                assert not isinstance(field.type, GraphQLNonNull), f"{kind.name}.{name} could not be nulled"
    assert seen >= 11


def test_no_field_of_an_object_is_resolved_by_name_and_by_resolver_differently() -> None:
    """Compiled plans assume that objects that share an interface resolve its fields alike."""
    interface = GRAPH.type_map["PaymentMethod"]
    assert is_interface_type(interface)
    for name, field in interface.fields.items():
        expected = field.extensions["strawberry-definition"].is_basic_field
        for kind in ("Card", "BankAccount", "OtherMethod"):
            concrete = GRAPH.type_map[kind]
            assert is_object_type(concrete)
            assert concrete.fields[name].extensions["strawberry-definition"].is_basic_field is expected


@pytest.mark.parametrize("kind", ["Card", "BankAccount", "OtherMethod"])
def test_other_fields_of_a_method_are_plain_attributes(kind: str) -> None:
    concrete = GRAPH.type_map[kind]
    assert isinstance(concrete, GraphQLObjectType)
    resolved = {
        name for name, field in concrete.fields.items() if not field.extensions["strawberry-definition"].is_basic_field
    }
    # A thirtieth attribute would make every card five times as large, so rarely selected fields are resolved.
    seldom = {"customer", "statusDetail", "isSecondary", "groupKey", "asOf", "profileUpdatedAt", "vaultTitle"}
    others = {"Card": {"threeDSecure", "bin", "processor"}, "BankAccount": {"mandates"}}.get(kind, set())
    assert resolved == {"authStatus", "consent", "etag", "providerRef"} | seldom | others
    assert sum(one.init for one in dataclasses.fields(class_of(concrete))) < 30


def test_public_types_and_fields_have_descriptions() -> None:
    bare = [
        name
        for name, kind in GRAPH.type_map.items()
        if not name.startswith(("_", "link__"))
        and name not in ("Query", "Mutation", "Subscription", "_Any")
        and not kind.description
    ]
    assert bare == []
