"""Payments with a stored method."""

from datetime import datetime
from decimal import Decimal

import strawberry

from app.store.records import MethodAddress, PaymentRecord, PaymentState
from app.vault.enums import AuthStatus, ProviderName
from app.wallet.money import to_decimal
from resolvers.context import Info
from resolvers.scalars import CurrencyCode
from resolvers.scopes import scoped
from resolvers.types.customer import READ_METHODS
from resolvers.types.node import Node
from resolvers.types.payment_method import PaymentMethod

strawberry.enum(
    PaymentState,
    description="UNKNOWN: capture was sent and its outcome is not known: do not pay again. DECLINED, CANCELED (the "
    "vault refused the capture): no money was taken, create a new quote. CAPTURED: the total was taken; "
    "REFUNDED, REVERSED, RETURNED (by the payer's bank), DISPUTED (charged back): the latest later "
    "change. Open enum: clients must tolerate values added later.",
)


@strawberry.type(description="An amount, with the decimal places of its currency.")
class Money:
    amount: Decimal
    currency: CurrencyCode

    @classmethod
    def of(cls, minor: int | None, currency: str) -> "Money | None":
        return None if minor is None else cls(amount=to_decimal(minor, currency), currency=CurrencyCode(currency))


@strawberry.type(description="A payment: quoted first, with the vault's fee, then captured once.")
class Payment(Node):
    amount: Money
    processing_fee: Money | None = strawberry.field(description="The vault's fee, fixed by the quote.")
    total: Money | None = strawberry.field(description="What the payer is charged.")
    refunded_amount: Money | None = strawberry.field(
        description="Refunded so far. A partial refund leaves the payment CAPTURED. null if nothing was refunded or "
        "the vault does not report the amount."
    )
    state: PaymentState
    provider: ProviderName
    reference: str
    auth_status: AuthStatus = strawberry.field(description="NOT_APPLICABLE: no vault that pays has 3-D Secure.")
    decline_code: str | None
    created_at: datetime
    updated_at: datetime
    method: strawberry.Private[MethodAddress]

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
            auth_status=AuthStatus.NOT_APPLICABLE,
            decline_code=record.decline_code,
            created_at=record.created_at,
            updated_at=record.updated_at,
            method=record.method,
        )

    @scoped(READ_METHODS, calls=1, description="null if the vault no longer has it.")
    async def payment_method(self, info: Info) -> PaymentMethod | None:
        from resolvers import lookup  # circular: lookup imports this type

        return await lookup.method_if_readable(info, self.method)
