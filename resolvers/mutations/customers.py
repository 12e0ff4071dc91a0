"""Mutations that create, erase, link and unlink customers."""

import strawberry

from resolvers.context import Info
from resolvers.inputs.customers import (
    CreateCustomerInput,
    EraseCustomerInput,
    LinkProviderCustomerInput,
    MergeCustomersInput,
    UnlinkProviderCustomerInput,
)
from resolvers.mutations.run import run
from resolvers.scopes import scoped
from resolvers.types.payloads import CreateCustomerPayload, EraseCustomerPayload, LinkPayload, MergeCustomersPayload


@strawberry.type
class CustomerMutations:
    @scoped("customers:write", calls=14, description="Create a customer here and, if requested, in the vaults.")
    async def create_customer(self, info: Info, input: CreateCustomerInput) -> CreateCustomerPayload | None:
        return CreateCustomerPayload(result=await run(info, input, input.problems))

    @scoped("links:write", calls=4, description="Link a customer to a customer of a vault.")
    async def link_provider_customer(self, info: Info, input: LinkProviderCustomerInput) -> LinkPayload | None:
        return LinkPayload(result=await run(info, input))

    @scoped("links:write", calls=4, description="Remove a link; the vault's data stays.")
    async def unlink_provider_customer(self, info: Info, input: UnlinkProviderCustomerInput) -> LinkPayload | None:
        return LinkPayload(result=await run(info, input))

    @scoped("customers:erase", calls=40, description="Erase a customer here and in every vault that can.")
    async def erase_customer(self, info: Info, input: EraseCustomerInput) -> EraseCustomerPayload | None:
        return EraseCustomerPayload(result=await run(info, input))

    @scoped("links:write", calls=4, description="Merge two customers that are one person.")
    async def merge_customers(self, info: Info, input: MergeCustomersInput) -> MergeCustomersPayload | None:
        return MergeCustomersPayload(result=await run(info, input))
