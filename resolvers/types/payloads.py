"""Mutation payloads. Written data is read back in the ordinary way when it is selected."""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

import strawberry

from app.store.records import MethodAddress, OperationRecord, OperationState, WriteOutcome
from app.vault.enums import ProviderName
from app.vault.payments import Tokenization as VaultTokenization
from app.wallet.commands import ItemResult, WriteResult
from app.wallet.problems import WriteProblem
from resolvers import lookup
from resolvers.context import Info
from resolvers.directives import ListSize, UpstreamCost
from resolvers.errors import SourcesUnavailable
from resolvers.scalars import JSON
from resolvers.scopes import scoped
from resolvers.types.auth import GraphNextAction
from resolvers.types.customer import READ_METHODS, Customer
from resolvers.types.link import ProviderLink
from resolvers.types.operation import Operation
from resolvers.types.payment import Payment
from resolvers.types.payment_method import PaymentMethod
from resolvers.types.user_errors import UserError, to_user_error

_SHOWN_WITHIN: Final = timedelta(minutes=1)
"""How long a vault's list may lag behind a write."""


@strawberry.interface(description="`operation` is null if nothing was journalled, because of an earlier refusal.")
class MutationPayload:
    """A view of a `WriteResult`."""

    result: strawberry.Private[WriteResult]

    @strawberry.field(description="The journal's record of the write; null if the request was refused before.")
    def operation(self) -> Operation | None:
        record = self.result.operation
        return Operation.of(record, replayed=self.result.replayed) if record else None

    @strawberry.field(description="Why it was not done; empty if it was.", directives=[ListSize(assumed_size=2)])
    async def user_errors(self, info: Info) -> list[UserError]:
        return [await _user_error(info, problem) for problem in self.result.problems]

    @strawberry.field(description="Warnings about a write that was done.", directives=[ListSize(assumed_size=2)])
    async def warnings(self, info: Info) -> list[UserError]:
        return [await _user_error(info, problem) for problem in self.result.warnings]


@strawberry.type(description="The method that was added, or the existing one.")
class AddPaymentMethodPayload(MutationPayload):
    @strawberry.field(description="The vault already had the same token; nothing was added.")
    def was_duplicate(self) -> bool:
        return self.result.was_duplicate

    @strawberry.field(description="Shown once: null in a repeated request.")
    def next_action(self) -> GraphNextAction | None:
        return _next_action(self.result)

    @scoped(READ_METHODS, calls=1, description="The payment method, as its vault returns it now.")
    async def payment_method(self, info: Info) -> PaymentMethod | None:
        return await _written(info, self.result)

    @scoped(lookup.READ_CUSTOMERS, calls=4, description="The customer, as read after the write.")
    async def customer(self, info: Info) -> Customer | None:
        return await _customer(info, self.result)


@strawberry.type(description="What became of one of several methods.")
class AddedPaymentMethod:
    result: strawberry.Private[ItemResult]
    operation_record: strawberry.Private[OperationRecord | None]

    @strawberry.field(description="SUCCEEDED, FAILED, or UNKNOWN: then it is looked up, as the operation says.")
    def state(self) -> OperationState:
        return self.result.state

    @strawberry.field(description="Whether the vault stored it.")
    def outcome(self) -> WriteOutcome:
        return self.result.outcome

    @strawberry.field(description="The vault already had the same token; nothing was added.")
    def was_duplicate(self) -> bool:
        return self.result.was_duplicate

    @strawberry.field(description="What the shopper must do next, if anything. Shown once: null in a repeated request.")
    def next_action(self) -> GraphNextAction | None:
        return GraphNextAction.of(self.result.next_action) if self.result.next_action else None

    @strawberry.field(
        description="Why it was not added, or not made the default.", directives=[ListSize(assumed_size=2)]
    )
    async def user_errors(self, info: Info) -> list[UserError]:
        return [await _user_error(info, problem) for problem in self.result.problems]

    @scoped(READ_METHODS, calls=1, description="The method that was added, or the existing one.")
    async def payment_method(self, info: Info) -> PaymentMethod | None:
        return await _shown(info, self.result.method, self.operation_record)


