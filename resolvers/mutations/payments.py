"""Payments with a stored method: quote, then capture."""

from typing import Any

import strawberry

from app.wallet.commands import WriteResult
from resolvers import lookup
from resolvers.context import Info
from resolvers.inputs.payments import CapturePaymentInput, QuotePaymentInput
from resolvers.mutations.run import payload_fields, run
from resolvers.scopes import scoped
from resolvers.types.payloads import PaymentPayload


@strawberry.type
class PaymentMutations:
    @scoped("payments:write", calls=8, description="Check the method and fix fee and total; no money moves.")
    async def quote_payment(self, info: Info, input: QuotePaymentInput) -> PaymentPayload | None:
        result = await run(info, input, info.context.services.writer.quote_payment, input.problems)
        return PaymentPayload(**await _answer(info, result, result.payment_id))

    @scoped("payments:write", calls=6, description="Take the quoted money: once, whatever the idempotency keys.")
    async def capture_payment(self, info: Info, input: CapturePaymentInput) -> PaymentPayload | None:
        result = await run(info, input, info.context.services.writer.capture_payment)
        return PaymentPayload(**await _answer(info, result, input.payment_id))


async def _answer(info: Info, result: WriteResult, payment_id: str | None) -> dict[str, Any]:
    payment = await lookup.payment(info, payment_id) if payment_id else None
    return {**await payload_fields(info, result), "payment": payment, "next_action": result.next_action}
