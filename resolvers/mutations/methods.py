"""Mutations that add, update and delete payment methods and set the default."""

from dataclasses import replace
from typing import Final

import strawberry

from app.vault.enums import AddRoute
from app.wallet.problems import ProblemCode, WriteProblem
from resolvers.context import Info
from resolvers.inputs.methods import (
    AddPaymentMethodInput,
    AddPaymentMethodItemInput,
    AddPaymentMethodsInput,
    DeletePaymentMethodInput,
    SetDefaultPaymentMethodInput,
    UpdatePaymentMethodInput,
)
from resolvers.mutations.run import run
from resolvers.scopes import scoped
from resolvers.types.payloads import (
    AddPaymentMethodPayload,
    AddPaymentMethodsPayload,
    DeletePaymentMethodPayload,
    SetDefaultPaymentMethodPayload,
    UpdatePaymentMethodPayload,
)

WRITE_METHODS = "payment_methods:write"


@strawberry.type
class MethodMutations:
    @scoped(WRITE_METHODS, calls=12, description="Store a payment method in the vault that issued its token.")
    async def add_payment_method(self, info: Info, input: AddPaymentMethodInput) -> AddPaymentMethodPayload | None:
        return AddPaymentMethodPayload(
            result=await run(info, input, input.problems, lambda: _closed_route(info, input))
        )

    @scoped(
        WRITE_METHODS,
        calls=40,
        description="Store several payment methods of one vault as one write, in one call where the vault can. Each "
        "has its own result.",
    )
    async def add_payment_methods(self, info: Info, input: AddPaymentMethodsInput) -> AddPaymentMethodsPayload | None:
        return AddPaymentMethodsPayload(
            result=await run(info, input, input.problems, lambda: _closed_routes(info, input))
        )

    @scoped(WRITE_METHODS, calls=8, description="Update the fields of a payment method that its vault can change.")
    async def update_payment_method(
        self, info: Info, input: UpdatePaymentMethodInput
    ) -> UpdatePaymentMethodPayload | None:
        return UpdatePaymentMethodPayload(result=await run(info, input))

    @scoped(WRITE_METHODS, calls=8, description="Set the customer's default payment method, across all vaults.")
    async def set_default_payment_method(
        self, info: Info, input: SetDefaultPaymentMethodInput
    ) -> SetDefaultPaymentMethodPayload | None:
        return SetDefaultPaymentMethodPayload(result=await run(info, input))

    @scoped(WRITE_METHODS, calls=10, description="Delete a payment method from its vault.")
    async def delete_payment_method(
        self, info: Info, input: DeletePaymentMethodInput
    ) -> DeletePaymentMethodPayload | None:
        return DeletePaymentMethodPayload(result=await run(info, input))


_CLOSED: Final = {
    AddRoute.NETWORK_TOKEN: (
        ProblemCode.UNSUPPORTED_BY_PROVIDER,
        "The operator has not enabled network tokens (network_tokens).",
    ),
}


def _closed_routes(info: Info, input: AddPaymentMethodsInput) -> list[WriteProblem]:
    return [
        replace(problem, path=("items", str(at), *problem.path))
        for at, one in enumerate(input.items)
        for problem in _closed_route(info, one)
    ]


def _closed_route(info: Info, input: AddPaymentMethodInput | AddPaymentMethodItemInput) -> list[WriteProblem]:
    """A route that the operator has disabled. The use case checks the vault's capabilities."""
    way = input.method.chosen()
    new = way.way.to_new(None)
    vault = info.context.services.reader.providers.get(new.provider)
    if vault is None or new.route not in _CLOSED or new.route in vault.capabilities.add_via:
        return []
    code, message = _CLOSED[new.route]
    return [WriteProblem(code, message, way.path)]
