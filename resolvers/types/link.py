"""Links between customers and vaults."""

from datetime import datetime
from typing import Self

import strawberry

from app.vault.enums import LinkProof, ProviderName
from app.wallet.reads.customers import LinkRecord
from resolvers.scopes import scoped


@strawberry.type(description="A link from a customer to a vault's customer.")
class ProviderLink:
    provider: ProviderName = strawberry.field(description="The vault.")
    customer_ref: str | None = scoped("provider_refs:read", description="The vault's key of the customer.")
    proof: LinkProof = strawberry.field(description="The evidence that the vault's customer is this customer.")
    linked_at: datetime = strawberry.field(description="When the link was created.")
    linked_by: str = strawberry.field(description="The key of the caller who created it, e.g. staff:ann.")

    @classmethod
    def of(cls, link: LinkRecord) -> Self:
        return cls(
            provider=link.provider,
            customer_ref=link.customer_ref,
            proof=link.proof,
            linked_at=link.linked_at,
            linked_by=link.linked_by,
        )
