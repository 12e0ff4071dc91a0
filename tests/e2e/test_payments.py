"""Quote and capture over HTTP: exact amounts, one capture for any idempotency keys, and unknown outcomes."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.support import command
from tests.support.gateway import KEYS, RunningGateway
from tests.support.paying import capture, captures, methods, quote, state_of
from tests.support.sandbox import RunningSandbox
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def gateway(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    sandbox_server.reset()
    secret = sandbox_server.credentials("caselle")["webhook_secret"]
    folder = tmp_path_factory.mktemp("payments")
    with RunningGateway(sandbox_server.url, folder, caselle={"webhook_secret": secret}) as running:
        yield running


@pytest.mark.parametrize(("kind", "fee"), [("CARD", "0.99"), ("BANK_ACCOUNT", "0.50")])
def test_a_quote_is_captured_once(gateway: RunningGateway, sandbox: RunningSandbox, kind: str, fee: str) -> None:
    quoted = quote(gateway, using={"paymentMethodId": methods(gateway)[kind]})
    assert quoted["userErrors"] == []
    payment = quoted["payment"]
    assert (payment["state"], payment["amount"]) == ("QUOTED", {"amount": "123.45", "currency": "USD"})
    assert payment["processingFee"]["amount"] == fee
    key = f"capture-{uuid4()}"
    first = capture(gateway, payment["id"], key)
    assert (first["payment"]["state"], first["userErrors"]) == ("CAPTURED", [])
    again, other = capture(gateway, payment["id"], key), capture(gateway, payment["id"])
    assert [one["operation"] for one in (again, other)] == [{**first["operation"], "replayed": True}] * 2
    assert captures(sandbox) == 1


def test_one_body_works_in_both_phases_and_needs_no_reference(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    """Page "Customers & wallets": the same body in validate and capture, with an empty reference."""
    sandbox.switch("caselle", "CAPTURE_AMOUNTS", "optional")
    credentials = sandbox.credentials("caselle")
    base, headers = urlsplit(credentials["base_url"]).path, credentials["headers"]
    uid = next(one["ref"] for one in sandbox.held("caselle", "cus_88420") if one["kind"] == "card")
    wallet = {"payment_method_type": "wallet_credit", "wallet": {"saved_payment_method_uid": uid}}
    body = {"base_amount": 12345, "currency": "USD", "reference_id": "", "payment_method": wallet}
    quoted = sandbox.request("POST", f"{base}/api/payments", body, headers).json()
    captured = sandbox.request("POST", f"{base}/api/payments/{quoted['uid']}/capture", body, headers)
    assert (captured.status, captured.json()["total_amount"]) == (200, quoted["total_amount"])
    wrong = sandbox.request("POST", f"{base}/api/payments", body, headers).json()["uid"]
    refused = sandbox.request("POST", f"{base}/api/payments/{wrong}/capture", body | {"total_amount": 1}, headers)
    assert (refused.status, refused.json()["code"]) == (409, "payment_mismatch")

    for allowed in ("optional", "required"):
        sandbox.switch("caselle", "CAPTURE_AMOUNTS", allowed)
        payment = quote(gateway, using={"paymentMethodId": methods(gateway)["CARD"]}, reference=None)["payment"]
        assert payment["reference"] == ""
        assert capture(gateway, payment["id"])["payment"]["state"] == "CAPTURED"


def test_a_lost_reply_is_unknown_for_every_key_and_never_retried(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    payment = quote(gateway, using={"paymentMethodId": methods(gateway)["CARD"]})["payment"]
    sandbox.fault("caselle", "drop_after", method="POST", path="/api/payments/", times=1)
    first = capture(gateway, payment["id"])
    assert [error["code"] for error in first["userErrors"]] == ["OUTCOME_UNKNOWN"]
    assert first["operation"]["state"] == "UNKNOWN"
    other = capture(gateway, payment["id"])
    assert other["operation"]["id"] == first["operation"]["id"]
    assert [error["code"] for error in other["userErrors"]] == ["OUTCOME_UNKNOWN"]
    assert captures(sandbox) == 1


def test_an_unsent_capture_moved_nothing_and_the_same_key_retries(
    gateway: RunningGateway, sandbox: RunningSandbox
) -> None:
    using = {"paymentMethodId": methods(gateway)["CARD"]}
    payment = quote(gateway, using=using)["payment"]
    sandbox.fault("caselle", "throttle", method="GET", times=1, retry_after_s=1)
    quote(gateway, using=using)  # its read gets the vault's Retry-After
    key = f"capture-{uuid4()}"
    first = capture(gateway, payment["id"], key)
    assert [(error["code"], error["retryable"]) for error in first["userErrors"]] == [("PROVIDER_THROTTLED", True)]
    assert captures(sandbox) == 0
    second = first
    while [error["code"] for error in second["userErrors"]] == ["PROVIDER_THROTTLED"]:
        second = capture(gateway, payment["id"], key)
    assert second["payment"]["state"] == "CAPTURED"
    assert second["operation"]["id"] == first["operation"]["id"]
    assert captures(sandbox) == 1


@pytest.mark.parametrize("status", [202, 204, 302, 400, 404, 409, 429, 500])
def test_an_undocumented_reply_does_not_cause_a_second_capture(
    gateway: RunningGateway, sandbox: RunningSandbox, status: int
) -> None:
    payment = quote(gateway, using={"paymentMethodId": methods(gateway)["CARD"]})["payment"]
    sandbox.fault("caselle", "status", method="POST", path="/api/payments/", status=status, commit=True, times=1)
    first = capture(gateway, payment["id"])
    assert [error["code"] for error in first["userErrors"]] == ["OUTCOME_UNKNOWN"]
    assert [error["code"] for error in capture(gateway, payment["id"])["userErrors"]] == ["OUTCOME_UNKNOWN"]
    assert captures(sandbox) == 1


@pytest.mark.parametrize(
    ("status", "word", "state"),
    [
        (200, "succeeded", "CAPTURED"),
        (200, "Approved", "CAPTURED"),
        (201, "paid", "CAPTURED"),
        (202, "processing", "PROCESSING"),
        (202, "pending", "PROCESSING"),
        (200, "declined", "DECLINED"),
    ],
)
def test_capture_statuses(gateway: RunningGateway, sandbox: RunningSandbox, status: int, word: str, state: str) -> None:
    payment = quote(gateway, using={"paymentMethodId": methods(gateway)["CARD"]})["payment"]
    change = {"status": status, "set": {"/status": word}}
    sandbox.fault("caselle", "rewrite", method="POST", path="/api/payments/", times=1, **change)
    assert capture(gateway, payment["id"])["payment"]["state"] == state
    assert captures(sandbox) == 1


def test_a_declined_card_is_a_final_result(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = sandbox.token(
        "caselle", "card", number="4000000000000002", exp_month=5, exp_year=2031, holder_name="Alex Morales"
    )
    add = "mutation A($input: AddPaymentMethodInput!) { addPaymentMethod(input: $input) { paymentMethod { id } } }"
    card = {
        "fingerprint": token["token"],
        "last4": "0002",
        "expiry": "2031-05",
        "bin": "400000",
        "brand": "VISA",
        "holderName": "Alex Morales",
    }
    given = {"customerId": "cus_alex", "idempotencyKey": f"add-{uuid4()}", "method": {"caselleToken": {"card": card}}}
    added = gateway.data(add, input=given)["addPaymentMethod"]
    payment = quote(gateway, using={"paymentMethodId": added["paymentMethod"]["id"]})["payment"]
    declined = capture(gateway, payment["id"])
    assert [error["code"] for error in declined["userErrors"]] == ["DECLINED"]
    assert declined["payment"]["state"] == "DECLINED"
    before = captures(sandbox)
    assert [error["code"] for error in capture(gateway, payment["id"])["userErrors"]] == ["DECLINED"]
    assert captures(sandbox) == before


def test_the_default_pays_only_when_it_is_known_and_fresh(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    answer = "setDefaultPaymentMethod(input: $input) { userErrors { code } }"
    choose = f"mutation D($input: SetDefaultPaymentMethodInput!) {{ {answer} }}"
    chosen = {"customerId": "cus_sam", "paymentMethodId": methods(gateway, "cus_sam")["CARD"]}
    assert gateway.data(choose, input=chosen)["setDefaultPaymentMethod"]["userErrors"] == []
    paid = quote(gateway, customerId="cus_sam", using={"defaultOfCustomer": True})
    assert (paid["userErrors"], paid["payment"]["state"]) == ([], "QUOTED")
    sandbox.fault("caselle", "status", status=503)
    sandbox.clear_calls()
    unknown = quote(gateway, customerId="cus_sam", using={"defaultOfCustomer": True})
    assert [error["code"] for error in unknown["userErrors"]] == ["DEFAULT_UNKNOWN"]
    assert {call["method"] for call in sandbox.calls("caselle")} == {"GET"}


@pytest.mark.parametrize(
    ("more", "code", "path"),
    [
        ({"using": {"defaultOfCustomer": False}}, "INVALID_INPUT", ["input", "using", "defaultOfCustomer"]),
        ({"amount": {"amount": "1.234", "currency": "USD"}}, "INVALID_INPUT", ["input", "amount", "amount"]),
        ({"amount": {"amount": "1.5", "currency": "JPY"}}, "INVALID_INPUT", ["input", "amount", "amount"]),
        ({"amount": {"amount": "0", "currency": "USD"}}, "INVALID_INPUT", ["input", "amount", "amount"]),
        ({"amount": {"amount": "1", "currency": "ZZZ"}}, "INVALID_INPUT", ["input", "amount", "currency"]),
        ({"customerId": "cus_sam"}, "NOT_FOUND", ["input", "using", "paymentMethodId"]),
        ({"using": {"paymentMethodId": "pm_nonsense"}}, "NOT_FOUND", ["input", "using", "paymentMethodId"]),
    ],
)
def test_invalid_payments_are_refused_before_any_call(
    gateway: RunningGateway, sandbox: RunningSandbox, more: dict[str, Any], code: str, path: list[str]
) -> None:
    using = {"paymentMethodId": methods(gateway)["CARD"]}
    sandbox.clear_calls()
    refused = quote(gateway, **{"using": using, **more})
    assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)]
    assert sandbox.calls() == []


def test_another_vaults_method_cannot_pay(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    card = methods(gateway, provider="LOANPRO")["CARD"]
    sandbox.clear_calls()
    refused = quote(gateway, using={"paymentMethodId": card})
    assert [error["code"] for error in refused["userErrors"]] == ["UNSUPPORTED_BY_PROVIDER"]
    assert sandbox.calls() == []


def decided(gateway: RunningGateway, payment_id: str, wanted: str) -> Any:
    """The result for another key, once the waiting capture has completed."""

    def look() -> Any:
        payload = capture(gateway, payment_id)
        return payload if payload["operation"] and payload["operation"]["state"] == wanted else None

    return eventually(look, wanted)


def lost(gateway: RunningGateway, sandbox: RunningSandbox) -> str:
    """A payment whose capture was sent and not answered."""
    payment = quote(gateway, using={"paymentMethodId": methods(gateway)["CARD"]})["payment"]
    sandbox.fault("caselle", "drop_after", method="POST", path="/api/payments/", times=1)
    assert capture(gateway, payment["id"])["operation"]["state"] == "UNKNOWN"
    assert state_of(gateway, payment["id"]) == "UNKNOWN"
    return str(payment["id"])


def test_the_vaults_notification_decides_a_lost_capture(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    sandbox.control("POST", "/webhooks", {"provider": "caselle", "url": f"{gateway.url}/webhooks/caselle/pa_7Qm2"})
    payment_id = lost(gateway, sandbox)
    payload = decided(gateway, payment_id, "SUCCEEDED")
    assert (payload["payment"]["state"], payload["userErrors"]) == ("CAPTURED", [])
    assert captures(sandbox) == 1
    page = gateway.on_loop(gateway.gateway.store.events.of_customer("cus_alex", first=100))
    about = [one for one in page.events if one.detail.get("payment_id") == payment_id]
    assert [one.detail["state"] for one in about] == ["CAPTURED"]
    sandbox.control("POST", "/webhooks", {"provider": "caselle"})


def vaultgraph(gateway: RunningGateway, *words: str) -> subprocess.CompletedProcess[str]:
    key = {"VAULTGRAPH_DIGEST_KEY": KEYS["digest_key"]}
    return command.vaultgraph("payments", *words, "--data-dir", gateway.data_dir, **key)


@pytest.mark.parametrize(("end", "state"), [("completed", "CAPTURED"), ("failed", "DECLINED")])
def test_a_person_decides_a_lost_capture(
    gateway: RunningGateway, sandbox: RunningSandbox, end: str, state: str
) -> None:
    payment_id = lost(gateway, sandbox)
    listed = [line.split("\t") for line in vaultgraph(gateway, "list").stdout.splitlines()]
    payment = gateway.on_loop(gateway.gateway.store.payments.payment(payment_id))
    assert listed[-1] == [payment_id, "UNKNOWN", "caselle", payment.payment_ref, "124.44", "USD", "inv-2026-0611"]
    shown = json.loads(vaultgraph(gateway, "list", "--json").stdout)[-1]
    assert (shown["id"], shown["total"], shown["reference"]) == (payment_id, "124.44", "inv-2026-0611")
    done = vaultgraph(gateway, "resolve", payment_id, end)
    assert done.returncode == 0, done.stderr
    assert state_of(gateway, payment_id) == state
    assert "already final" in vaultgraph(gateway, "resolve", payment_id, end).stderr
    assert captures(sandbox) == 1
