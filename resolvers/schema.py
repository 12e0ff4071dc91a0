"""The schema. `schema.graphql` is what `print_sdl` answers."""

import inspect
from collections.abc import Awaitable, Mapping
from typing import Any, Final

import strawberry
from strawberry.federation.schema import FederationAny
from strawberry.schema.config import StrawberryConfig

from resolvers.context import Info
from resolvers.errors import BadInput
from resolvers.extensions import RequestScope
from resolvers.mutations.root import Mutation
from resolvers.query import MOST_NODES, Query
from resolvers.scalars import SCALARS
from resolvers.scopes import enforce
from resolvers.subscriptions.root import Subscription
from resolvers.types.customer import Customer
from resolvers.types.payment_method import BankAccount, Card, OtherMethod
from resolvers.types.user_errors import ConflictError, DuplicateError, InputError, ProviderError

_ENTITIES: Final[Mapping[str, Any]] = {one.__name__: one for one in (Customer, Card, BankAccount, OtherMethod)}


class Schema(strawberry.federation.Schema):
    """Entities go through the same look-ups, and so the same checks, as `node`."""

    def entities_resolver(self, info: Info, representations: list[FederationAny]) -> list[FederationAny]:
        if len(representations) > MOST_NODES:
            raise BadInput(f"At most {MOST_NODES} entities at once.")
        return [_entity(info, one) for one in representations]  # type: ignore[misc]


async def _entity(info: Info, representation: object) -> Any:
    """Of a representation only the key is believed; one without a known type or key names nothing."""
    if not isinstance(representation, Mapping):
        raise BadInput("A representation is an object.")
    kind = _ENTITIES.get(str(representation.get("__typename")))
    key = representation.get("id")
    if kind is None or not isinstance(key, str):
        raise BadInput("A representation has a __typename that this graph resolves, and its id.")
    found: Awaitable[Any] = kind.resolve_reference(info, key)
    return await found


schema: Final = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Card, BankAccount, OtherMethod, InputError, DuplicateError, ConflictError, ProviderError],
    config=StrawberryConfig(scalar_map=dict(SCALARS)),
    extensions=[RequestScope],
    federation_version="2.9",
)


enforce(schema._schema)


def print_sdl() -> str:
    """The SDL as it is committed, directives and federation's own parts included."""
    return inspect.cleandoc(schema.as_str()) + "\n"
