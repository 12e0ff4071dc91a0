"""Payments with a stored method: quote, then capture."""

import strawberry

from resolvers.context import Info
from resolvers.inputs.payments import CapturePaymentInput, QuotePaymentInput
from resolvers.mutations.run import run
from resolvers.scopes import scoped
from resolvers.types.payloads import PaymentPayload


@strawberry.type
class PaymentMutations:
    @scoped("payments:write", calls=8, description="Check the method and fix fee and total; no money moves.")
    async def quote_payment(self, info: Info, input: QuotePaymentInput) -> PaymentPayload | None:
        result = await run(info, input, input.problems)
        return PaymentPayload(result=result, payment_id=result.payment_id)

    @scoped(
        "payments:write",
        calls=6,
        description="Take the quoted money: once, whatever the idempotency keys. `fallback` names methods that are "
        "tried after a decline.",
    )
    async def capture_payment(self, info: Info, input: CapturePaymentInput) -> PaymentPayload | None:
        result = await run(info, input, input.problems)
        return PaymentPayload(result=result, payment_id=input.payment_id)
