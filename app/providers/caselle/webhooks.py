"""Verifies and parses Caselle's webhooks.

The signature format is not published: HMAC-SHA256 over timestamp, dot and body is assumed, as in the sandbox.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

from app.providers.caselle.settings import CaselleSettings
from app.providers.webhooks import hmac_secret_number, hmac_signatures, is_plain, json_object, short_text
from app.vault.payments import PaymentState
from app.vault.secret import Secret
from app.vault.webhooks import (
    Headers,
    ReadDelivery,
    ReportsPayment,
    RereadsMethods,
    WebhookDelivery,
    WebhookEffect,
    WebhookRejected,
)

_MOST_METHODS: Final = 1_000
_MOST_MONEY: Final = 10**12
_AMOUNTS: Final = {
    "base": "base_amount",
    "tax": "tax_amount",
    "fee": "processing_fee_amount",
    "total": "total_amount",
}
_WINDOW_S: Final = 300
_LONGEST_STAMP: Final = 15
_PAYMENT_EVENTS: Final[Mapping[str, PaymentState]] = {
    "payment.completed": PaymentState.CAPTURED,
    "payment.failed": PaymentState.DECLINED,
    "payment.refunded": PaymentState.REFUNDED,
    "provider.nsf": PaymentState.RETURNED,
    "provider.reversal": PaymentState.REVERSED,
    "provider.chargeback": PaymentState.DISPUTED,
}
"""The events of the webhook, page "Accounts"."""
EFFECTS: Final[Mapping[str, WebhookEffect]] = {
    "provider.noc": RereadsMethods("saved_payment_method_ids"),
    **{event_type: ReportsPayment(state) for event_type, state in _PAYMENT_EVENTS.items()},
}


def sender_of(settings: CaselleSettings) -> "CaselleSender | None":
    """None if no secret is set."""
    secrets = settings.webhook_secret
    return CaselleSender(settings.payment_account_uid, tuple(secrets)) if secrets else None


@dataclass(frozen=True, slots=True)
class CaselleSender:
    """The webhooks of one payment account. A signature by any of `secrets` is accepted: during rotation
    there are two.
    """

    header_aliases: ClassVar[Mapping[str, str]] = {}
    single_headers: ClassVar[frozenset[str]] = frozenset({"x-webhook-id", "x-webhook-signature", "x-webhook-timestamp"})

    account: str
    secrets: Sequence[Secret]

    async def admit(self, path: str, headers: Headers) -> ReadDelivery:
        if path != self.account:
            raise WebhookRejected(404, "No such account.")
        signatures = hmac_signatures(headers.get("x-webhook-signature", ""))
        if not signatures:
            raise WebhookRejected(401, "The signature is missing.")
        stamp = headers.get("x-webhook-timestamp", "")
        is_number = stamp.isdecimal() and len(stamp) <= _LONGEST_STAMP
        if not (is_number and abs(time.time() - int(stamp)) <= _WINDOW_S):
            raise WebhookRejected(401, "The delivery is too old.")
        return partial(self._read, stamp, signatures)

    def _read(self, stamp: str, signatures: Sequence[bytes], raw: bytes) -> WebhookDelivery:
        signed = stamp.encode() + b"." + raw
        number = hmac_secret_number(signed, signatures, self.secrets)
        if number is None:
            raise WebhookRejected(401, "The signature does not match.")
        body = json_object(raw)
        event_type, delivery = short_text(body, "event_type"), short_text(body, "id")
        data = body.get("data")
        kept = _facts(event_type, data if isinstance(data, dict) else {})
        return WebhookDelivery(
            account=self.account,
            delivery_id=delivery,
            event_type=event_type,
            lane=kept.get("payment_uid"),  # only payments depend on the order
            facts=kept,
            secret_number=number,
        )


def _facts(event_type: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The ids in a delivery and, for a payment, its amounts. Payment events are not published: the payment itself is
    read, or the event's object that contains or names it.
    """
    listed = data.get("saved_payment_method_ids")
    refs = [ref for ref in listed if is_plain(ref)] if isinstance(listed, list) else []
    facts: dict[str, Any] = {"saved_payment_method_ids": refs[:_MOST_METHODS]}
    inner = data.get("payment")
    payment = inner if isinstance(inner, dict) else {}
    named = (data.get("payment_uid"), payment.get("uid"), data.get("payment_id"), data.get("uid"))
    uid = next((one for one in named if is_plain(one)), None)
    if uid is None:
        return facts
    facts["payment_uid"] = uid
    about = {**data, **payment}
    amounts = {name: about[theirs] for name, theirs in _AMOUNTS.items() if _is_amount(about.get(theirs))}
    if is_plain(currency := about.get("currency")):
        amounts["currency"] = currency[:16].upper()
    if event_type == "payment.completed" and amounts:
        facts["amounts"] = amounts
    if event_type == "payment.refunded":
        one = data.get("refund")
        parts = (data.get("refund_amount"), one.get("amount") if isinstance(one, dict) else None, data.get("amount"))
        part = next((found for found in parts if _is_amount(found)), None)
        refund = {"total": about.get("refunded_amount"), "part": part}
        facts["refund"] = {name: value for name, value in refund.items() if _is_amount(value)}
    return facts


def _is_amount(value: object) -> bool:
    """True for plausible amounts in minor units: longer numbers might be card numbers."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_MONEY
