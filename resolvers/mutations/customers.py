"""Mutations that create, erase, link and unlink customers."""

import strawberry

from resolvers.context import Info
from resolvers.inputs.customers import (
    CreateCustomerInput,
    EraseCustomerInput,
    LinkProviderCustomerInput,
    UnlinkProviderCustomerInput,
)
from resolvers.mutations.run import payload_fields, run
from resolvers.scopes import scoped
from resolvers.types.payloads import CreateCustomerPayload, EraseCustomerPayload, LinkPayload


@strawberry.type
class CustomerMutations:
    @scoped("customers:write", calls=14, description="Create a customer here and, if requested, in the vaults.")
    async def create_customer(self, info: Info, input: CreateCustomerInput) -> CreateCustomerPayload | None:
        result = await run(info, input, info.context.services.writer.create_customer, input.problems)
        return CreateCustomerPayload(**await payload_fields(info, result), customer_id=result.customer_id)

    @scoped("links:write", calls=4, description="Link a customer to a customer of a vault.")
    async def link_provider_customer(self, info: Info, input: LinkProviderCustomerInput) -> LinkPayload | None:
        result = await run(info, input, info.context.services.writer.link_customer)
        linked = result.link.provider if result.link else None
        return LinkPayload(**await payload_fields(info, result), customer_id=result.customer_id, linked=linked)

    @scoped("links:write", calls=4, description="Remove a link; the vault's data stays.")
    async def unlink_provider_customer(self, info: Info, input: UnlinkProviderCustomerInput) -> LinkPayload | None:
        result = await run(info, input, info.context.services.writer.unlink_customer)
        return LinkPayload(**await payload_fields(info, result), customer_id=result.customer_id, linked=None)

    @scoped("customers:erase", calls=40, description="Erase a customer here and in every vault that can.")
    async def erase_customer(self, info: Info, input: EraseCustomerInput) -> EraseCustomerPayload | None:
        result = await run(info, input, info.context.services.writer.erase_customer)
        return EraseCustomerPayload(**await payload_fields(info, result))
