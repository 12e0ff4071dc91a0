"""Ways to identify a customer other than by id."""

import strawberry

from app.vault.enums import ProviderName
from resolvers.inputs.fields import optional


@strawberry.input(description="A vault's key of one customer.")
class ProviderRefInput:
    provider: ProviderName = strawberry.field(description="The vault.")
    customer_ref: str = strawberry.field(description="The vault's key of the customer.")


@strawberry.input(one_of=True, description="Exactly one of these.")
class CustomerBy:
    external_id: strawberry.ID | None = optional("The key under which the customer was created.")
    provider_ref: ProviderRefInput | None = optional("The customer's key in a vault.", ("links:read",))
