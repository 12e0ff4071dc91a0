"""What the gateway and the vaults hold about a customer."""

from datetime import datetime
from typing import Final, Self

import strawberry

from app.vault.enums import ProviderName
from app.wallet.reads.export import CustomerExport
from resolvers.directives import ListSize
from resolvers.scalars import JSON
from resolvers.types.payloads import MutationPayload
from resolvers.types.sources import SourceStatus

READ_REFS: Final = "provider_refs:read"


@strawberry.type(
    name="CustomerExport",
    description="Everything that the gateway stores and the linked vaults said about a customer, at one time.",
)
class GraphCustomerExport:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
    exported_at: datetime = strawberry.field(description="When it was made.")
    format: int = strawberry.field(
        description="The version of the document's format. It rises when a member changes or ends, not for new members."
    )
    is_complete: bool = strawberry.field(
        description="False if something that a linked vault holds is missing: see `missing` and `sources`."
    )
    missing: list[ProviderName] = strawberry.field(
        description="The linked vaults that could not be read, or not completely. Export again when they answer."
    )
    sources: list[SourceStatus] = strawberry.field(
        description="How each linked vault was read.", directives=[ListSize(assumed_size=4)]
    )
    document: JSON = strawberry.field(
        description="The data, as one JSON object: complete whatever the request selects. docs/privacy.md has its "
        "members. Without card and account numbers, leading digits and tokens."
    )

    @classmethod
    def of(cls, made: CustomerExport) -> Self:
        return cls(
            customer_id=strawberry.ID(made.customer_id),
            exported_at=made.exported_at,
            format=made.format,
            is_complete=made.is_complete,
            missing=list(made.missing),
            sources=list(made.sources),  # type: ignore[arg-type]
            document=JSON(made.document),
        )


@strawberry.type(description="`operation` is null: nothing is written.")
class ExportCustomerPayload(MutationPayload):
    export: GraphCustomerExport | None = strawberry.field(description="The export; null if there is no such customer.")