@strawberry.type(description="One result for each item; `userErrors` has the problems of all of them.")
class AddPaymentMethodsPayload(MutationPayload):
    @strawberry.field(
        description="In the order of the items; empty if the request was refused as a whole.",
        directives=[ListSize(assumed_size=10)],
    )
    def items(self) -> list[AddedPaymentMethod]:
        return [AddedPaymentMethod(result=one, operation_record=self.result.operation) for one in self.result.items]

    @scoped(lookup.READ_CUSTOMERS, calls=4, description="The customer, with the methods as they are now.")
    async def customer(self, info: Info) -> Customer | None:
        return await _customer(info, self.result)


@strawberry.type(description="The method as it is now.")
class UpdatePaymentMethodPayload(MutationPayload):
    @strawberry.field(description="The previous id, if the vault replaces what it updates.")
    def replaced_id(self, info: Info) -> strawberry.ID | None:
        return _id(info, self.result.replaced)

    @scoped(READ_METHODS, calls=1, description="The payment method, as its vault returns it now.")
    async def payment_method(self, info: Info) -> PaymentMethod | None:
        return await _written(info, self.result)


@strawberry.type(description="The customer, with the default as it is now.")
class SetDefaultPaymentMethodPayload(MutationPayload):
    @scoped(lookup.READ_CUSTOMERS, calls=4, description="The customer, as read after the write.")
    async def customer(self, info: Info) -> Customer | None:
        return await _customer(info, self.result)

    @scoped(READ_METHODS, calls=1, description="The effective default before, if it is still available.")
    async def previous_default(self, info: Info) -> PaymentMethod | None:
        return await _method(info, self.result.previous)


@strawberry.type(description="The customer without the method.")
class DeletePaymentMethodPayload(MutationPayload):
    @strawberry.field(description="The id of the deleted method; null if it was not deleted.")
    def deleted_id(self, info: Info) -> strawberry.ID | None:
        return _id(info, self.result.deleted)

    @strawberry.field(
        description="Methods in any vault that look like the deleted one, which the customer may also want deleted. "
        "Empty without the scope payment_methods:read.",
        directives=[UpstreamCost(calls=4), ListSize(assumed_size=4)],
    )
    async def remaining_lookalikes(self, info: Info) -> list[PaymentMethod]:
        if not info.context.caller.has_any([READ_METHODS]):
            return []
        found = [await lookup.method_if_readable(info, one) for one in self.result.lookalikes]
        return [one for one in found if one is not None]

    @scoped(lookup.READ_CUSTOMERS, calls=4, description="The customer, as read after the write.")
    async def customer(self, info: Info) -> Customer | None:
        return await _customer(info, self.result)


@strawberry.type(description="The new customer; `operation.results` has a row per vault where it was to be created.")
class CreateCustomerPayload(MutationPayload):
    @scoped(lookup.READ_CUSTOMERS, calls=4, description="The new customer; null if it was not created.")
    async def customer(self, info: Info) -> Customer | None:
        return await _customer(info, self.result)


@strawberry.type(description="The customer with its current links.")
class LinkPayload(MutationPayload):
    @scoped(lookup.READ_CUSTOMERS, calls=4, description="The customer, as read after the write.")
    async def customer(self, info: Info) -> Customer | None:
        return await _customer(info, self.result)

    @scoped("links:read", description="The new link; null after unlinking.")
    async def link(self, info: Info) -> ProviderLink | None:
        made, customer_id = self.result.link, self.result.customer_id
        entry = await info.context.entry(customer_id) if made and customer_id else None
        link = entry.link(made.provider) if entry and made else None
        return ProviderLink.of(link) if link else None


