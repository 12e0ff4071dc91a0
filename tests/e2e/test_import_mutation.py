"""importPaymentMethods over HTTP: a dry run, the real run, its rows in order, and a repeated key."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.support.gateway import RunningGateway
from tests.support.sandbox import RunningSandbox

IMPORT = """
mutation Import($input: ImportPaymentMethodsInput!) {
  importPaymentMethods(input: $input) {
    operation {
      id state replayed
      results { edges { node { row provider state outcome paymentMethod { label } error { code path } } } }
    }
    userErrors { code message path }
  }
}
"""
CARD = {"last4": "1111", "expiry": "2031-05", "brand": "VISA", "holderName": "Kim Larsen"}


@pytest.fixture(scope="module")
def gateway(sandbox_server: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    sandbox_server.reset()
    with RunningGateway(sandbox_server.url, tmp_path_factory.mktemp("import")) as running:
        yield running


def row(provider: str, ref: str, external_id: str = "user-88422", **more: Any) -> dict[str, Any]:
    return {"externalId": external_id, "provider": provider, "customerRef": ref, **more}


def imported(gateway: RunningGateway, rows: list[dict[str, Any]], **more: Any) -> Any:
    given = {"idempotencyKey": f"import-{uuid4()}", "rows": rows, **more}
    return gateway.data(IMPORT, input=given)["importPaymentMethods"]


def outcomes(payload: Any) -> list[tuple[int, str, str, str | None]]:
    nodes = [edge["node"] for edge in payload["operation"]["results"]["edges"]]
    return [(one["row"], one["state"], one["outcome"], (one["error"] or {}).get("code")) for one in nodes]


def kims_links(gateway: RunningGateway) -> list[str]:
    found = gateway.data('{ customer(id: "cus_kim") { links { provider } } }')
    return sorted(link["provider"] for link in found["customer"]["links"])


def test_a_dry_run_checks_every_row_and_changes_nothing(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    rows = [
        row("LOANPRO", "39"),
        row("LOANPRO", "999999"),
        row("JPMORGAN", "PACJGQ"),
        row("CASELLE", "cus_free01", "nobody-knows"),
        row("JPMORGAN", "FREE01", caselleProcessorToken="zift-tok-dry-000001", card=CARD),
        row("CASELLE", "cus_free01", caselleProcessorToken="zift-tok-dry-000002"),
        row("LOANPRO", "39", "x" * 256),
    ]
    payload = imported(gateway, rows)
    assert outcomes(payload) == [
        (0, "SUCCEEDED", "NOT_APPLIED", None),
        (1, "FAILED", "NOT_APPLIED", "NOT_FOUND"),
        (2, "FAILED", "NOT_APPLIED", "LINK_CONFLICT"),
        (3, "FAILED", "NOT_APPLIED", "NOT_FOUND"),
        (4, "FAILED", "NOT_APPLIED", "UNSUPPORTED_BY_PROVIDER"),
        (5, "FAILED", "NOT_APPLIED", "REQUIRED"),
        (6, "FAILED", "NOT_APPLIED", "INVALID_INPUT"),
    ]
    assert kims_links(gateway) == []
    assert {call["method"] for call in sandbox.calls()} <= {"GET"}


def test_rows_are_applied_once_despite_repeated_requests(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    token = f"zift-tok-{uuid4().hex}"
    rows = [
        row("LOANPRO", "39"),
        row("CASELLE", "cus_free01", caselleProcessorToken=token, card=CARD),
        row("LOANPRO", "37"),
    ]
    key = f"import-{uuid4()}"
    first = imported(gateway, rows, dryRun=False, idempotencyKey=key)
    assert outcomes(first) == [
        (0, "SUCCEEDED", "APPLIED", None),
        (1, "SUCCEEDED", "APPLIED", None),
        (2, "FAILED", "NOT_APPLIED", "LINK_CONFLICT"),
    ]
    assert first["operation"]["state"] == "PARTIAL"
    assert first["operation"]["results"]["edges"][1]["node"]["paymentMethod"] == {"label": "Visa ending 1111"}
    assert kims_links(gateway) == ["CASELLE", "LOANPRO"]
    again = imported(gateway, rows, dryRun=False, idempotencyKey=key)
    assert (again["operation"]["id"], again["operation"]["replayed"]) == (first["operation"]["id"], True)
    assert [one["last4"] for one in sandbox.held("caselle", "cus_free01")].count("1111") == 1
    other = imported(gateway, rows[:1], dryRun=False, idempotencyKey=key)
    assert [error["code"] for error in other["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]


LOOK = """query ($bin: Boolean = true) { customer(id: "cus_alex") { paymentMethods { provider last4 holderName
  ... on Card { bin @include(if: $bin) brand } ... on BankAccount { rail accountType } } } }"""
ACCOUNT = {"last4": "7755", "accountType": "SAVINGS", "routingNumber": "122000247", "holderName": "Alex Morales"}


def test_bank_accounts_and_cards_with_their_bin_are_imported(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    alex = ("CASELLE", "cus_88420", "user-88420")
    rows = [
        row(*alex, caselleProcessorToken=f"zift-ach-{uuid4().hex}", bankAccount=ACCOUNT),
        row(*alex, caselleProcessorToken=f"zift-bin-{uuid4().hex}", card={**CARD, "last4": "7766", "bin": "411111"}),
        row("LOANPRO", "37", "user-88420", caselleProcessorToken="zift-tok-dry-000003", bankAccount=ACCOUNT),
        row(*alex, caselleProcessorToken="zift-tok-dry-000004", bankAccount=ACCOUNT, card=CARD),
        row(*alex, caselleProcessorToken="zift-tok-dry-000005", card={**CARD, "bin": "12"}),
    ]
    key = f"import-{uuid4()}"
    done = imported(gateway, rows, dryRun=False, idempotencyKey=key)
    assert [(state, code) for _, state, _, code in outcomes(done)] == [
        ("SUCCEEDED", None),
        ("SUCCEEDED", None),
        ("FAILED", "UNSUPPORTED_BY_PROVIDER"),
        ("FAILED", "INVALID_INPUT"),
        ("FAILED", "INVALID_INPUT"),
    ]
    shown = gateway.data(LOOK)["customer"]["paymentMethods"]
    found = sorted((one for one in shown if one["last4"] in ("7755", "7766")), key=lambda one: str(one["last4"]))
    assert found == [
        {"provider": "CASELLE", "last4": "7755", "holderName": "Alex Morales", "rail": "ACH", "accountType": "SAVINGS"},
        {"provider": "CASELLE", "last4": "7766", "holderName": "Kim Larsen", "bin": "411111", "brand": "VISA"},
    ]
    imported(gateway, rows, dryRun=False, idempotencyKey=key)
    assert [one["last4"] for one in sandbox.held("caselle", "cus_88420")].count("7755") == 1


@pytest.mark.parametrize(("kind", "stored"), [("drop_after", 1), ("drop_before", 0)])
def test_after_a_lost_reply_the_result_is_looked_up_and_not_sent_twice(
    gateway: RunningGateway, sandbox: RunningSandbox, kind: str, stored: int
) -> None:
    path = "/api/saved-payment-methods/import"
    sandbox.fault("caselle", kind, method="POST", path=path, times=1)
    card = {**CARD, "last4": "2222" if stored else "3333"}
    token = f"zift-tok-{uuid4().hex}"
    rows = [row("CASELLE", "cus_88420", "user-88420", caselleProcessorToken=token, card=card)]
    key = f"import-{uuid4()}"
    sandbox.clear_calls()
    payload = imported(gateway, rows, dryRun=False, idempotencyKey=key)
    state = "SUCCEEDED" if stored else "FAILED"
    assert [one[1] for one in outcomes(payload)] == [state]
    assert len([call for call in sandbox.calls("caselle") if call["path"] == path]) == 1
    imported(gateway, rows, dryRun=False, idempotencyKey=key)
    held = [one for one in sandbox.held("caselle", "cus_88420") if one["last4"] == card["last4"]]
    assert len(held) == 1


@pytest.mark.parametrize("status", [503, 429])
def test_the_same_key_retries_only_retryable_rows(
    gateway: RunningGateway, sandbox: RunningSandbox, status: int
) -> None:
    path, last4 = "/api/saved-payment-methods/import", f"4{status}"
    cards = [
        row("CASELLE", ref, external_id, caselleProcessorToken=f"zift-tok-{uuid4().hex}", card={**CARD, "last4": last4})
        for ref, external_id in (("cus_88420", "user-88420"), ("cus_88421", "user-88421"))
    ]
    rows = [cards[0], row("LOANPRO", "999999"), cards[1], row("LOANPRO", "37")]
    key = f"import-{uuid4()}"
    sandbox.fault("caselle", "status", method="POST", path=path, status=status, times=1)
    first = imported(gateway, rows, dryRun=False, idempotencyKey=key)
    states = [state for _, state, _, _ in outcomes(first)]
    assert sorted(states) == ["FAILED", "FAILED", "FAILED", "SUCCEEDED"]
    sandbox.clear_faults()
    sandbox.clear_calls()
    again = imported(gateway, rows, dryRun=False, idempotencyKey=key)
    assert (again["operation"]["id"], again["operation"]["state"]) == (first["operation"]["id"], "PARTIAL")
    assert [(state, code) for _, state, _, code in outcomes(again)] == [
        ("SUCCEEDED", None),
        ("FAILED", "NOT_FOUND"),
        ("SUCCEEDED", None),
        ("FAILED", "LINK_CONFLICT"),
    ]
    assert len([call for call in sandbox.calls("caselle") if call["path"] == path]) == 1
    assert [call for call in sandbox.calls("loanpro") if "999999" in call["path"]] == []
    for ref in ("cus_88420", "cus_88421"):
        assert [one["last4"] for one in sandbox.held("caselle", ref)].count(last4) == 1
    sandbox.clear_calls()
    third = imported(gateway, rows, dryRun=False, idempotencyKey=key)
    assert third["operation"]["replayed"] is True
    assert sandbox.calls() == []


def test_a_card_number_in_a_row_is_refused_before_anything(gateway: RunningGateway, sandbox: RunningSandbox) -> None:
    rows = [row("CASELLE", "cus_free01", card={**CARD, "holderName": "4111 1111 1111 1111"})]
    payload = imported(gateway, rows)
    assert payload["operation"] is None
    assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [
        ("PAN_NOT_ALLOWED", ["input", "rows", "0", "card", "holderName"])
    ]
    assert sandbox.calls() == []


def test_an_imports_operation_is_visible_only_to_its_caller(gateway: RunningGateway) -> None:
    """It has no customer, so only the caller that started it can read it. A token's subject alone does not identify a
    caller.
    """
    staff, reading = gateway.token(name="ann"), ["customers:read", "payment_methods:read"]
    given = {"idempotencyKey": f"import-{uuid4()}", "rows": [row("LOANPRO", "39")], "dryRun": True}
    made = gateway.query(IMPORT, {"input": given}, headers=bearer(staff)).data["importPaymentMethods"]["operation"][
        "id"
    ]

    def seen_by(token: str) -> Any:
        asked = gateway.query("query ($id: ID!) { operation(id: $id) { id } }", {"id": made}, headers=bearer(token))
        assert asked.errors == []
        return asked.data["operation"]

    assert seen_by(staff) == {"id": made}
    assert seen_by(gateway.token(name="bob")) is None
    for name in ("ann", "staff:ann", "user:ann"):
        assert seen_by(gateway.token(reading, "cus_alex", name=name)) is None


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
