"""Mapping of Caselle's records to the unified model and back: tables, unpublished shapes, exact bodies, field rules."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from app.errors import FieldFault, RejectReason, VaultRefusedUs, VaultRejected, VaultReplyUnreadable, VaultTimeout
from app.http.message import Effect, VaultReply
from app.providers.caselle.errors import code_in, refusal
from app.providers.caselle.mapping import (
    default_in,
    has_default,
    records_in,
    refs_in,
    saved_ref_of,
    to_method,
    to_wallet,
)
from app.providers.caselle.requests import from_customer, from_new
from app.providers.caselle.validation import faults_of_method, faults_of_new_customer
from app.vault.enums import AddRoute, BankAccountType, BankRail, CardBrand, ProviderName
from app.vault.model import (
    Address,
    Authenticate,
    BankAccount,
    Card,
    Expiry,
    NewBankAccount,
    NewCard,
    NewCustomer,
    OtherMethod,
    PersonName,
)
from app.vault.secret import Secret
from tests.support.caselle_wire import ACCOUNT, ACCOUNT_REF, CARD, CARD_REF, REF, wire_account, wire_card

# ---- reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "value", "items", "payment_methods"])
def test_bare_and_wrapped_lists_read_alike(key: str | None) -> None:
    records = [wire_card(), wire_account()]
    wallet = to_wallet(REF, records_in({key: records, "count": 2} if key else records), None, "req-1")
    assert wallet.methods == (CARD, ACCOUNT)
    assert (wallet.skipped, wallet.provider_request_id) == (0, "req-1")


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        "text",
        7,
        {},
        {"error": "x"},
        {"a": []},
        {"items": [], "value": []},
        {"message": "x", "errors": []},
        {"data": [], "message": "x"},
        {"data": [], "code": "internal"},
        {"data": [], "status": 503},
        {"data": [], "success": False},
        {"value": [], "error": {"code": "x"}},
        {"fault": {"faultstring": "x"}, "items": [wire_card()]},
        {"type": "about:blank", "title": "Error", "status": 500, "errors": [{"code": "x"}]},
    ],
)
def test_what_is_no_list_is_refused(garbage: Any) -> None:
    with pytest.raises(ValueError):
        records_in(garbage)


@pytest.mark.parametrize("empty", [[], {"value": []}, {"data": [], "errors": []}, {"items": [], "message": "OK"}])
def test_empty_list_is_empty_and_not_missing(empty: Any) -> None:
    assert to_wallet(REF, records_in(empty), None, None).methods == ()


def test_a_list_of_errors_is_no_list_of_methods() -> None:
    for errors in ([{"code": "x", "message": "y"}], [{"error": "x", "status": 500}, {"error": "z"}]):
        with pytest.raises(ValueError):
            to_wallet(REF, errors, None, None)
    assert to_wallet(REF, [{"code": "x"}, wire_card()], None, None).skipped == 1


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "spm_1",
        {},
        wire_card(saved_payment_method_uid=None),
        wire_card(payment_method=None),
        wire_card(payment_method={}),
        wire_card(payment_method={"payment_method_type": 7}),
        wire_card(payment_method={"payment_method_type": "4111111111111111"}),
        wire_card(payment_method={"credit": {"last4": "1"}, "ach": {"last4": "1"}}),
    ],
)
def test_one_malformed_record_is_skipped_and_counted(malformed: Any) -> None:
    wallet = to_wallet(REF, [malformed, wire_account()], None, None)
    assert (wallet.methods, wallet.skipped) == ((ACCOUNT,), 1)


def test_tokens_and_routing_numbers_never_pass() -> None:
    records = [wire_card(credit={"fingerprint": "tok_perm_51aa"}), wire_account(ach={"fingerprint": "tok_perm_77b0"})]
    shown = repr(to_wallet(REF, records, None, None))
    assert "tok_perm" not in shown
    assert "122000247" not in shown


@pytest.mark.parametrize(
    ("fields", "last4", "account_type"),
    [
        ({}, "1156", BankAccountType.CHECKING),
        ({"account_type": "SAVINGS"}, "1156", BankAccountType.SAVINGS),
        ({"account_type": "escrow"}, "1156", BankAccountType.UNKNOWN),
        ({"account_type": None}, "1156", None),
        ({"account_suffix": None, "last4": "7788"}, "7788", BankAccountType.CHECKING),
        ({"account_suffix": "****6655"}, "6655", BankAccountType.CHECKING),
        ({"account_suffix": "56"}, None, BankAccountType.CHECKING),
    ],
)
def test_bank_accounts(fields: Any, last4: str | None, account_type: BankAccountType | None) -> None:
    method = to_method(wire_account(ach=fields), REF)
    assert isinstance(method, BankAccount)
    assert (method.last4, method.account_type) == (last4, account_type)


def test_numbers_as_text_and_seven_digit_bins_are_read() -> None:
    method = to_method(wire_card(credit={"exp_month": "01", "exp_year": "2028", "bin": "4111112"}), REF)
    assert isinstance(method, Card)
    assert (method.expiry, method.bin) == (Expiry(2028, 1), "411111")


def test_a_missing_type_is_inferred_from_the_sub_object() -> None:
    """The save reply of the source has no `payment_method_type`."""
    record = wire_card()
    del record["payment_method"]["payment_method_type"]
    record["payment_method"]["ach"] = None
    assert to_method(record, REF) == CARD
    record["payment_method"]["payment_method_type"] = "card"
    assert to_method(record, REF) == CARD


def test_new_type_is_an_other_method() -> None:
    record = wire_card(payment_method={"payment_method_type": "apple_pay"}, created_at="2026-06-11T18:30:00Z")
    assert to_method(record, REF) == OtherMethod(
        provider=ProviderName.CASELLE,
        customer_ref=REF,
        method_ref=CARD_REF,
        is_provider_default=True,
        provider_kind="apple_pay",
        created_at=datetime(2026, 6, 11, 18, 30, tzinfo=UTC),
    )


def test_default_by_record_by_customer_or_not_at_all() -> None:
    silent = wire_card()
    del silent["is_default"]
    assert to_method(silent, REF).is_provider_default is None
    assert to_method(silent, REF, CARD_REF).is_provider_default is True
    assert to_method(silent, REF, ACCOUNT_REF).is_provider_default is False
    assert to_method(wire_card(is_default=0), REF, CARD_REF).is_provider_default is False
    wrapped = {"value": [silent], "default_saved_payment_method_uid": CARD_REF}
    assert default_in(wrapped) == CARD_REF
    assert (has_default(wrapped, [silent]), has_default([silent], [silent])) == (True, False)
    assert (has_default(None, [silent, wire_account()]), has_default([], [])) == (True, True)
    unreadable = wire_card(is_default="perhaps")
    assert not has_default(None, [unreadable])
    assert to_method(unreadable, REF).is_provider_default is None
    assert to_method(unreadable, REF, CARD_REF).is_provider_default is True
    assert default_in({"uid": REF, "default_saved_payment_method_uid": None}) is None


def test_ids_include_records_that_cannot_be_read_otherwise() -> None:
    assert refs_in([wire_card(payment_method=None), wire_account(), None, {}]) == {CARD_REF, ACCOUNT_REF}


def test_saved_uid_is_demanded() -> None:
    assert saved_ref_of({"saved_payment_method_uid": "spm_1", "payment_method": {}}) == "spm_1"
    for wire in ({}, [], None, {"saved_payment_method_uid": 7}):
        with pytest.raises(ValueError):
            saved_ref_of(wire)


# ---- writing ----------------------------------------------------------------------------------------------


def new_card(**fields: Any) -> NewCard:
    given: dict[str, Any] = {
        "provider": ProviderName.CASELLE,
        "route": AddRoute.PROVIDER_TOKEN,
        "secret": Secret("prx_9f2c"),
        "brand": CardBrand.VISA,
        "expiry": Expiry(2027, 12),
        "last4": "4242",
        "bin": "411111",
        "holder_name": "Alex Morales",
    }
    return NewCard(**given | fields)


def new_account(**fields: Any) -> NewBankAccount:
    given: dict[str, Any] = {
        "provider": ProviderName.CASELLE,
        "route": AddRoute.PROVIDER_TOKEN,
        "secret": Secret("prx_77b0"),
        "last4": "1156",
        "routing_number": "122000247",
        "account_type": BankAccountType.SAVINGS,
        "holder_name": "Alex Morales",
    }
    return NewBankAccount(**given | fields)


def test_save_bodies_are_exact() -> None:
    """Unknown properties are rejected, so nothing more may be sent than the source shows."""
    assert from_new(new_card()) == {
        "payment_method": {
            "payment_method_type": "credit",
            "credit": {
                "fingerprint": "prx_9f2c",
                "last4": "4242",
                "exp_month": 12,
                "exp_year": 2027,
                "bin": "411111",
                "card_brand": "VISA",
                "holder_name": "Alex Morales",
            },
        }
    }
    assert from_new(new_account(holder_name=None, first_name="Alex", last_name="Morales")) == {
        "payment_method": {
            "payment_method_type": "ach",
            "ach": {
                "fingerprint": "prx_77b0",
                "routing_number": "122000247",
                "account_suffix": "1156",
                "account_type": "savings",
                "holder_name": "Alex Morales",
            },
        }
    }


@pytest.mark.parametrize("brand", [None, CardBrand.OTHER, CardBrand.UNKNOWN])
def test_a_brand_without_a_word_is_left_out(brand: CardBrand | None) -> None:
    credit = from_new(new_card(brand=brand, bin=None))["payment_method"]["credit"]
    assert set(credit) == {"fingerprint", "last4", "exp_month", "exp_year", "holder_name"}


def test_customer_body() -> None:
    new = NewCustomer(external_id="user-88420", name=PersonName("Alex", "Morales"), email="alex@example.com", phone="1")
    assert from_customer(new) == {"reference_id": "user-88420", "name": "Alex Morales", "email": "alex@example.com"}
    assert from_customer(NewCustomer(external_id="u", name=PersonName("", ""))) == {"reference_id": "u"}


def paths(faults: list[FieldFault]) -> list[tuple[tuple[str, ...], str]]:
    return [(fault.path, fault.code) for fault in faults]


def test_what_the_vault_takes_has_no_fault() -> None:
    assert faults_of_method(new_card()) == []
    assert faults_of_method(new_card(brand=None, bin=None)) == []
    assert faults_of_method(new_account()) == []


@pytest.mark.parametrize(
    ("new", "path", "code"),
    [
        (new_card(secret=Secret("")), ("secret",), "REQUIRED"),
        (new_card(last4=None), ("last4",), "REQUIRED"),
        (new_card(last4="42x2"), ("last4",), "INVALID_INPUT"),
        (new_card(expiry=None), ("expiry",), "REQUIRED"),
        (new_card(bin="41111"), ("bin",), "INVALID_INPUT"),
        (new_card(holder_name=" "), ("holder_name",), "REQUIRED"),
        (new_card(title="Mine"), ("title",), "UNSUPPORTED_BY_PROVIDER"),
        (new_card(is_secondary=True), ("is_secondary",), "UNSUPPORTED_BY_PROVIDER"),
        (new_card(billing_address=Address(line1="x")), ("billing_address",), "UNSUPPORTED_BY_PROVIDER"),
        (new_card(authenticate=Authenticate(return_url="https://x")), ("authenticate",), "UNSUPPORTED_BY_PROVIDER"),
        (new_account(routing_number=None), ("routing_number",), "REQUIRED"),
        (new_account(routing_number="12200024"), ("routing_number",), "INVALID_INPUT"),
        (new_account(account_type=None), ("account_type",), "REQUIRED"),
        (new_account(account_type=BankAccountType.CORPORATE_CHECKING), ("account_type",), "INVALID_INPUT"),
        (new_account(rail=BankRail.SEPA), ("rail",), "UNSUPPORTED_BY_PROVIDER"),
    ],
)
def test_each_rule_names_its_field(new: Any, path: tuple[str, ...], code: str) -> None:
    assert paths(faults_of_method(new)) == [(path, code)]


def test_rules_of_customers() -> None:
    name = PersonName("A", "B")
    assert faults_of_new_customer(NewCustomer(external_id="it's mine", name=name)) == []
    assert paths(faults_of_new_customer(NewCustomer(external_id=" ", name=name, email="nobody"))) == [
        (("external_id",), "REQUIRED"),
        (("email",), "INVALID_INPUT"),
    ]
    assert paths(faults_of_new_customer(NewCustomer(external_id="x" * 256, name=name))) == [
        (("external_id",), "INVALID_INPUT")
    ]


# ---- refusals ---------------------------------------------------------------------------------------------


def reply(status: int, body: Any = None) -> VaultReply:
    return VaultReply(status, {}, b"" if body is None else orjson.dumps(body))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"type": "about:blank", "title": "Conflict", "status": 409, "code": "customer_exists"}, "customer_exists"),
        ({"error": "invalid_scope"}, "invalid_scope"),
        ({"error": {"code": "token_expired", "message": "m"}}, "token_expired"),
        ({"error": "Something went wrong with 4111111111111111"}, None),
        ({"error": {"message": "m"}}, None),
        ({"message": "m"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_codes_in_every_shape(body: Any, code: str | None) -> None:
    assert code_in(body) == code


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"message": "m"}, RejectReason.INVALID_INPUT),
        (400, {"code": "unknown_property"}, RejectReason.CONTRACT),
        (402, None, RejectReason.DECLINED),
        (404, None, RejectReason.METHOD_NOT_FOUND),
        (404, {"code": "customer_not_found"}, RejectReason.CUSTOMER_NOT_FOUND),
        (405, None, RejectReason.CONTRACT),
        (409, None, RejectReason.CONFLICT),
        (422, {"code": "token_expired"}, RejectReason.TOKEN_INVALID),
        (422, {"error": {"code": "token_invalid"}}, RejectReason.TOKEN_INVALID),
        (422, {"code": "ach_not_enabled"}, RejectReason.NOT_ENABLED),
        (422, {"code": "card_declined"}, RejectReason.DECLINED),
        (422, {"code": "amount_too_small"}, RejectReason.INVALID_INPUT),
    ],
)
def test_refused_writes_have_our_reason(status: int, body: Any, reason: RejectReason) -> None:
    error = refusal(reply(status, body), Effect.WRITE, RejectReason.METHOD_NOT_FOUND)
    assert isinstance(error, VaultRejected)
    assert error.reason is reason


@pytest.mark.parametrize(
    ("status", "body", "effect", "kind"),
    [
        (403, {"code": "insufficient_scope"}, Effect.READ, VaultRefusedUs),
        (403, None, Effect.WRITE, VaultRefusedUs),
        (404, {"code": "payment_account_not_found"}, Effect.READ, VaultRefusedUs),
        (400, None, Effect.READ, VaultReplyUnreadable),
        (408, None, Effect.READ, VaultTimeout),
    ],
)
def test_refusals_of_another_kind(status: int, body: Any, effect: Effect, kind: type[Exception]) -> None:
    assert type(refusal(reply(status, body), effect, RejectReason.CUSTOMER_NOT_FOUND)) is kind


@pytest.mark.parametrize(
    "errors",
    [
        {"payment_method.credit.exp_month": ["bad"], "$.payment_method.credit.exp_year": ["bad"], "x": []},
        [{"field": "payment_method.credit.exp_month", "message": "4111111111111111"}, {"path": "y"}, "z"],
    ],
)
def test_fields_of_every_error_shape(errors: Any) -> None:
    error = refusal(reply(400, {"errors": errors}), Effect.WRITE, RejectReason.CUSTOMER_NOT_FOUND)
    assert isinstance(error, VaultRejected)
    assert paths(list(error.faults)) == [(("expiry",), "INVALID_INPUT")]
    assert "4111111111111111" not in str(error.faults)
