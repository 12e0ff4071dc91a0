"""Ways to identify a customer other than by id."""

import strawberry

from app.vault.enums import ProviderName
from resolvers.directives import RequiresScope


@strawberry.input(description="A vault's key of one customer.")
class ProviderRefInput:
    provider: ProviderName = strawberry.field(description="The vault.")
    customer_ref: str = strawberry.field(description="The vault's key of the customer.")


@strawberry.input(one_of=True, description="Exactly one of these.")
class CustomerBy:
    external_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The key under which the customer was created."
    )
    provider_ref: ProviderRefInput | None = strawberry.field(
        default=strawberry.UNSET,
        description="The customer's key in a vault.",
        directives=[RequiresScope(any=["links:read"])],
    )
