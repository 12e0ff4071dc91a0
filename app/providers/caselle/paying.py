"""Payments, hosted sessions, browser tokenization and import: Caselle's words and ours. Pure.

Bodies hold exactly the properties that the pages show, since unknown ones are rejected.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from app.errors import FieldFault, RejectReason, VaultRejected
from app.providers.caselle.mapping import brand_word, saved_ref_of
from app.providers.caselle.replies import code_in, reason_of
from app.providers.support import fault, instant_of, required, text
from app.vault.model import NextAction
from app.vault.names import MethodRef, NextActionKind, PaymentMethodKind, ProviderName
from app.vault.payments import (
    Amounts,
    Captured,
    HostedSession,
    ImportedCard,
    ImportResult,
    ImportState,
    NewPayment,
    NewSession,
    PaymentRef,
    PaymentState,
    Quote,
    SessionRef,
    Tokenization,
)
from app.vault.secret import Secret

IMPORT_LIMIT: Final = 1000
"""Rows of one import call; assumed, as the page gives no number."""
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
PAYMENT_EVENTS: Final[Mapping[str, PaymentState]] = {
    "payment.completed": PaymentState.CAPTURED,
    "payment.failed": PaymentState.DECLINED,
    "payment.refunded": PaymentState.REFUNDED,
    "provider.nsf": PaymentState.RETURNED,
    "provider.reversal": PaymentState.REVERSED,
    "provider.chargeback": PaymentState.DISPUTED,
}
"""What an event of the webhook reports, page "Accounts"."""
_READY_TO_CAPTURE: Final = frozenset(
    {"validated", "valid", "quoted", "created", "new", "open", "pending", "ready", "requires_capture"}
)
"""What a quote may say of its status. None is documented: the published answer has no status."""
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_LAST4: Final = re.compile(r"[0-9]{4}")
_WEB_ADDRESS: Final = re.compile(r"https?://[^\s<>\"']+")
_MOST: Final = 10**12


# ---- payments ---------------------------------------------------------------------------------------------


def faults_of_payment(new: NewPayment) -> list[FieldFault]:
    faults = list(_faults_of_amount(new.amount, new.currency))
    if not 0 <= new.tax <= _MOST:
        faults.append(fault("tax", message="A tax is zero or more, in minor units."))
    if new.method_kind not in _WALLET_TYPE:
        faults.append(fault("method_kind", message="Caselle pays with cards and bank accounts."))
    if not 0 < len(new.reference.strip()) <= 255:
        faults.append(fault("reference", message="A reference has 1 to 255 characters."))
    return faults


def _faults_of_amount(amount: int, currency: str) -> Iterator[FieldFault]:
    if not 0 < amount <= _MOST:
        yield fault("amount", message="An amount is one or more, in minor units.")
    if _CURRENCY.fullmatch(currency) is None:
        yield fault("currency", message="A currency is its ISO 4217 code.")


def from_payment(new: NewPayment) -> dict[str, Any]:
    """The body of ``POST /api/payments``, page "Payments", with a saved method as on "Customers & wallets"."""
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
    """The saved method that a payment's answer names; None where it names none."""
    method = wire.get("payment_method") if isinstance(wire, dict) else None
    wallet = method.get("wallet") if isinstance(method, dict) else None
    named = text(wallet.get("saved_payment_method_uid")) if isinstance(wallet, dict) else None
    return MethodRef(named) if named else None


def to_quote(new: NewPayment, wire: Any) -> Quote:
    """Fee and total as the vault fixed them; raises ValueError where either is no whole number of minor units.

    Raises VaultRejected where its status says that it was declined, ValueError where that is any other surprise.
    """
    status = wire.get("status")
    if status is not None and status.lower() not in _READY_TO_CAPTURE:
        if _STATE.get(status.lower()) is PaymentState.DECLINED:
            raise VaultRejected(ProviderName.CASELLE, RejectReason.DECLINED, provider_code=status.lower())
        raise ValueError("a quote with a status that no quote has")
    return Quote(
        payment_ref=_payment_ref(wire),
        payment=new,
        fee=_minor_units(wire["processing_fee_amount"]),
        total=_minor_units(wire["total_amount"]),
        answered=_answered(wire),
    )


def from_quote(quote: Quote) -> dict[str, Any]:
    """The body of a capture: the quote's, with the vault's own fee and total."""
    return {**from_payment(quote.payment), "processing_fee_amount": quote.fee, "total_amount": quote.total}


