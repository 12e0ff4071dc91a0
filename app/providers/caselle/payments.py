"""Payments with saved methods: Caselle's wire types and the unified model. Pure.

Bodies contain exactly the properties shown on the pages, since unknown ones are rejected.
"""

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final

from app.errors import FieldFault, RejectReason, VaultRejected
from app.providers.base import fault
from app.providers.caselle.mapping import NAME
from app.providers.values import text
from app.vault.enums import MethodRef, PaymentMethodKind
from app.vault.payments import Amounts, Captured, NewPayment, PaymentRef, PaymentState, Quote

_WALLET_TYPE: Final[Mapping[PaymentMethodKind, str]] = {
    PaymentMethodKind.CARD: "wallet_credit",
    PaymentMethodKind.BANK_ACCOUNT: "wallet_ach",
}
_STATE: Final[Mapping[str, PaymentState]] = {
    "completed": PaymentState.CAPTURED,
    "captured": PaymentState.CAPTURED,
    "succeeded": PaymentState.CAPTURED,
    "approved": PaymentState.CAPTURED,
    "paid": PaymentState.CAPTURED,
    "authorized": PaymentState.AUTHORIZED,
    "pending": PaymentState.PROCESSING,
    "processing": PaymentState.PROCESSING,
    "failed": PaymentState.DECLINED,
    "declined": PaymentState.DECLINED,
}
_READY_TO_CAPTURE: Final = frozenset(
    {"validated", "valid", "quoted", "created", "new", "open", "pending", "ready", "requires_capture"}
)
"""Accepted statuses of a quote. None is documented: the published reply has no status."""
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_MOST: Final = 10**12


def faults_of_payment(new: NewPayment) -> list[FieldFault]:
    faults = list(faults_of_amount(new.amount, new.currency))
    if not 0 <= new.tax <= _MOST:
        faults.append(fault("tax", message="A tax must be zero or more, in minor units."))
    if new.method_kind not in _WALLET_TYPE:
        faults.append(fault("method_kind", message="Caselle pays with cards and bank accounts."))
    if len(new.reference) > 255:
        faults.append(fault("reference", message="A reference has at most 255 characters."))
    return faults


def faults_of_amount(amount: int, currency: str) -> Iterator[FieldFault]:
    if not 0 < amount <= _MOST:
        yield fault("amount", message="An amount must be one or more, in minor units.")
    if _CURRENCY.fullmatch(currency) is None:
        yield fault("currency", message="A currency must be its ISO 4217 code.")


def from_payment(new: NewPayment) -> dict[str, Any]:
    """The body of ``POST /api/payments``, page "Payments", with a saved method as on "Customers & wallets", where
    `reference_id` is empty.
    """
    return {
        "base_amount": new.amount,
        "tax_amount": new.tax,
        "currency": new.currency,
        "reference_id": new.reference,
        "payment_method": {
            "payment_method_type": _WALLET_TYPE[new.method_kind],
            "wallet": {"saved_payment_method_uid": new.method_ref},
        },
    }


def method_in(wire: Any) -> MethodRef | None:
    """The saved method that a payment's reply names; None if it names none."""
    method = wire.get("payment_method") if isinstance(wire, dict) else None
    wallet = method.get("wallet") if isinstance(method, dict) else None
    named = text(wallet.get("saved_payment_method_uid")) if isinstance(wallet, dict) else None
    return MethodRef(named) if named else None


def to_quote(new: NewPayment, wire: Any) -> Quote:
    """Fee and total as fixed by the vault; raises ValueError if either is no whole number of minor units.

    Raises VaultRejected if the status means declined, ValueError for any other unexpected status.
    """
    status = wire.get("status")
    if status is not None and status.lower() not in _READY_TO_CAPTURE:
        if _STATE.get(status.lower()) is PaymentState.DECLINED:
            raise VaultRejected(NAME, RejectReason.DECLINED, provider_code=status.lower())
        raise ValueError("a quote with a status that no quote has")
    return Quote(
        payment_ref=_payment_ref(wire),
        payment=new,
        fee=_minor_units(wire["processing_fee_amount"]),
        total=_minor_units(wire["total_amount"]),
        answered=_answered(wire),
    )


def from_quote(quote: Quote) -> dict[str, Any]:
    """The body of a capture: the quote's, with the vault's fee and total."""
    return {**from_payment(quote.payment), "processing_fee_amount": quote.fee, "total_amount": quote.total}


def to_captured(quote: Quote, wire: Any) -> Captured:
    """Raises ValueError for another payment's reply, and KeyError if its status is missing or unknown."""
    if wire.get("uid") not in (None, quote.payment_ref):
        raise ValueError("another payment was answered")
    state = _STATE[wire["status"].strip().lower()]
    return Captured(payment_ref=quote.payment_ref, state=state, answered=_answered(wire))


def declined(quote: Quote, code: str | None) -> Captured:
    return Captured(payment_ref=quote.payment_ref, state=PaymentState.DECLINED, decline_code=code)


def _payment_ref(wire: Any) -> PaymentRef:
    found = text(wire.get("uid")) if isinstance(wire, dict) else None
    if found is None:
        raise ValueError("no payment uid")
    return PaymentRef(found)


def _answered(wire: Any) -> Amounts:
    """The amounts in a reply; raises ValueError for one that is no number. Only a quote's are documented."""
    currency = wire.get("currency")
    if currency is not None and not isinstance(currency, str):
        raise ValueError("a currency that is no text")
    return Amounts(
        base=_number(wire.get("base_amount")),
        tax=_number(wire.get("tax_amount")),
        fee=_number(wire.get("processing_fee_amount")),
        total=_number(wire.get("total_amount")),
        currency=currency[:16].upper() if currency is not None else None,
    )


def _number(value: object) -> int | float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number")
    if isinstance(value, int):
        return value
    number = float(value)  # makes "12444" and 12444.0 equal
    if not isfinite(number):
        raise ValueError("not an amount")
    return int(number) if number.is_integer() else number


def _minor_units(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not an amount in minor units")
    return value