@strawberry.type(description="`operation.results` has a row per vault.")
class EraseCustomerPayload(MutationPayload):
    pass


@strawberry.type(description="The customer that stays; `operation.results` has a row per link that moved.")
class MergeCustomersPayload(MutationPayload):
    @scoped(lookup.READ_CUSTOMERS, calls=4, description="The customer with everything of both, as it is now.")
    async def customer(self, info: Info) -> Customer | None:
        return await _customer(info, self.result)


@strawberry.type(description="Where the shopper goes next. Shown once: not in the response to a repeated request.")
class CreateHostedSessionPayload(MutationPayload):
    @strawberry.field(description="The page to open.")
    def next_action(self) -> GraphNextAction | None:
        return _next_action(self.result)


@strawberry.type(
    name="Tokenization",
    description="What a browser needs to capture a number for a vault. Use it at once; never log it.",
)
class GraphTokenization:
    provider: ProviderName = strawberry.field(description="The vault.")
    action: GraphNextAction | None = strawberry.field(description="A form to embed, if the vault has one.")
    client_config: JSON | None = strawberry.field(description="The vault's settings for its script, if it has one.")

    @classmethod
    def of(cls, provider: ProviderName, found: VaultTokenization) -> "GraphTokenization":
        config = JSON(dict(found.client_config)) if found.client_config is not None else None
        action = GraphNextAction.of(found.action) if found.action else None
        return cls(provider=provider, action=action, client_config=config)


@strawberry.type(description="`operation` is null: nothing is written or stored.")
class CreateTokenizationPayload(MutationPayload):
    tokenization: GraphTokenization | None = strawberry.field(
        description="What the browser needs; null if the request was refused."
    )


@strawberry.type(description="The current payment.")
class PaymentPayload(MutationPayload):
    payment_id: strawberry.Private[str | None]

    @strawberry.field(description="The payment; null if none was created.")
    async def payment(self, info: Info) -> Payment | None:
        return await lookup.payment(info, self.payment_id) if self.payment_id else None

    @strawberry.field(description="What the shopper must do first; null if nothing.")
    def next_action(self) -> GraphNextAction | None:
        return _next_action(self.result)


@strawberry.type(description="`operation.results` has a row per row of the input, in its order.")
class ImportPaymentMethodsPayload(MutationPayload):
    pass


async def _customer(info: Info, result: WriteResult) -> Customer | None:
    found = lookup.customer(info, result.customer_id) if result.customer_id else None
    return await found if isinstance(found, Awaitable) else found


async def _written(info: Info, result: WriteResult) -> PaymentMethod | None:
    return await _shown(info, result.method, result.operation)


async def _shown(info: Info, address: MethodAddress | None, operation: OperationRecord | None) -> PaymentMethod | None:
    """A written method. Soon after the write it is never null: a vault's list that lacks it gives a retryable error."""
    found = await _method(info, address)
    done_at = operation.finished_at if operation else None
    if found is None and address is not None and done_at is not None:
        services = info.context.services
        if services.utc_now() - done_at < _SHOWN_WITHIN and await lookup.is_expected(info, address):
            raise SourcesUnavailable("The vault does not show the payment method yet.")
    return found


async def _method(info: Info, address: MethodAddress | None) -> PaymentMethod | None:
    return await lookup.method_at(info, address) if address else None


def _id(info: Info, address: MethodAddress | None) -> strawberry.ID | None:
    if address is None:
        return None
    return strawberry.ID(info.context.services.ids.encode(address.provider, address.customer_ref, address.method_ref))


def _next_action(result: WriteResult) -> GraphNextAction | None:
    return GraphNextAction.of(result.next_action) if result.next_action else None


async def _user_error(info: Info, problem: WriteProblem) -> UserError:
    may_see = problem.existing is not None and info.context.caller.has_any([READ_METHODS])
    existing = await lookup.method_if_readable(info, problem.existing) if problem.existing and may_see else None
    return to_user_error(problem, existing)
