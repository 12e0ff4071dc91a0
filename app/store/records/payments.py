"""Payments with a stored method. Amounts are integers in minor units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.store.records.directory import MethodAddress
from app.vault.enums import PaymentMethodKind
from app.vault.payments import MerchantReason, PaymentInitiator
from app.vault.payments import PaymentState as PaymentState


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPaymentRecord:
    """A quoted payment; a `payment_id` of None is generated.

    `payment_ref` is the vault's; `quote` is the JSON that a capture must repeat exactly.
    """

    customer_id: str
    method: MethodAddress
    state: PaymentState
    currency: str
    amount: int
    reference: str
    tax: int | None = None
    fee: int | None = None
    total: int | None = None
    payment_ref: str | None = None
    payment_id: str | None = None
    initiator: PaymentInitiator | None = None
    merchant_reason: MerchantReason | None = None
    quote: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRecord:
    """`refunded` is the refunded amount, None if unknown; `refunds` are single refunds by the id of their report.

    `capture_id` is the operation that sent the capture, if any. `initiator` is None for payments of earlier versions.
    """

    id: str
    customer_id: str
    method: MethodAddress
    payment_ref: str | None
    state: PaymentState
    currency: str
    amount: int
    tax: int | None
    fee: int | None
    total: int | None
    reference: str
    decline_code: str | None
    refunded: int | None = None
    refunds: Mapping[str, int] = field(default_factory=dict)
    capture_id: str | None = None
    initiator: PaymentInitiator | None = None
    merchant_reason: MerchantReason | None = None
    quote: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAttempt:
    """One method that was tried for a payment with backup methods; `number` counts from 1.

    `payment_ref` is None for a method for which no capture was sent; then the state is CANCELED.
    """

    payment_id: str
    number: int
    method: MethodAddress
    kind: PaymentMethodKind
    payment_ref: str | None
    fee: int | None
    total: int | None
    state: PaymentState
    decline_code: str | None
    updated_at: datetime
