"""Payments over HTTP: unexpected replies, webhooks before and after capture, operators, and differing amounts."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.gateway import KEYS, RunningGateway
from tests.support.paying import (
    capture,
    captures,
    codes,
    event_states,
    eventually,
    happens,
    methods,
    quote,
    quoted,
    shown,
    state_of,
    webhooks_on,
)
from tests.support.sandbox import RunningSandbox

CAPTURE = {"provider": "caselle", "method": "POST", "path": "/api/payments/", "times": 1}
QUOTING = {"provider": "caselle", "method": "POST", "path": "/api/payments", "times": 1}


@pytest.fixture(scope="module")
def gateway(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    sandbox_server.reset()
    secret = sandbox_server.credentials("caselle")["webhook_secret"]
    folder = tmp_path_factory.mktemp("states")
    with RunningGateway(sandbox_server.url, folder, caselle={"webhook_secret": secret}) as running:
        yield running


@pytest.fixture
def hooked(gateway: RunningGateway, sandbox: RunningSandbox) -> Iterator[None]:
    with webhooks_on(gateway, sandbox):
        yield


def resolve(gateway: RunningGateway, payment_id: str, end: str) -> None:
    command = [str(Path(sys.executable).parent / "vaultgraph"), "payments", "resolve", payment_id, end]
    environment = {**os.environ, "VAULTGRAPH_DIGEST_KEY": KEYS["digest_key"]}
    done = subprocess.run(
        [*command, "--data-dir", str(gateway.data_dir)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


# ---- one capture ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 202, "commit": True},
        {"kind": "status", "status": 204, "commit": True},
        {"kind": "status", "status": 409, "commit": True},
        {"kind": "status", "status": 503, "commit": True},
        {"kind": "rewrite", "status": 202, "body": {"status": "processing"}},
        {"kind": "rewrite", "status": 409, "body": {"code": "already_captured"}},
        {"kind": "rewrite", "status": 302, "body": ""},
        {"kind": "garbage", "commit": True},
    ],
    ids=str,
)
def test_no_reply_leads_to_a_second_capture(
    gateway: RunningGateway, sandbox: RunningSandbox, fault: dict[str, Any], hooked: None
) -> None:
    sandbox.control("POST", "/webhooks", {"provider": "caselle"})
    payment_id = quoted(gateway)
    sandbox.control("POST", "/faults", {**CAPTURE, **fault})
    key = f"capture-{uuid4()}"
    for again in (key, key, None):
        payload = capture(gateway, payment_id, again)
        assert payload["payment"]["state"] not in ("QUOTED", "CAPTURED")
    assert captures(sandbox) == 1
    with webhooks_on(gateway, sandbox):
        happens(gateway, sandbox, payment_id, "payment.completed")
    for again in (key, None):
        payload = capture(gateway, payment_id, again)
        assert (payload["payment"]["state"], payload["operation"]["state"]) == ("CAPTURED", "SUCCEEDED")
        assert payload["userErrors"] == []
    assert captures(sandbox) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"set": {"/status": "pending"}},
        {"status": 402, "body": {"code": "card_declined"}},
        {"body": "<html>"},
        {"set": {"/total_amount": 1}},
    ],
    ids=str,
)
def test_a_webhook_before_the_reply_is_not_reverted(
    gateway: RunningGateway, sandbox: RunningSandbox, answer: dict[str, Any], hooked: None
) -> None:
    payment_id = quoted(gateway)
    sandbox.control("POST", "/faults", {**CAPTURE, "times": None, "kind": "delay", "delay_ms": 1_500})
    sandbox.control("POST", "/faults", {**CAPTURE, "kind": "rewrite", **answer})
    with ThreadPoolExecutor(1) as elsewhere:
        asked = elsewhere.submit(capture, gateway, payment_id, "capture-of-a3-" + payment_id)
        eventually(lambda: state_of(gateway, payment_id) == "PROCESSING", "the capture on its way")
        happens(gateway, sandbox, payment_id, "payment.completed")
        assert state_of(gateway, payment_id) == "CAPTURED"
        payload = asked.result()
    assert (payload["payment"]["state"], payload["userErrors"]) == ("CAPTURED", [])
    assert payload["operation"]["state"] == "SUCCEEDED"
    assert state_of(gateway, payment_id) == "CAPTURED"
    assert event_states(gateway, payment_id) == ["CAPTURED"]


@pytest.mark.parametrize("by", ["webhook", "operator"])
def test_a_payment_known_to_be_captured_is_answered_without_a_call(
    gateway: RunningGateway, sandbox: RunningSandbox, by: str, hooked: None
) -> None:
    payment_id = quoted(gateway)
    if by == "webhook":
        happens(gateway, sandbox, payment_id, "payment.completed")
    else:
        resolve(gateway, payment_id, "completed")
    sandbox.clear_calls()
    key = f"capture-{uuid4()}"
    for again in (key, key, None):
        payload = capture(gateway, payment_id, again)
        assert (payload["payment"]["state"], payload["userErrors"]) == ("CAPTURED", [])
        assert payload["operation"]["state"] == "SUCCEEDED"
    assert sandbox.calls() == []


def test_a_status_with_moved_money_wins(gateway: RunningGateway, sandbox: RunningSandbox, hooked: None) -> None:
    payment_id = quoted(gateway)
    happens(gateway, sandbox, payment_id, "payment.failed")
    declined = capture(gateway, payment_id)
    assert (declined["payment"]["state"], codes(declined)) == ("DECLINED", ["DECLINED"])
    happens(gateway, sandbox, payment_id, "payment.completed")
    moved = capture(gateway, payment_id)
    assert (moved["payment"]["state"], codes(moved)) == ("CAPTURED", [])
    assert event_states(gateway, payment_id) == ["DECLINED", "CAPTURED"]
    page = gateway.on_loop(gateway.gateway.store.events.of_customer("cus_alex", first=100))
    audit = [event.detail for event in page.events if event.detail.get("payment") == payment_id]
    assert audit == [
        {"payment": payment_id, "was": "DECLINED", "reported": "CAPTURED"},
        {"payment": payment_id, "was": "QUOTED", "reported": "DECLINED"},
    ]
    assert captures(sandbox) == 0


# ---- after the capture ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event_type", "state"),
    [
        ("provider.nsf", "RETURNED"),
        ("provider.reversal", "REVERSED"),
        ("provider.chargeback", "DISPUTED"),
        ("payment.refunded", "REFUNDED"),
    ],
)
def test_a_captured_payments_later_statuses(
    gateway: RunningGateway, sandbox: RunningSandbox, event_type: str, state: str, hooked: None
) -> None:
    payment_id = quoted(gateway)
    assert capture(gateway, payment_id)["payment"]["state"] == "CAPTURED"
    happens(gateway, sandbox, payment_id, event_type, deliveries=3)
    happens(gateway, sandbox, payment_id, event_type)
    happens(gateway, sandbox, payment_id, "payment.completed")
    payload = capture(gateway, payment_id)
    assert (payload["payment"]["state"], payload["userErrors"]) == (state, [])
    refunded = {"amount": "124.44"} if state == "REFUNDED" else None
    assert payload["payment"]["refundedAmount"] == refunded
    assert event_states(gateway, payment_id) == ["CAPTURED", state]
    assert captures(sandbox) == 1


def test_a_part_is_refunded(gateway: RunningGateway, sandbox: RunningSandbox, hooked: None) -> None:
    payment_id = quoted(gateway)
    capture(gateway, payment_id)
    happens(gateway, sandbox, payment_id, "payment.refunded", amount=4_000)
    part = shown(gateway, payment_id)
    assert (part["state"], part["refundedAmount"]) == ("CAPTURED", {"amount": "40.00"})
    happens(gateway, sandbox, payment_id, "payment.refunded")
    whole = shown(gateway, payment_id)
    assert (whole["state"], whole["refundedAmount"]) == ("REFUNDED", {"amount": "124.44"})
    assert event_states(gateway, payment_id) == ["CAPTURED", "CAPTURED", "REFUNDED"]


def test_the_order_of_events_does_not_matter(gateway: RunningGateway, sandbox: RunningSandbox, hooked: None) -> None:
    for order in permutations(("payment.completed", "payment.refunded", "provider.chargeback")):
        payment_id = quoted(gateway)
        for event_type in order:
            happens(gateway, sandbox, payment_id, event_type)
        found = shown(gateway, payment_id)
        assert (found["state"], found["refundedAmount"]) == ("DISPUTED", {"amount": "124.44"}), order


def test_an_event_names_its_payment(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    payment_id = quoted(gateway)
    capture(gateway, payment_id)
    wanted = "events(first: 1) { edges { node { type paymentId } } }"
    found = gateway.data(f'{{ customer(id: "cus_alex") {{ {wanted} }} }}')["customer"]["events"]["edges"]
    assert found == [{"node": {"type": "PAYMENT_UPDATED", "paymentId": payment_id}}]


# ---- amounts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"/total_amount": 999_999}, "PROVIDER_REJECTED"),
        ({"/total_amount": 12_345}, "PROVIDER_REJECTED"),
        ({"/processing_fee_amount": 100}, "PROVIDER_REJECTED"),
        ({"/processing_fee_amount": -99, "/total_amount": 12_246}, "PROVIDER_UNAVAILABLE"),
        ({"/total_amount": "12444"}, "PROVIDER_UNAVAILABLE"),
        ({"/total_amount": 124.44}, "PROVIDER_UNAVAILABLE"),
        ({"/total_amount": None}, "PROVIDER_UNAVAILABLE"),
        ({"/base_amount": 10_000}, "PROVIDER_REJECTED"),
        ({"/tax_amount": 1}, "PROVIDER_REJECTED"),
        ({"/currency": "EUR"}, "PROVIDER_REJECTED"),
        ({"/currency": 840}, "PROVIDER_UNAVAILABLE"),
        ({"/status": "declined"}, "DECLINED"),
        ({"/status": "completed"}, "PROVIDER_UNAVAILABLE"),
    ],
    ids=str,
)
def test_an_inconsistent_quote_is_refused(
    gateway: RunningGateway, sandbox: RunningSandbox, change: dict[str, Any], code: str
) -> None:
    using = {"paymentMethodId": methods(gateway)["CARD"]}
    sandbox.control("POST", "/faults", {**QUOTING, "kind": "rewrite", "set": change})
    refused = quote(gateway, using=using)
    assert (refused["payment"], codes(refused)) == (None, [code])
    assert refused["operation"]["state"] == "FAILED"


def test_a_quote_of_another_payment_is_refused(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    """Two payments that are one at the vault would capture it twice."""
    first = gateway.on_loop(gateway.gateway.store.payments.payment(quoted(gateway)))
    using = {"paymentMethodId": methods(gateway)["CARD"]}
    sandbox.control("POST", "/faults", {**QUOTING, "kind": "rewrite", "set": {"/uid": first.payment_ref}})
    refused = quote(gateway, using=using)
    assert (refused["payment"], codes(refused)) == (None, ["PROVIDER_REJECTED"])


@pytest.mark.parametrize(
    "change",
    [{"/base_amount": 12_345, "/tax_amount": 0, "/currency": "usd"}, {"/status": "validated"}],
    ids=str,
)
def test_a_consistent_quote_may_have_more_fields(
    gateway: RunningGateway, sandbox: RunningSandbox, change: dict[str, Any]
) -> None:
    using = {"paymentMethodId": methods(gateway)["CARD"]}
    sandbox.control("POST", "/faults", {**QUOTING, "kind": "rewrite", "set": change})
    assert quote(gateway, using=using)["payment"]["state"] == "QUOTED"


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        ({"set": {"/total_amount": 999_999}}, {"total": [12_444, 999_999]}),
        ({"set": {"/total_amount": 124.44}}, {"total": [12_444, 124.44]}),
        ({"set": {"/currency": "EUR", "/base_amount": 1}}, {"base": [12_345, 1], "currency": ["USD", "EUR"]}),
        ({"set": {"/processing_fee_amount": -99}}, {"fee": [99, -99]}),
        ({"set": {"/total_amount": "12444"}}, None),
        ({"remove": ["/total_amount", "/currency", "/base_amount"]}, None),
    ],
    ids=str,
)
def test_a_capture_with_differing_amounts_is_left_to_an_operator(
    gateway: RunningGateway, sandbox: RunningSandbox, change: dict[str, Any], differences: dict[str, Any] | None
) -> None:
    payment_id = quoted(gateway)
    sandbox.control("POST", "/faults", {**CAPTURE, "kind": "rewrite", **change})
    payload = capture(gateway, payment_id)
    page = gateway.on_loop(gateway.gateway.store.events.of_customer("cus_alex", first=20))
    rows = [event.detail for event in page.events if event.detail.get("payment") == payment_id]
    if differences is None:
        assert (payload["payment"]["state"], rows) == ("CAPTURED", [])
        return
    assert (payload["payment"]["state"], codes(payload)) == ("UNKNOWN", ["OUTCOME_UNKNOWN"])
    assert [row["differences"] for row in rows] == [differences]
    assert codes(capture(gateway, payment_id)) == ["OUTCOME_UNKNOWN"]
    assert captures(sandbox) == 1


# ---- what callers see --------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"set": {"/status": "sideways"}}, {"remove": ["/status"]}], ids=str)
def test_an_unknown_capture_says_how_it_is_decided(
    gateway: RunningGateway, sandbox: RunningSandbox, change: dict[str, Any]
) -> None:
    payment_id = quoted(gateway)
    sandbox.control("POST", "/faults", {**CAPTURE, "kind": "rewrite", **change})
    key = f"capture-{uuid4()}"
    for again in (key, key, None):
        payload = capture(gateway, payment_id, again)
        assert (payload["payment"]["state"], codes(payload)) == ("UNKNOWN", ["OUTCOME_UNKNOWN"])
        message = payload["userErrors"][0]["message"]
        assert "webhook" in message
        assert "vaultgraph payments resolve" in message
        assert "looked up" not in message
    assert captures(sandbox) == 1


def test_every_payload_shows_the_payment(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    declined, unknown = quoted(gateway), quoted(gateway)
    sandbox.control("POST", "/faults", {**CAPTURE, "kind": "rewrite", "status": 402, "body": {"code": "card_declined"}})
    key = f"capture-{uuid4()}"
    for again in (key, key, None):
        payload = capture(gateway, declined, again)
        assert (payload["payment"]["state"], codes(payload)) == ("DECLINED", ["DECLINED"])
        assert payload["payment"]["declineCode"] == "card_declined"
    sandbox.control("POST", "/faults", {**CAPTURE, "kind": "drop_after"})
    for again in (f"capture-{uuid4()}", None):
        payload = capture(gateway, unknown, again)
        assert (payload["payment"]["id"], payload["payment"]["state"]) == (unknown, "UNKNOWN")
    reused = capture(gateway, unknown, key)
    assert codes(reused) == ["IDEMPOTENCY_KEY_REUSED"]
    assert reused["payment"]["id"] == unknown
    nobody = capture(gateway, "pay_01M8NN6Z72680XH7CD06C8PDP3")
    assert (nobody["payment"], codes(nobody)) == (None, ["NOT_FOUND"])