def to_captured(quote: Quote, wire: Any) -> Captured:
    """Raises ValueError for another payment's answer, and KeyError where its status is missing or new to us."""
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
    """The amounts that an answer names; raises ValueError for one that is no number. Only a quote's are documented."""
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
    number = float(value)  # which makes "12444" and 12444.0 the same amount
    if not isfinite(number):
        raise ValueError("not an amount")
    return int(number) if number.is_integer() else number


def _minor_units(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not an amount in minor units")
    return value


# ---- hosted sessions and tokenization ---------------------------------------------------------------------


def faults_of_session(new: NewSession) -> list[FieldFault]:
    faults: list[FieldFault] = []
    if new.amount is None or new.currency is None:
        faults.append(required("amount", message="A hosted session of Caselle is a payment: it needs an amount."))
    else:
        faults.extend(_faults_of_amount(new.amount, new.currency))
    for name, url in (("return_url", new.return_url), ("cancel_url", new.cancel_url)):
        if _WEB_ADDRESS.fullmatch(url) is None:
            faults.append(fault(name, message="The shopper must return to an http or https address."))
    return faults


def from_session(new: NewSession) -> dict[str, Any]:
    """The body of ``POST /v1/hosted-sessions``: the customer's wallet is offered, fees are the server's."""
    body: dict[str, Any] = {
        "amount": new.amount,
        "currency": new.currency,
        "customer_id": new.customer_ref,
        "success_url": new.return_url,
        "cancel_url": new.cancel_url,
        "setup_future_usage": "on_session" if new.save else "off",
    }
    return body | ({"layout": "embedded"} if new.embedded else {})


def to_session(new: NewSession, wire: Any) -> HostedSession:
    url = text(wire.get("hosted_url"))
    secret = text(wire.get("client_secret"))
    if url is None or _WEB_ADDRESS.fullmatch(url) is None:
        raise ValueError("no hosted_url")
    return HostedSession(
        session_ref=SessionRef(wire["session_id"]),
        next_action=NextAction(
            kind=NextActionKind.EMBED if new.embedded else NextActionKind.REDIRECT,
            url=url,
            client_token=Secret(secret) if secret else None,
            expires_at=instant_of(wire.get("expires_at")),
        ),
    )


def to_tokenization(wire: Any) -> Tokenization:
    """The configuration that Caselle's browser SDK starts with, page "Payments"; raises ValueError on anything else."""
    if not isinstance(wire, dict) or not isinstance(wire.get("config"), dict) or not text(wire.get("processor")):
        raise ValueError("no client configuration")
    return Tokenization(client_config=wire)


# ---- import -----------------------------------------------------------------------------------------------


def faults_of_import(row: ImportedCard) -> list[FieldFault]:
    faults: list[FieldFault] = []
    if not row.secret:
        faults.append(required("secret", message="An import needs the processor's token."))
    if _LAST4.fullmatch(row.last4) is None:
        faults.append(fault("last4", message="The final four digits are four digits."))
    if not row.holder_name.strip():
        faults.append(required("holder_name", message="Caselle needs the holder's name."))
    return faults


def from_import(rows: Sequence[ImportedCard]) -> dict[str, Any]:
    """The body of ``POST /api/saved-payment-methods/import``; its shape is assumed."""
    return {"items": [_item(row) for row in rows]}


def _item(row: ImportedCard) -> dict[str, Any]:
    credit: dict[str, Any] = {
        "last4": row.last4,
        "exp_month": row.expiry.month,
        "exp_year": row.expiry.year,
        "holder_name": row.holder_name,
    }
    if brand := brand_word(row.brand):
        credit["card_brand"] = brand
    return {
        "customer_uid": row.customer_ref,
        "processor_token": row.secret.reveal(),
        "payment_method": {"payment_method_type": "credit", "credit": credit},
    }


def to_results(count: int, wire: Any) -> list[ImportResult]:
    """Outcomes in the order of the rows, by the answer's own ``index``; a row that it does not name is UNKNOWN."""
    found = [ImportResult(state=ImportState.UNKNOWN)] * count
    for record in wire["results"]:
        index = record["index"]
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
            raise ValueError("an outcome of no row")
        found[index] = _result(record)
    return found


def _result(record: Any) -> ImportResult:
    if record.get("status") == "imported":
        return ImportResult(state=ImportState.IMPORTED, method_ref=saved_ref_of(record))
    if record.get("status") == "failed":
        code = code_in(record)
        missing = RejectReason.CUSTOMER_NOT_FOUND if code and "customer" in code else None
        reason = missing or reason_of(422, code)
        return ImportResult(state=ImportState.REJECTED, reason=reason, provider_code=code)
    return ImportResult(state=ImportState.UNKNOWN)
