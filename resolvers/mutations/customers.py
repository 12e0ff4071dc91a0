"""Mutations that create, erase, link and unlink customers."""

import strawberry

from app.wallet.commands import WriteResult
from app.wallet.problems import not_found
from resolvers.context import Info
from resolvers.inputs.customers import (
    CreateCustomerInput,
    EraseCustomerInput,
    ExportCustomerInput,
    LinkProviderCustomerInput,
    MergeCustomersInput,
    UnlinkProviderCustomerInput,
)
from resolvers.inputs.rules import text_problems
from resolvers.lookup import refuse_merged
from resolvers.mutations.run import run
from resolvers.scopes import scoped
from resolvers.types.export import READ_REFS, ExportCustomerPayload, GraphCustomerExport
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

    @scoped(
        "customers:export",
        calls=8,
        description="Export what the gateway and the vaults hold about a customer, without numbers and tokens. It "
        "changes nothing; as a mutation it is in the audit trail and never cached.",
    )
    async def export_customer(self, info: Info, input: ExportCustomerInput) -> ExportCustomerPayload | None:
        context, customer_id = info.context, input.customer_id
        if faults := text_problems(input, context.services.return_origins):
            return ExportCustomerPayload(result=WriteResult(problems=tuple(faults)), export=None)
        with_refs = context.caller.has_any([READ_REFS])
        entry = await context.entry(customer_id)
        found = None
        if entry is None:
            await refuse_merged(info, customer_id)
        else:
            found = await context.services.exporter.export(customer_id, context.call, with_refs=with_refs)
        problems = () if found else (not_found("There is no such customer.", "customer_id"),)
        made = GraphCustomerExport.of(found) if found else None
        return ExportCustomerPayload(result=WriteResult(problems=problems, customer_id=customer_id), export=made)
