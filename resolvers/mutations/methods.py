"""Mutations that add, update and delete payment methods and set the default."""

from typing import Final

import strawberry

from app.store.records import MethodAddress
from app.vault.enums import AddRoute
from app.wallet.problems import ProblemCode, WriteProblem
from resolvers.context import Info
from resolvers.inputs.methods import (
    AddPaymentMethodInput,
    DeletePaymentMethodInput,
    SetDefaultPaymentMethodInput,
    UpdatePaymentMethodInput,
)
from resolvers.mutations.run import payload_fields, run
from resolvers.scopes import scoped
from resolvers.types.auth import GraphNextAction
from resolvers.types.payloads import (
    AddPaymentMethodPayload,
    DeletePaymentMethodPayload,
    SetDefaultPaymentMethodPayload,
    UpdatePaymentMethodPayload,
)

WRITE_METHODS = "payment_methods:write"


@strawberry.type
class MethodMutations:
    @scoped(WRITE_METHODS, calls=12, description="Store a payment method in the vault that issued its token.")
    async def add_payment_method(self, info: Info, input: AddPaymentMethodInput) -> AddPaymentMethodPayload | None:
        result = await run(info, input, info.context.services.writer.add_method, lambda: _closed_route(info, input))
        return AddPaymentMethodPayload(
            **await payload_fields(info, result),
            was_duplicate=result.was_duplicate,
            next_action=GraphNextAction.of(result.next_action) if result.next_action else None,
            address=result.method,
            done_at=result.operation.finished_at if result.operation else None,
            customer_id=result.customer_id,
        )

    @scoped(WRITE_METHODS, calls=8, description="Update the fields of a payment method that its vault can change.")
    async def update_payment_method(
        self, info: Info, input: UpdatePaymentMethodInput
    ) -> UpdatePaymentMethodPayload | None:
        result = await run(info, input, info.context.services.writer.update_method)
        return UpdatePaymentMethodPayload(
            **await payload_fields(info, result),
            replaced_id=_id(info, result.replaced),
            address=result.method,
            done_at=result.operation.finished_at if result.operation else None,
        )

    @scoped(WRITE_METHODS, calls=8, description="Set the customer's default payment method, across all vaults.")
    async def set_default_payment_method(
        self, info: Info, input: SetDefaultPaymentMethodInput
    ) -> SetDefaultPaymentMethodPayload | None:
        result = await run(info, input, info.context.services.writer.set_default)
        return SetDefaultPaymentMethodPayload(
            **await payload_fields(info, result),
            previous=result.previous,
            customer_id=result.customer_id,
        )

    @scoped(WRITE_METHODS, calls=10, description="Delete a payment method from its vault.")
    async def delete_payment_method(
        self, info: Info, input: DeletePaymentMethodInput
    ) -> DeletePaymentMethodPayload | None:
        result = await run(info, input, info.context.services.writer.delete_method)
        return DeletePaymentMethodPayload(
            **await payload_fields(info, result),
            deleted_id=_id(info, result.deleted),
            lookalikes=result.lookalikes,
            customer_id=result.customer_id,
        )


_CLOSED: Final = {
    AddRoute.RAW_CARD: (ProblemCode.RAW_CARD_DISABLED, "The operator has not enabled raw cards (raw_cards)."),
    AddRoute.NETWORK_TOKEN: (
        ProblemCode.UNSUPPORTED_BY_PROVIDER,
        "The operator has not enabled network tokens (network_tokens).",
    ),
}


def _closed_route(info: Info, input: AddPaymentMethodInput) -> list[WriteProblem]:
    """A route that the operator has disabled. The use case checks the vault's capabilities."""
    way = input.method.chosen()
    new = way.way.to_new(None)
    vault = info.context.services.reader.providers.get(new.provider)
    if vault is None or new.route not in _CLOSED or new.route in vault.capabilities.add_via:
        return []
    code, message = _CLOSED[new.route]
    return [WriteProblem(code=code, message=message, path=way.path)]


def _id(info: Info, address: MethodAddress | None) -> strawberry.ID | None:
    if address is None:
        return None
    return strawberry.ID(info.context.services.ids.encode(address.provider, address.customer_ref, address.method_ref))
