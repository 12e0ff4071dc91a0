"""Caselle emulator: payments, hosted sessions, webhooks and notification of change."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.sandbox.base import SandboxClock
from app.sandbox.caselle import CaselleEmulator
from tests.support.asgi import Reply, call

WALLET = {"payment_method_type": "wallet_credit", "wallet": {"saved_payment_method_uid": "spm_alexvisa"}}
BANK = {"payment_method_type": "wallet_ach", "wallet": {"saved_payment_method_uid": "spm_alexach"}}
INVOICE = {"base_amount": 12345, "tax_amount": 0, "currency": "USD", "reference_id": "inv-1", "payment_method": WALLET}
SESSION = {
    "amount": 14227,
    "currency": "USD",
    "customer_id": "cus_88420",
    "success_url": "https://shop.example/receipt?session_id={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://shop.example/billing",
    "setup_future_usage": "on_session",
}
HOOK = "http://127.0.0.1:9/hook"


class Vault:
    def __init__(self) -> None:
        self.clock = SandboxClock()
        self.emulator = CaselleEmulator(self.clock)
        self.shown = self.emulator.credentials("http://sandbox.test")
        self.app = self.emulator.asgi()
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []
        self.answers: list[int] = []

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return await call(self.app, method, path, json=body, headers=self.shown["headers"] | headers)

    async def pay(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        quoted = (await self.call("POST", "/api/payments", body)).json()
        amounts = {name: quoted[name] for name in ("processing_fee_amount", "total_amount")}
        return f"/api/payments/{quoted['uid']}", body | amounts

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.sent.append((url, headers, body))
        return self.answers.pop(0) if self.answers else 200

    async def delivered(self) -> list[Any]:
        await self.emulator.deliver_due(self.post)
        found = [json.loads(body) for _, _, body in self.sent]
        self.sent.clear()
        return found


@pytest.fixture
def vault() -> Vault:
    return Vault()


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json()["code"]


async def test_capture_repeats_the_quote_exactly_and_once(vault: Vault) -> None:
    path, body = await vault.pay(INVOICE)
    for change in (
        {"base_amount": 12344},
        {"processing_fee_amount": 98},
        {"payment_method": BANK},
        {"reference_id": "x"},
    ):
        assert code(await vault.call("POST", path + "/capture", body | change)) == (409, "payment_mismatch")
    captured = await vault.call("POST", path + "/capture", body)
    assert (captured.status, captured.json()["status"], captured.json()["total_amount"]) == (200, "completed", 12444)
    assert code(await vault.call("POST", path + "/capture", body)) == (409, "payment_not_capturable")
    assert code(await vault.call("POST", "/api/payments/pay_none/capture", body)) == (404, "payment_not_found")


async def test_fees(vault: Vault) -> None:
    fees = []
    for method, amount in ((WALLET, 100), (WALLET, 12376), (WALLET, 100_000), (BANK, 100_000)):
        _, body = await vault.pay(INVOICE | {"payment_method": method, "base_amount": amount})
        fees.append(body["processing_fee_amount"])
    assert fees == [99, 100, 800, 50]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"base_amount": 1.5}, (400, "validation_failed")),
        ({"base_amount": 0}, (400, "validation_failed")),
        ({"base_amount": 100_000_000}, (422, "amount_out_of_range")),
        ({"currency": "usd"}, (400, "validation_failed")),
        ({"baseAmount": 1}, (400, "unknown_property")),
        ({"payment_method": WALLET | {"payment_method_type": "wallet_ach"}}, (400, "payment_method_type_mismatch")),
        (
            {"payment_method": WALLET | {"wallet": {"saved_payment_method_uid": "spm_none"}}},
            (404, "saved_payment_method_not_found"),
        ),
    ],
)
async def test_quotes_that_are_refused(vault: Vault, change: dict[str, Any], expected: tuple[int, str]) -> None:
    assert code(await vault.call("POST", "/api/payments", INVOICE | change)) == expected
    assert vault.emulator.state["payments"] == {}


async def test_events_of_a_payment_on_demand(vault: Vault) -> None:
    vault.emulator.set_callback(HOOK)
    path, _ = await vault.pay(INVOICE)
    uid = path.rpartition("/")[2]
    for event_type, more, status, refunded in (
        ("provider.chargeback", {"payment_uid": uid}, "validated", 0),
        ("payment.completed", {"reference_id": "inv-1", "deliveries": 2}, "completed", 0),
        ("payment.failed", {"payment_uid": uid}, "completed", 0),
        ("payment.refunded", {"payment_uid": uid, "amount": 44}, "refunded", 44),
        ("payment.refunded", {"payment_uid": uid}, "refunded", 12444),
    ):
        outcome = vault.emulator.notify_of_payment({"event_type": event_type, **more})
        assert outcome["payment_uid"] == uid
        events = await vault.delivered()
        assert [event["id"] for event in events] == [outcome["event_id"]] * more.get("deliveries", 1)
        data = events[0]["data"]
        assert (events[0]["event_type"], data["payment_uid"]) == (event_type, uid)
        assert (data["status"], data["refunded_amount"]) == (status, refunded)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"event_type": "provider.noc", "reference_id": "inv-1"}, "event_type"),
        ({"event_type": "provider.nsf"}, "payment_uid"),
        ({"event_type": "provider.nsf", "payment_uid": "pay_none"}, "payment_uid"),
        ({"event_type": "provider.nsf", "reference_id": "inv-2"}, "reference_id"),
        ({"event_type": "payment.refunded", "reference_id": "inv-1", "amount": 0}, "amount"),
    ],
)
async def test_invalid_payment_events(vault: Vault, wish: dict[str, Any], field: str) -> None:
    await vault.pay(INVOICE)
    with pytest.raises(ValueError, match=f"^{field} "):
        vault.emulator.notify_of_payment(wish)


async def test_a_declined_method_closes_the_payment(vault: Vault) -> None:
    vault.emulator.set_callback(HOOK)
    vault.emulator.notify_of_change({"saved_payment_method_ids": ["spm_alexvisa"], "last4": "0002"})
    path, body = await vault.pay(INVOICE)
    assert code(await vault.call("POST", path + "/capture", body)) == (402, "payment_declined")
    assert code(await vault.call("POST", path + "/capture", body)) == (409, "payment_not_capturable")
    assert [event["event_type"] for event in await vault.delivered()] == ["provider.noc", "payment.failed"]


async def test_a_browser_token_pays_both_phases(vault: Vault) -> None:
    wish = {"kind": "card", "number": "4242424242424242", "exp_month": 12, "exp_year": vault.clock.now().year + 1}
    credit = {
        "fingerprint": vault.emulator.mint_token(wish)["token"],
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2040,
    }
    path, body = await vault.pay(INVOICE | {"payment_method": {"payment_method_type": "credit", "credit": credit}})
    captured = await vault.call("POST", path + "/capture", body)
    assert captured.json()["payment_method"]["credit"] == {
        name: credit[name] for name in credit if name != "fingerprint"
    }
    assert credit["fingerprint"] not in json.dumps(vault.emulator.state)


async def test_refunds_up_to_the_total(vault: Vault) -> None:
    path, body = await vault.pay(INVOICE)
    assert code(await vault.call("POST", path + "/refund", {})) == (409, "payment_not_refundable")
    await vault.call("POST", path + "/capture", body)
    assert (await vault.call("POST", path + "/refund", {"amount": 44})).json()["refunded_amount"] == 44
    assert (await vault.call("POST", path + "/refund", {})).json()["refunded_amount"] == 12444
    assert code(await vault.call("POST", path + "/refund", {"amount": 1})) == (409, "payment_not_refundable")


async def test_client_config_needs_no_authentication(vault: Vault) -> None:
    reply = await call(vault.app, "GET", "/api/paymentaccounts/pa_3Cards/client-config")
    config = reply.json()
    assert (reply.status, config["processor"], config["supported_methods"]) == (200, "zift", ["credit", "apple_pay"])
    assert sorted(config["config"]) == ["account_id", "api_key", "expiration_date", "temporary_password"]
    assert (await call(vault.app, "GET", "/api/paymentaccounts/pa_0Closed/client-config")).status == 404


async def test_a_session_is_paid_once_and_fills_the_wallet(vault: Vault) -> None:
    vault.emulator.set_callback(HOOK)
    created = await vault.call("POST", "/v1/hosted-sessions", SESSION)
    assert created.status == 201
    session = created.json()
    assert sorted(session) == ["client_secret", "expires_at", "hosted_url", "session_id"]
    assert session["hosted_url"] == f"http://sandbox.test/caselle/checkout/{session['session_id']}"
    assert session["client_secret"] not in json.dumps(vault.emulator.state)
    browser = {"Authorization": f"Bearer {session['client_secret']}"}
    assert code(await vault.call("GET", "/api/customers/cus_88420", **browser)) == (403, "insufficient_scope")
    path = f"/checkout/{session['session_id']}"
    page = (await call(vault.app, "GET", path)).body.decode()
    assert ("VISA 4242" in page, "Bank account 1156" in page) == (True, True)
    form = {"number": "5555555555554444", "exp_month": "1", "exp_year": "2040", "holder_name": "Alex"}
    assert (await call(vault.app, "POST", path, form=form | {"number": "1"})).status == 400
    paid = await call(vault.app, "POST", path, form=form)
    assert paid.status == 303
    back = urlsplit(paid.headers["location"])
    assert (back.netloc, sorted(parse_qs(back.query))) == ("shop.example", ["session_id", "signature"])
    assert (await call(vault.app, "POST", path, form=form)).status == 409
    [event] = await vault.delivered()
    wallet = (await vault.call("GET", "/api/customers/cus_88420/payment-methods")).json()
    assert event["event_type"] == "checkout_session.completed"
    assert event["data"]["saved_payment_method_uid"] == wallet[2]["saved_payment_method_uid"]
    assert wallet[2]["payment_method"]["credit"]["card_brand"] == "MASTERCARD"
    assert "5555555555554444" not in json.dumps(vault.emulator.state)


async def test_a_session_with_a_saved_method_or_off_saves_nothing(vault: Vault) -> None:
    for usage, form in (
        ("on_session", {"saved_payment_method_uid": "spm_alexach"}),
        ("off", {"number": "5555555555554444", "exp_month": "1", "exp_year": "2040"}),
    ):
        session = (await vault.call("POST", "/v1/hosted-sessions", SESSION | {"setup_future_usage": usage})).json()
        assert (await call(vault.app, "POST", f"/checkout/{session['session_id']}", form=form)).status == 303
    held = vault.emulator.held("cus_88420")
    assert held is not None
    assert len(held) == 2


async def test_a_session_expires(vault: Vault) -> None:
    session = (await vault.call("POST", "/v1/hosted-sessions", SESSION | {"expires_in_seconds": 60})).json()
    vault.clock.advance(61)
    assert (await call(vault.app, "GET", f"/checkout/{session['session_id']}")).status == 409


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"success_url": None}, (400, "validation_failed")),
        ({"cancel_url": "javascript:x"}, (400, "validation_failed")),
        ({"setup_future_usage": "always"}, (400, "validation_failed")),
        ({"customer_id": "cus_none"}, (404, "customer_not_found")),
        ({"fee": 1}, (400, "unknown_property")),
    ],
)
async def test_sessions_that_are_refused(vault: Vault, change: dict[str, Any], expected: tuple[int, str]) -> None:
    assert code(await vault.call("POST", "/v1/hosted-sessions", SESSION | change)) == expected


async def test_webhook_set_up(vault: Vault) -> None:
    secret = (await vault.call("GET", "/api/webhooks/secret")).json()["secret"]
    assert secret == vault.shown["webhook_secret"]
    assert "provider.noc" in (await vault.call("GET", "/api/webhooks/types")).json()
    body = {"subscriptions": [{"event_type": "provider.noc", "enabled": False}]}
    chosen = (await vault.call("PUT", "/api/webhooks/subscriptions", body)).json()["subscriptions"]
    assert [entry["event_type"] for entry in chosen if not entry["enabled"]] == ["provider.noc"]
    vault.emulator.set_callback(HOOK)
    assert vault.emulator.notify_of_change({"saved_payment_method_ids": ["spm_alexvisa"]})["event_id"] is None
    assert await vault.delivered() == []
    body["subscriptions"][0]["event_type"] = "no.such"
    assert code(await vault.call("PUT", "/api/webhooks/subscriptions", body)) == (400, "validation_failed")


async def test_notification_of_change_updates_methods_and_sends_an_event(vault: Vault) -> None:
    vault.emulator.set_callback(HOOK)
    ids = ["spm_alexvisa", "spm_alexach", "spm_none"]
    wish = {"saved_payment_method_ids": ids, "exp_month": 3, "exp_year": 2035, "last4": "9876", "deliveries": 2}
    outcome = vault.emulator.notify_of_change(wish)
    assert outcome["changed"] == 2
    card, bank = (await vault.call("GET", "/api/customers/cus_88420/payment-methods")).json()
    credit = card["payment_method"]["credit"]
    assert (credit["exp_month"], credit["exp_year"], credit["last4"]) == (3, 2035, "9876")
    assert bank["payment_method"]["ach"]["account_suffix"] == "9876"
    first, second = await vault.delivered()
    assert first == second
    assert (first["id"], first["data"]) == (outcome["event_id"], {"saved_payment_method_ids": ids})


@pytest.mark.parametrize("signature", ["good", "bad", "none"])
async def test_signatures(vault: Vault, signature: str) -> None:
    vault.emulator.set_callback(HOOK)
    vault.emulator.notify_of_change({"saved_payment_method_ids": ["spm_alexvisa"], "signature": signature})
    await vault.emulator.deliver_due(vault.post)
    [(url, headers, body)] = vault.sent
    assert url == HOOK
    signed = f"{headers['X-Webhook-Timestamp']}.".encode() + body
    good = "sha256=" + hmac.new(vault.shown["webhook_secret"].encode(), signed, hashlib.sha256).hexdigest()
    seen = headers.get("X-Webhook-Signature")
    assert (seen == good, seen is None) == (signature == "good", signature == "none")


async def test_refused_deliveries_are_retried_then_dropped(vault: Vault) -> None:
    vault.emulator.set_callback(HOOK)
    vault.emulator.notify_of_change({"saved_payment_method_ids": ["spm_alexvisa"]})
    vault.answers = [500, 0, 302, 404, 503, 500]
    seen = [len(await vault.delivered())]
    for minutes in (1, 5, 30, 120, 720, 10_000):
        assert await vault.delivered() == []
        vault.clock.advance(minutes * 60 + 1)
        seen.append(len(await vault.delivered()))
    assert seen == [1, 1, 1, 1, 1, 1, 0]
    assert vault.emulator.state["deliveries"] == []


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"saved_payment_method_ids": []},
        {"saved_payment_method_ids": ["a"], "exp_month": 13},
        {"saved_payment_method_ids": ["a"], "last4": "12"},
        {"saved_payment_method_ids": ["a"], "deliveries": 0},
        {"saved_payment_method_ids": ["a"], "deliveries": True},
        {"saved_payment_method_ids": ["a"], "signature": "fine"},
    ],
)
def test_a_bad_notification_is_refused(vault: Vault, wish: dict[str, Any]) -> None:
    before = json.dumps(vault.emulator.state)
    with pytest.raises(ValueError):
        vault.emulator.notify_of_change(wish)
    assert json.dumps(vault.emulator.state) == before


def test_a_callback_must_be_a_url(vault: Vault) -> None:
    with pytest.raises(ValueError, match="http"):
        vault.emulator.set_callback("file:///etc/passwd")
