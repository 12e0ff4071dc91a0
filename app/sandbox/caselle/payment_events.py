"""Payment changes outside the API, on demand: bank returns, disputes, manual refunds."""

from datetime import datetime
from typing import Final

from app.sandbox.base import Json
from app.sandbox.caselle import events, payments
from app.sandbox.caselle.changes import delivery_of
from app.sandbox.caselle.shapes import integer
from app.sandbox.caselle.wallets import stamp

_CLOSING_EVENTS: Final = {"payment.completed": "completed", "payment.failed": "failed"}
EVENT_TYPES: Final = (*_CLOSING_EVENTS, "payment.refunded", "provider.nsf", "provider.reversal", "provider.chargeback")


def notify(state: Json, account: Json, fields: Json, now: datetime) -> Json:
    """`fields`: `event_type`, `payment_uid` or `reference_id` (its newest payment), `amount` of a refund (default: the
    rest), `deliveries` (1), `signature` (good).

    Any event is sent in any state; one that does not fit the payment changes nothing. Returns `{payment_uid,
    event_id}`; raises ValueError.
    """
    event_type, amount = fields.get("event_type"), fields.get("amount")
    if event_type not in EVENT_TYPES:
        raise ValueError(f"event_type must be one of {' '.join(EVENT_TYPES)}")
    if amount is not None and integer(1)(amount) is not None:
        raise ValueError("amount must be a positive whole number of minor units")
    copies, signature = delivery_of(fields)
    uid, payment = _find(state, account, fields)
    if event_type in _CLOSING_EVENTS and payment["status"] == "validated":
        payment.update(status=_CLOSING_EVENTS[event_type], closed_at=stamp(now))
    elif event_type == "payment.refunded":
        left = payment["quoted"]["total_amount"] - payment["refunded_amount"]
        payment["refunded_amount"] += min(left if amount is None else amount, left)
        payment["status"] = "refunded"
    data = {**payments.show(uid, payment), "payment_uid": uid}
    event = events.record(state, account, event_type, data, now, copies=copies, signature=signature)
    return {"payment_uid": uid, "event_id": event["id"] if event else None}


def _find(state: Json, account: Json, fields: Json) -> tuple[str, Json]:
    uid, reference = fields.get("payment_uid"), fields.get("reference_id")
    if (uid is None) == (reference is None):
        raise ValueError("payment_uid or reference_id must name the payment")
    for found, payment in reversed(state["payments"].items()):
        is_it = found == uid if reference is None else payment["quoted"]["reference_id"] == reference
        if is_it and payment["account"] == account["uid"]:
            return found, payment
    raise ValueError("payment_uid is unknown" if reference is None else "reference_id is unknown")
