"""Links between customers and vaults."""

from datetime import datetime
from typing import Self

import strawberry

from app.vault.enums import LinkProof, ProviderName
from app.wallet.reads.customers import LinkRecord
from resolvers.scopes import scoped


@strawberry.type(description="A link from a customer to a vault's customer.")
class ProviderLink:
    provider: ProviderName
    customer_ref: str | None = scoped("provider_refs:read", description="The vault's key of the customer.")
    proof: LinkProof
    linked_at: datetime
    linked_by: str

    @classmethod
    def of(cls, link: LinkRecord) -> Self:
        return cls(
            provider=link.provider,
            customer_ref=link.customer_ref,
            proof=link.proof,
            linked_at=link.linked_at,
            linked_by=link.linked_by,
        )
