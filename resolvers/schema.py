"""The schema. `print_sdl` returns `schema.graphql`, `subgraph_sdl` what federation routers compose."""

import inspect
from collections.abc import Awaitable, Mapping
from typing import Any, Final

import strawberry
from graphql import GraphQLDirective, GraphQLEnumType, GraphQLSchema, GraphQLStreamDirective, get_named_type
from strawberry.federation.schema import FederationAny
from strawberry.schema.config import StrawberryConfig

from app.api.sdl import api_sdl
from app.execution.inputs import prepare_inputs
from resolvers.context import Info
from resolvers.errors import BadUserInput
from resolvers.extensions import RequestScope
from resolvers.mutations.root import Mutation
from resolvers.query import MOST_NODES, Query
from resolvers.scalars import SCALARS
from resolvers.scopes import enforce
from resolvers.subscriptions.root import Subscription
from resolvers.types.customer import Customer
from resolvers.types.payment_method import GraphBankAccount, GraphCard, GraphOtherMethod
from resolvers.types.user_errors import ConflictError, DuplicateError, InputError, ProviderError

_ENTITIES: Final[Mapping[str, Any]] = {
    "Customer": Customer,
    "Card": GraphCard,
    "BankAccount": GraphBankAccount,
    "OtherMethod": GraphOtherMethod,
}


class Schema(strawberry.federation.Schema):
    """Entities use the same lookups, and therefore the same checks, as `node`."""

    def entities_resolver(self, info: Info, representations: list[FederationAny]) -> list[FederationAny]:
        if len(representations) > MOST_NODES:
            raise BadUserInput(f"At most {MOST_NODES} entities at once.")
        return [_entity(info, one) for one in representations]  # type: ignore[misc]


async def _entity(info: Info, representation: object) -> Any:
    """Only the key of a representation is used. Raises BadUserInput without a known type and an id."""
    if not isinstance(representation, Mapping):
        raise BadUserInput("A representation must be an object.")
    kind = _ENTITIES.get(str(representation.get("__typename")))
    key = representation.get("id")
    if kind is None or not isinstance(key, str):
        raise BadUserInput("A representation must have a __typename that this graph resolves, and its id.")
    found: Awaitable[Any] = kind.resolve_reference(info, key)
    return await found


schema: Final = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[GraphCard, GraphBankAccount, GraphOtherMethod, InputError, DuplicateError, ConflictError, ProviderError],
    config=StrawberryConfig(scalar_map=dict(SCALARS), enable_experimental_incremental_execution=True),
    extensions=[RequestScope],
    federation_version="2.9",
)


def _describe_inputs(graph: GraphQLSchema) -> None:
    """A mutation's argument `input` is described by the description of its type."""
    assert graph.mutation_type is not None
    for field in graph.mutation_type.fields.values():
        for argument in field.args.values():
            argument.description = get_named_type(argument.type).description


_describe_inputs(schema._schema)
enforce(schema._schema)
prepare_inputs(schema)


_PUBLISHED_LOCATIONS: Final = frozenset(
    {
        "QUERY", "MUTATION", "SUBSCRIPTION", "FIELD", "FRAGMENT_DEFINITION", "FRAGMENT_SPREAD", "INLINE_FRAGMENT",
        "VARIABLE_DEFINITION", "SCHEMA", "SCALAR", "OBJECT", "FIELD_DEFINITION", "ARGUMENT_DEFINITION", "INTERFACE",
        "UNION", "ENUM", "ENUM_VALUE", "INPUT_OBJECT", "INPUT_FIELD_DEFINITION",
    }
)  # fmt: skip
"""Source: https://spec.graphql.org/September2025/#DirectiveLocation"""


def _prepare_directives(graph: GraphQLSchema) -> None:
    """Remove `@stream`, which Strawberry adds with `@defer`, and unpublished directive locations: graphql-core 3.3
    lists DIRECTIVE_DEFINITION, which clients that follow the specification reject (graphql-core 3.2 in gql 3.5 and
    ariadne-codegen 0.17, Apollo Kotlin).
    """
    directives = []
    for one in graph.directives:
        if one.name == GraphQLStreamDirective.name:
            continue
        made: dict[str, Any] = dict(one.to_kwargs())
        made["locations"] = [at for at in one.locations if at.name in _PUBLISHED_LOCATIONS]
        directives.append(GraphQLDirective(**made))
    graph.directives = tuple(directives)
    # graphql-core shares its introspection types among all schemas of a process and does not allow copying them.
    locations = graph.type_map["__DirectiveLocation"]
    assert isinstance(locations, GraphQLEnumType)
    for name in locations.values.keys() - _PUBLISHED_LOCATIONS:
        del locations.values[name]


_prepare_directives(schema._schema)


def subgraph_sdl() -> str:
    """The SDL with federation's directives, types and fields, as `_service` returns it."""
    return inspect.cleandoc(schema.as_str()) + "\n"


def print_sdl() -> str:
    """The API schema as SDL: the content of `schema.graphql`, for tools without federation support."""
    return api_sdl(subgraph_sdl())
