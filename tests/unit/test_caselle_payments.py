"""Mapping of Caselle's payments, sessions and imports: exact bodies, strict amounts, unknown outcomes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import RejectReason, VaultRejected
from app.providers.caselle.capture import faults_of_session, from_session, to_session, to_tokenization
from app.providers.caselle.client import CaselleVault
from app.providers.caselle.imports import faults_of_import, from_import, to_results
from app.providers.caselle.payments import declined, faults_of_payment, from_payment, from_quote, to_captured, to_quote
from app.vault.enums import CardBrand, CustomerRef, MethodRef, NextActionKind, PaymentMethodKind
from app.vault.model import Expiry
from app.vault.payments import (
    Amounts,
    HostingVault,
    ImportedCard,
    ImportingVault,
    ImportState,
    NewPayment,
    NewSession,
    PayingVault,
    PaymentRef,
    PaymentState,
    Quote,
    TokenizingVault,
)
from app.vault.secret import Secret

PAYMENT = NewPayment(
    method_ref=MethodRef("spm_01HZ"),
    method_kind=PaymentMethodKind.CARD,
    amount=12345,
    currency="USD",
    reference="inv-2026-0611",
)
QUOTE = Quote(payment_ref=PaymentRef("pay_5c1"), payment=PAYMENT, fee=99, total=12444)
SESSION = NewSession(
    customer_ref=CustomerRef("cus_88420"),
    amount=14227,
    currency="USD",
    return_url="https://shop.example/receipt?session_id={CHECKOUT_SESSION_ID}",
    cancel_url="https://shop.example/billing",
)
ROW = ImportedCard(
    customer_ref=CustomerRef("cus_88420"),
    secret=Secret("zift-tok-1"),
    last4="1111",
    expiry=Expiry(2028, 1),
    brand=CardBrand.VISA,
    holder_name="Alex Morales",
)


def test_the_adapter_offers_all_four() -> None:
    for offered in (PayingVault, HostingVault, TokenizingVault, ImportingVault):
        assert offered in CaselleVault.__mro__


# ---- payments ---------------------------------------------------------------------------------------------


def test_quote_and_capture_bodies_are_those_of_the_source() -> None:
    quoted = {
        "base_amount": 12345,
        "tax_amount": 0,
        "currency": "USD",
        "reference_id": "inv-2026-0611",
        "payment_method": {
            "payment_method_type": "wallet_credit",
            "wallet": {"saved_payment_method_uid": "spm_01HZ"},
        },
    }
    assert from_payment(PAYMENT) == quoted
    assert from_quote(QUOTE) == {**quoted, "processing_fee_amount": 99, "total_amount": 12444}
    by_account = replace(PAYMENT, method_kind=PaymentMethodKind.BANK_ACCOUNT, tax=5)
    assert from_payment(by_account)["payment_method"]["payment_method_type"] == "wallet_ach"
    assert from_payment(by_account)["tax_amount"] == 5


def test_a_quote_keeps_the_vaults_own_sums() -> None:
    wire = {"uid": "pay_5c1", "processing_fee_amount": 99, "total_amount": 12444, "payment_method": {}}
    assert to_quote(PAYMENT, wire) == QUOTE


@pytest.mark.parametrize(
    "changed", [{"uid": None}, {"total_amount": 124.44}, {"total_amount": "12444"}, {"processing_fee_amount": True}]
)
def test_sums_that_are_no_minor_units_are_refused(changed: dict[str, Any]) -> None:
    wire = {"uid": "pay_5c1", "processing_fee_amount": 99, "total_amount": 12444} | changed
    with pytest.raises(ValueError):
        to_quote(PAYMENT, wire)


@pytest.mark.parametrize("status", ["Validated", "quoted", None])
def test_a_quote_may_say_that_it_is_one(status: str | None) -> None:
    wire = {"uid": "pay_5c1", "status": status, "processing_fee_amount": 99, "total_amount": 12444}
    assert to_quote(PAYMENT, wire) == QUOTE


def test_a_quote_that_was_declined_is_a_refusal() -> None:
    wire = {"uid": "pay_5c1", "status": "DECLINED", "processing_fee_amount": 99, "total_amount": 12444}
    with pytest.raises(VaultRejected) as caught:
        to_quote(PAYMENT, wire)
    assert (caught.value.reason, caught.value.provider_code) == (RejectReason.DECLINED, "declined")


@pytest.mark.parametrize("status", ["completed", "voided", "", 7])
def test_a_quote_with_a_status_of_something_else_is_none(status: object) -> None:
    wire = {"uid": "pay_5c1", "status": status, "processing_fee_amount": 99, "total_amount": 12444}
    with pytest.raises((ValueError, AttributeError)):
        to_quote(PAYMENT, wire)


@pytest.mark.parametrize(
    ("wire", "answered"),
    [
        ({}, Amounts()),
        (
            {"base_amount": 12345, "tax_amount": "0", "processing_fee_amount": 99.0, "total_amount": 124.44},
            Amounts(base=12345, tax=0, fee=99, total=124.44),
        ),
        ({"total_amount": None, "currency": "usd"}, Amounts(currency="USD")),
    ],
)
def test_the_amounts_that_an_answer_names(wire: dict[str, Any], answered: Amounts) -> None:
    assert to_captured(QUOTE, {"status": "completed", **wire}).answered == answered


@pytest.mark.parametrize(
    "wire",
    [{"total_amount": "much"}, {"total_amount": True}, {"total_amount": "nan"}, {"currency": 840}, {"tax_amount": []}],
)
def test_amounts_that_are_none_cannot_be_read(wire: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        to_captured(QUOTE, {"status": "completed", **wire})


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("completed", PaymentState.CAPTURED),
        ("Captured", PaymentState.CAPTURED),
        ("authorized", PaymentState.AUTHORIZED),
        ("pending", PaymentState.PROCESSING),
        ("failed", PaymentState.DECLINED),
    ],
)
def test_states_of_a_capture(status: str, state: PaymentState) -> None:
    assert to_captured(QUOTE, {"uid": "pay_5c1", "status": status}).state is state
    assert to_captured(QUOTE, {"status": status}).payment_ref == "pay_5c1"


@pytest.mark.parametrize("wire", [{"uid": "pay_other", "status": "completed"}, {}, {"status": "new"}, None, []])
def test_what_does_not_say_how_a_capture_ended(wire: Any) -> None:
    with pytest.raises((ValueError, KeyError, AttributeError)):
        to_captured(QUOTE, wire)


def test_a_decline_names_its_code() -> None:
    found = declined(QUOTE, "payment_declined")
    assert (found.state, found.decline_code) == (PaymentState.DECLINED, "payment_declined")
    assert declined(QUOTE, None).decline_code is None


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"tax": -1}, "tax"),
        ({"currency": "usd"}, "currency"),
        ({"method_kind": PaymentMethodKind.OTHER}, "method_kind"),
        ({"reference": "x" * 256}, "reference"),
    ],
)
def test_rules_of_payments(changed: dict[str, Any], path: str) -> None:
    assert faults_of_payment(PAYMENT) == []
    assert [fault.path for fault in faults_of_payment(replace(PAYMENT, **changed))] == [(path,)]


# ---- sessions ---------------------------------------------------------------------------------------------


def test_session_bodies() -> None:
    plain = {
        "amount": 14227,
        "currency": "USD",
        "customer_id": "cus_88420",
        "success_url": SESSION.return_url,
        "cancel_url": SESSION.cancel_url,
        "setup_future_usage": "off",
    }
    assert from_session(SESSION) == plain
    saving = replace(SESSION, save=True, embedded=True)
    assert from_session(saving) == {**plain, "setup_future_usage": "on_session", "layout": "embedded"}


def test_a_session_is_where_to_go_and_a_browser_credential() -> None:
    wire = {
        "session_id": "cs_3oNk",
        "client_secret": "cs_3oNk_secret_x",
        "expires_at": "2026-06-11T18:30:00Z",
        "hosted_url": "https://checkout.example/cs_3oNk",
    }
    found = to_session(SESSION, wire)
    assert found.session_ref == "cs_3oNk"
    assert (found.next_action.kind, found.next_action.url) == (NextActionKind.REDIRECT, wire["hosted_url"])
    assert found.next_action.client_token == Secret("cs_3oNk_secret_x")
    assert found.next_action.expires_at == datetime(2026, 6, 11, 18, 30, tzinfo=UTC)
    assert "secret_x" not in repr(found)
    assert to_session(replace(SESSION, embedded=True), wire).next_action.kind is NextActionKind.EMBED
    for wrong in ({**wire, "hosted_url": "javascript:x"}, {**wire, "hosted_url": None}):
        with pytest.raises(ValueError):
            to_session(SESSION, wrong)


def test_rules_of_sessions() -> None:
    assert faults_of_session(SESSION) == []
    wrong = replace(SESSION, amount=None, return_url="shop.example", cancel_url="ftp://x")
    assert [fault.path for fault in faults_of_session(wrong)] == [("amount",), ("return_url",), ("cancel_url",)]
    assert [fault.path for fault in faults_of_session(replace(SESSION, currency="?"))] == [("currency",)]


def test_client_configuration_is_passed_on_and_never_shown() -> None:
    wire = {"processor": "zift", "config": {"temporary_password": "hidden-word"}, "supported_methods": ["credit"]}
    found = to_tokenization(wire)
    assert found.client_config == wire
    assert "hidden-word" not in repr(found)
    for wrong in (None, [], {}, {"processor": "zift"}, {"config": {}}):
        with pytest.raises(ValueError):
            to_tokenization(wrong)


# ---- import -----------------------------------------------------------------------------------------------


def test_import_body() -> None:
    assert from_import([ROW, replace(ROW, brand=CardBrand.OTHER)])["items"] == [
        {
            "customer_uid": "cus_88420",
            "processor_token": "zift-tok-1",
            "payment_method": {
                "payment_method_type": "credit",
                "credit": {
                    "last4": "1111",
                    "exp_month": 1,
                    "exp_year": 2028,
                    "holder_name": "Alex Morales",
                    **brand,
                },
            },
        }
        for brand in ({"card_brand": "VISA"}, {})
    ]


def test_outcomes_stand_by_their_index_and_silence_is_unknown() -> None:
    wire = {
        "results": [
            {"index": 2, "status": "failed", "error": {"code": "customer_not_found", "detail": "x"}},
            {"index": 0, "status": "imported", "saved_payment_method_uid": "spm_09AA"},
            {"index": 3, "status": "failed", "error": {"code": "payment_method_type_disabled"}},
            {"index": 4, "status": "failed"},
            {"index": 5, "status": "queued"},
        ]
    }
    found = to_results(6, wire)
    assert [(one.state, one.method_ref, one.reason) for one in found] == [
        (ImportState.IMPORTED, "spm_09AA", None),
        (ImportState.UNKNOWN, None, None),
        (ImportState.REJECTED, None, RejectReason.CUSTOMER_NOT_FOUND),
        (ImportState.REJECTED, None, RejectReason.NOT_ENABLED),
        (ImportState.REJECTED, None, RejectReason.INVALID_INPUT),
        (ImportState.UNKNOWN, None, None),
    ]


@pytest.mark.parametrize("index", [-1, 1, "0", True, None])
def test_an_outcome_of_no_row_is_refused(index: Any) -> None:
    with pytest.raises(ValueError):
        to_results(1, {"results": [{"index": index, "status": "imported", "saved_payment_method_uid": "spm_1"}]})


def test_rules_of_import() -> None:
    assert faults_of_import(ROW) == []
    wrong = replace(ROW, secret=Secret(""), last4="11", holder_name=" ")
    assert [fault.path for fault in faults_of_import(wrong)] == [("secret",), ("last4",), ("holder_name",)]
