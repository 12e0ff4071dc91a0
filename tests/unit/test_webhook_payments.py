"""What is stored of Caselle's deliveries about payments: ids and amounts, and nothing else."""

import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from app.providers.caselle.webhooks import CaselleSender
from app.vault.secret import Secret

SENDER = CaselleSender("pa_1", [Secret("secret")])
SHOWN = {
    "uid": "pay_1",
    "status": "completed",
    "base_amount": 12_345,
    "tax_amount": 0,
    "processing_fee_amount": 99,
    "total_amount": 12_444,
    "currency": "usd",
    "payment_method": {"payment_method_type": "wallet_credit"},
}
AMOUNTS = {"base": 12_345, "tax": 0, "fee": 99, "total": 12_444, "currency": "USD"}


async def kept(event_type: str, data: Any) -> dict[str, Any]:
    raw = json.dumps({"id": "evt_1", "event_type": event_type, "data": data}).encode()
    stamp = str(int(time.time()))
    signed = hmac.new(b"secret", stamp.encode() + b"." + raw, hashlib.sha256).hexdigest()
    headers = {"x-webhook-timestamp": stamp, "x-webhook-signature": f"sha256={signed}"}
    delivery = (await SENDER.admit("pa_1", headers))(raw)
    assert delivery is not None
    body = dict(delivery.facts)
    assert body.pop("saved_payment_method_ids") == []
    return body


@pytest.mark.parametrize(
    "data",
    [
        {"payment_uid": "pay_1", "uid": "other"},
        {"payment": {"uid": "pay_1"}, "uid": "other"},
        {"payment_id": "pay_1"},
        {"uid": "pay_1"},
        {"uid": "pay_1", "payment_uid": None, "payment": "pay_2", "card": {"number": "4111111111111111"}},
    ],
)
async def test_the_payment_is_named_in_one_way_or_another(data: dict[str, Any]) -> None:
    assert await kept("provider.chargeback", data) == {"payment_uid": "pay_1"}


@pytest.mark.parametrize("data", [{}, [], None, {"uid": 7}, {"uid": ""}])
async def test_an_event_may_name_no_payment(data: Any) -> None:
    assert await kept("payment.refunded", data) == {}


@pytest.mark.parametrize("data", [SHOWN, {"payment": SHOWN}])
async def test_a_completed_payment_has_amounts(data: dict[str, Any]) -> None:
    assert await kept("payment.completed", data) == {"payment_uid": "pay_1", "amounts": AMOUNTS}
    assert await kept("payment.failed", data) == {"payment_uid": "pay_1"}


@pytest.mark.parametrize(
    ("data", "refund"),
    [
        ({}, {}),
        ({"refunded_amount": 4_000}, {"total": 4_000}),
        ({"payment": {"refunded_amount": 4_000}, "amount": 1_000}, {"total": 4_000, "part": 1_000}),
        ({"refund": {"amount": 1_000}, "amount": 12_444}, {"part": 1_000}),
        ({"refund_amount": 1_000, "amount": 12_444}, {"part": 1_000}),
        ({"amount": 1_000}, {"part": 1_000}),
        ({"amount": "1000", "refunded_amount": 10.5, "refund": 7}, {}),
        ({"amount": 4_111_111_111_111_111, "refunded_amount": -1}, {}),
        ({"amount": True}, {}),
    ],
)
async def test_what_was_refunded(data: dict[str, Any], refund: dict[str, int]) -> None:
    assert await kept("payment.refunded", {"payment_uid": "pay_1", **data}) == {
        "payment_uid": "pay_1",
        "refund": refund,
    }
