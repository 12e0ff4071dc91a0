"""Backup methods over HTTP: one payment, the next method only after a final decline, every attempt visible."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.gateway import RunningGateway
from tests.support.paying import FIELDS, capture, captures, codes, event_states, happens, methods, quote, webhooks_on
from tests.support.sandbox import RunningSandbox

ATTEMPTS = "attempts { state declineCode provider total { amount } paymentMethod { id } at }"
CAPTURE = f"""mutation Capture($input: CapturePaymentInput!) {{
  capturePayment(input: $input) {{ {FIELDS} warnings {{ code }} payment {{ {ATTEMPTS} paymentMethod {{ id }} }} }}
}}"""
DECLINE = {"status": 402, "body": {"code": "payment_declined"}}


@pytest.fixture(scope="module")
def gateway(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    sandbox_server.reset()
    secret = sandbox_server.credentials("caselle")["webhook_secret"]
    folder = tmp_path_factory.mktemp("fallback")
    with RunningGateway(sandbox_server.url, folder, caselle={"webhook_secret": secret}) as running:
        yield running


def pay(gateway: RunningGateway, payment_id: str, *fallback: str, key: str | None = None, **more: Any) -> Any:
    given = {"paymentId": payment_id, "idempotencyKey": key or f"capture-{uuid4()}", "fallback": fallback, **more}
    return gateway.data(CAPTURE, input=given)["capturePayment"]


def declines(sandbox: RunningSandbox, times: int = 1) -> None:
    sandbox.fault("caselle", "rewrite", method="POST", path="/api/payments/", times=times, **DECLINE)


def attempts(payload: Any) -> list[tuple[str, str, str]]:
    return [
        (one["state"], one["total"]["amount"], one["paymentMethod"]["id"]) for one in payload["payment"]["attempts"]
    ]


@pytest.fixture
def held(gateway: RunningGateway, sandbox: RunningSandbox) -> dict[str, str]:
    found = methods(gateway)
    sandbox.clear_calls()
    return found


def test_a_backup_method_pays_after_a_decline(
    gateway: RunningGateway, sandbox: RunningSandbox, held: dict[str, str]
) -> None:
    payment = quote(gateway, using={"paymentMethodId": held["CARD"]}, reference=f"inv-{uuid4()}")["payment"]
    declines(sandbox)
    key = f"capture-{uuid4()}"
    paid = pay(gateway, payment["id"], held["BANK_ACCOUNT"], key=key)
    assert paid["warnings"] == []
    assert (paid["userErrors"], paid["payment"]["state"], paid["payment"]["id"]) == ([], "CAPTURED", payment["id"])
    assert attempts(paid) == [("DECLINED", "124.44", held["CARD"]), ("CAPTURED", "123.95", held["BANK_ACCOUNT"])]
    assert (paid["payment"]["total"]["amount"], paid["payment"]["processingFee"]["amount"]) == ("123.95", "0.50")
    assert paid["payment"]["paymentMethod"]["id"] == held["BANK_ACCOUNT"]
    assert event_states(gateway, payment["id"]) == ["PROCESSING", "CAPTURED"]
    (row,) = gateway.on_loop(gateway.gateway.store.journal.results(paid["operation"]["id"])).rows
    stored = gateway.on_loop(gateway.gateway.store.payments.payment(payment["id"]))
    assert (row.state.value, row.method_ref) == ("SUCCEEDED", stored.method.method_ref)
    export = 'mutation { exportCustomer(input: {customerId: "cus_alex"}) { export { document } } }'
    exported = gateway.data(export)["exportCustomer"]["export"]["document"]["payments"]
    tried = next(one["attempts"] for one in exported if one["id"] == payment["id"])
    assert [(one["state"], one["paymentMethodId"]) for one in tried] == [(one[0], one[2]) for one in attempts(paid)]
    again = pay(gateway, payment["id"], held["BANK_ACCOUNT"], key=key)
    assert (again["operation"], again["payment"]) == ({**paid["operation"], "replayed": True}, paid["payment"])
    assert capture(gateway, payment["id"])["payment"]["state"] == "CAPTURED"
    assert codes(pay(gateway, payment["id"], key=key)) == ["IDEMPOTENCY_KEY_REUSED"]
    assert captures(sandbox) == 2


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ({"kind": "drop_after"}, "UNKNOWN"),
        ({"kind": "rewrite", "status": 500}, "UNKNOWN"),
        ({"kind": "rewrite", "status": 202, "set": {"/status": "pending"}}, "PROCESSING"),
        ({"kind": "rewrite", "set": {"/status": "authorized"}}, "AUTHORIZED"),
        ({"kind": "rewrite", "set": {"/total_amount": 1}}, "UNKNOWN"),
    ],
)
def test_no_other_method_is_tried_unless_it_was_declined(
    gateway: RunningGateway, sandbox: RunningSandbox, held: dict[str, str], fault: dict[str, Any], state: str
) -> None:
    payment = quote(gateway, using={"paymentMethodId": held["CARD"]})["payment"]
    sandbox.fault("caselle", method="POST", path="/api/payments/", times=1, **fault)
    paid = pay(gateway, payment["id"], held["BANK_ACCOUNT"])
    assert attempts(paid) == [(state, "124.44", held["CARD"])]
    again = pay(gateway, payment["id"], held["BANK_ACCOUNT"])
    assert (paid["payment"]["state"], again["payment"]) == (state, paid["payment"])
    assert captures(sandbox) == 1


def test_a_backup_method_that_costs_more_needs_permission(
    gateway: RunningGateway, sandbox: RunningSandbox, held: dict[str, str]
) -> None:
    def declined_bank(**more: Any) -> Any:
        payment = quote(gateway, using={"paymentMethodId": held["BANK_ACCOUNT"]})["payment"]
        assert payment["total"]["amount"] == "123.95"
        declines(sandbox)
        return pay(gateway, payment["id"], held["CARD"], **more)

    kept = declined_bank()
    assert (codes(kept), kept["payment"]["state"]) == (["DECLINED"], "DECLINED")
    assert attempts(kept) == [("DECLINED", "123.95", held["BANK_ACCOUNT"]), ("CANCELED", "124.44", held["CARD"])]
    assert kept["payment"]["paymentMethod"]["id"] == held["BANK_ACCOUNT"]
    assert captures(sandbox) == 1
    allowed = declined_bank(maxTotal={"amount": "124.44", "currency": "USD"})
    assert (codes(allowed), allowed["payment"]["total"]["amount"]) == ([], "124.44")
    assert attempts(allowed)[-1] == ("CAPTURED", "124.44", held["CARD"])


def test_every_method_declines(gateway: RunningGateway, sandbox: RunningSandbox, held: dict[str, str]) -> None:
    payment = quote(gateway, using={"paymentMethodId": held["CARD"]})["payment"]
    declines(sandbox, 2)
    paid = pay(gateway, payment["id"], held["BANK_ACCOUNT"])
    assert (codes(paid), [one[0] for one in attempts(paid)]) == (["DECLINED"], ["DECLINED", "DECLINED"])
    assert paid["operation"]["state"] == "FAILED"
    assert codes(capture(gateway, payment["id"])) == ["DECLINED"]
    assert captures(sandbox) == 2


def test_a_quote_that_cannot_be_read_ends_the_payment(
    gateway: RunningGateway, sandbox: RunningSandbox, held: dict[str, str]
) -> None:
    payment = quote(gateway, using={"paymentMethodId": held["CARD"]})["payment"]
    declines(sandbox)
    sandbox.fault("caselle", "rewrite", method="POST", path="/api/payments", body="<html>", times=1)
    paid = pay(gateway, payment["id"], held["BANK_ACCOUNT"])
    assert (codes(paid), [one["code"] for one in paid["warnings"]]) == (["DECLINED"], ["PROVIDER_UNAVAILABLE"])
    assert attempts(paid) == [("DECLINED", "124.44", held["CARD"])]
    assert captures(sandbox) == 1


def test_webhooks_of_a_declined_attempt_do_not_end_the_payment(
    gateway: RunningGateway, sandbox: RunningSandbox, held: dict[str, str]
) -> None:
    payment = quote(gateway, using={"paymentMethodId": held["CARD"]}, reference=f"inv-{uuid4()}")["payment"]
    declines(sandbox)
    paid = pay(gateway, payment["id"], held["BANK_ACCOUNT"])
    first = gateway.on_loop(gateway.gateway.store.payments.attempts(payment["id"]))[0].payment_ref
    with webhooks_on(gateway, sandbox):
        for word in ("payment.failed", "payment.completed"):
            happens(gateway, sandbox, payment["id"], word, payment_uid=first)
            assert pay(gateway, payment["id"])["payment"]["state"] == "CAPTURED"
    assert attempts(paid)[0][0] == "DECLINED"


@pytest.mark.parametrize(
    ("fallback", "more", "code", "path"),
    [
        (["OTHERS"], {}, "NOT_FOUND", ["input", "fallback", "0"]),
        (["BANK_ACCOUNT", "LOANPRO"], {}, "UNSUPPORTED_BY_PROVIDER", ["input", "fallback", "1"]),
        (["CARD"], {}, "INVALID_INPUT", ["input", "fallback", "0"]),
        (["BANK_ACCOUNT"] * 2, {}, "INVALID_INPUT", ["input", "fallback", "1"]),
        (["BANK_ACCOUNT"] * 6, {}, "INVALID_INPUT", ["input", "fallback"]),
        ([], {"amount": "200", "currency": "USD"}, "INVALID_INPUT", ["input", "maxTotal"]),
        (["BANK_ACCOUNT"], {"amount": "200", "currency": "EUR"}, "INVALID_INPUT", ["input", "maxTotal", "currency"]),
    ],
)
def test_a_backup_method_that_cannot_pay_is_refused_before_any_capture(
    gateway: RunningGateway,
    sandbox: RunningSandbox,
    held: dict[str, str],
    fallback: list[str],
    more: dict[str, str],
    code: str,
    path: list[str],
) -> None:
    known = {
        **held,
        "OTHERS": methods(gateway, "cus_sam")["CARD"],
        "LOANPRO": methods(gateway, provider="LOANPRO")["CARD"],
    }
    payment = quote(gateway, using={"paymentMethodId": held["CARD"]})["payment"]
    sandbox.clear_calls()
    limit: Any = {"maxTotal": more} if more else {}
    refused = pay(gateway, payment["id"], *(known[one] for one in fallback), **limit)
    assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)]
    assert (refused["payment"]["state"], refused["payment"]["attempts"]) == ("QUOTED", [])
    assert [call for call in sandbox.calls() if call["method"] == "POST"] == []
