"""Payments with a stored method."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import strawberry

from app.store.records import MethodAddress, PaymentRecord, PaymentState
from app.store.records import PaymentAttempt as StoredAttempt
from app.vault.enums import AuthStatus, ProviderName
from app.vault.payments import MerchantReason, PaymentInitiator
from app.wallet.money import to_decimal
from resolvers.context import Info
from resolvers.directives import ListSize
from resolvers.enums import register
from resolvers.scalars import CurrencyCode
from resolvers.scopes import scoped
from resolvers.types.customer import READ_METHODS
from resolvers.types.node import Node
from resolvers.types.payment_method import PaymentMethod

register(
    PaymentState,
    "How far a payment is, or how it ended. Open enum: clients must tolerate values added later.",
    {
        "QUOTED": "The method was checked and the fee is fixed; no money has moved.",
        "REQUIRES_ACTION": "The shopper must do something first: see `nextAction`.",
        "PROCESSING": "The vault has accepted it and has not finished.",
        "AUTHORIZED": "The amount is reserved and not taken.",
        "CAPTURED": "The total was taken.",
        "DECLINED": "No money was taken: create a new quote.",
        "CANCELED": "The vault refused the capture, and no money was taken: create a new quote.",
        "UNKNOWN": "The capture was sent, and its outcome is not known: do not pay again.",
        "REFUNDED": "It was taken and paid back.",
        "REVERSED": "It was taken and reversed.",
        "RETURNED": "The payer's bank returned it.",
        "DISPUTED": "The payer disputes it (chargeback).",
    },
)


register(
    PaymentInitiator,
    "Whose request a payment is.",
    {
        "CUSTOMER": "The customer's: they take part in this payment.",
        "MERCHANT": "The merchant's, with a stored method, under an earlier agreement.",
    },
)
register(
    MerchantReason,
    "Why a payment is made without the customer. Open enum: clients must tolerate values added later.",
    {
        "RECURRING": "One of a series at regular intervals, without an agreed end, for example a subscription.",
        "INSTALLMENT": "One of an agreed number of parts of one purchase.",
        "UNSCHEDULED": "At no fixed time, for example a top-up when a balance is low.",
    },
)


@strawberry.type(description="An amount, with the decimal places of its currency.")
class Money:
    amount: Decimal = strawberry.field(description='The amount, as text, e.g. "10.50".')
    currency: CurrencyCode = strawberry.field(description="The currency.")

    @classmethod
    def of(cls, minor: int | None, currency: str) -> "Money | None":
        return None if minor is None else cls(amount=to_decimal(minor, currency), currency=CurrencyCode(currency))


@strawberry.type(description="One method with which a payment was tried.")
class PaymentAttempt:
    state: PaymentState = strawberry.field(
        description="How this attempt ended. CANCELED also if nothing was sent: the vault refused the quote of a "
        "backup method, or it would have cost more than allowed."
    )
    provider: ProviderName = strawberry.field(description="The vault that was to take the money.")
    total: Money | None = strawberry.field(description="What was to be charged, fee included; null without a quote.")
    decline_code: str | None = strawberry.field(description="The vault's code for a decline; null if it gave none.")
    at: datetime = strawberry.field(description="When its state last changed.")
    method: strawberry.Private[MethodAddress]

    @scoped(READ_METHODS, calls=1, description="null if the vault no longer has it.")
    async def payment_method(self, info: Info) -> PaymentMethod | None:
        from resolvers import lookup  # circular: lookup imports this type's module

        return await lookup.method_if_readable(info, self.method)


@strawberry.type(description="A payment: quoted first, with the vault's fee, then captured once.")
class Payment(Node):
    amount: Money = strawberry.field(description="The amount without the vault's fee.")
    processing_fee: Money | None = strawberry.field(description="The vault's fee, fixed by the quote.")
    total: Money | None = strawberry.field(description="What the payer is charged.")
    refunded_amount: Money | None = strawberry.field(
        description="Refunded so far. A partial refund leaves the payment CAPTURED. null if nothing was refunded or "
        "the vault does not report the amount."
    )
    state: PaymentState = strawberry.field(description="How far it is, or how it ended.")
    provider: ProviderName = strawberry.field(description="The vault that takes the money.")
    reference: str = strawberry.field(description="Your reference, as given in the quote; empty if there was none.")
    initiator: PaymentInitiator | None = strawberry.field(
        description="Whose request it is, as the quote said; null for payments from before this was stored."
    )
    merchant_reason: MerchantReason | None = strawberry.field(
        description="Why the merchant initiated it; null if the customer did."
    )
    auth_status: AuthStatus = strawberry.field(description="NOT_APPLICABLE: no vault that pays has 3-D Secure.")
    decline_code: str | None = strawberry.field(description="The vault's code for a decline; null if it gave none.")
    created_at: datetime = strawberry.field(description="When it was quoted.")
    updated_at: datetime = strawberry.field(description="When its state last changed.")
    method: strawberry.Private[MethodAddress]
    record: strawberry.Private[PaymentRecord]

    @classmethod
    def of(cls, record: PaymentRecord) -> "Payment":
        amount = Money.of(record.amount, record.currency)
        assert amount is not None
        return cls(
            id=strawberry.ID(record.id),
            amount=amount,
            processing_fee=Money.of(record.fee, record.currency),
            total=Money.of(record.total, record.currency),
            refunded_amount=Money.of(record.refunded, record.currency),
            state=record.state,
            provider=record.method.provider,
            reference=record.reference,
            initiator=record.initiator,
            merchant_reason=record.merchant_reason,
            auth_status=AuthStatus.NOT_APPLICABLE,
            decline_code=record.decline_code,
            created_at=record.created_at,
            updated_at=record.updated_at,
            method=record.method,
            record=record,
        )

    @scoped(READ_METHODS, calls=1, description="null if the vault no longer has it.")
    async def payment_method(self, info: Info) -> PaymentMethod | None:
        from resolvers import lookup  # circular: lookup imports this type

        return await lookup.method_if_readable(info, self.method)

    @strawberry.field(
        description="The methods that were tried, in order: one, or several if `capturePayment` named backup methods. "
        "Empty before the capture.",
        directives=[ListSize(assumed_size=2)],
    )
    async def attempts(self, info: Info) -> list[PaymentAttempt]:
        found = await info.context.services.payment_attempts(self.record.id)
        shown: Sequence[StoredAttempt | PaymentRecord] = found
        if not found and self.state is not PaymentState.QUOTED:
            shown = [self.record]  # stored with the payment
        return [
            PaymentAttempt(
                state=one.state,
                provider=one.method.provider,
                total=Money.of(one.total, self.record.currency),
                decline_code=one.decline_code,
                at=one.updated_at,
                method=one.method,
            )
            for one in shown
        ]
