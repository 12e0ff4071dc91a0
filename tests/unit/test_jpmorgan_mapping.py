"""Mapping of J.P. Morgan's records to the unified model and back: tables, joins, field rules. Test cards only."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from app.providers.jpmorgan.mapping import (
    default_of,
    new_records,
    refs_of,
    to_bank_account,
    to_card,
    to_status,
    to_wallet,
)
from app.providers.jpmorgan.three_d_secure import next_action_of, to_three_d_secure
from app.vault.enums import (
    AuthStatus,
    BankAccountType,
    BankRail,
    BankVerification,
    CardBrand,
    CardTokenType,
    MethodRef,
    NextActionKind,
    PaymentMethodStatus,
    ProviderName,
    WalletKind,
)
from app.vault.model import Address, BankAccount, Card, Expiry, NextAction, OtherMethod
from tests.support.jpmorgan_wire import ADDRESS, FIRST, REF, SECOND, profile, wire_account, wire_card


def test_profile_becomes_wallet_with_default_and_address_joined() -> None:
    first = wire_card(
        paymentMethodId=FIRST,
        cardType="MC",
        last4CardNumber="9999",
        addressIdentifier="gone",
        first6CardNumber="555555",
    )
    wallet = to_wallet(
        REF,
        profile(cardList=[first, wire_card()], achList=[wire_account()], defaultMOP={"card": wire_card()}),
        "sent-by-us",
    )
    assert wallet.skipped == 0
    assert wallet.provider_request_id == "sent-by-us"
    assert wallet.methods == (
        Card(
            provider=ProviderName.JPMORGAN,
            customer_ref=REF,
            method_ref=FIRST,
            holder_name="John Doe",
            last4="9999",
            address_ref="gone",
            is_provider_default=False,
            brand=CardBrand.MASTERCARD,
            expiry=Expiry(2025, 2),
            bin="555555",
        ),
        Card(
            provider=ProviderName.JPMORGAN,
            customer_ref=REF,
            method_ref=SECOND,
            holder_name="John Doe",
            last4="0919",
            billing_address=Address(
                line1="400 Elton Farm",
                line2="Apt 123",
                city="Glen Mills",
                region="PA",
                postal_code="19342",
                country="US",
            ),
            address_ref=ADDRESS["addressIdentifier"],
            is_provider_default=True,
            brand=CardBrand.DISCOVER,
            expiry=Expiry(2025, 2),
        ),
        BankAccount(
            provider=ProviderName.JPMORGAN,
            customer_ref=REF,
            method_ref=MethodRef("a1b2"),
            holder_name="John Q Doe",
            last4="1156",
            is_provider_default=False,
            rail=BankRail.ACH,
            account_type=BankAccountType.SAVINGS,
        ),
    )


def test_profile_without_methods_is_empty_and_its_request_id_is_kept() -> None:
    wallet = to_wallet(REF, {"consumerProfileId": REF, "requestId": "r-1"}, "sent")
    assert (wallet.methods, wallet.skipped, wallet.provider_request_id) == ((), 0, "r-1")


@pytest.mark.parametrize("garbage", [None, [], "text", {}, {"consumerProfileId": ""}, {"responseStatus": "ERROR"}])
def test_what_is_no_profile_is_refused(garbage: Any) -> None:
    with pytest.raises(ValueError):
        to_wallet(REF, garbage, None)


def test_a_list_that_is_no_list_is_refused() -> None:
    with pytest.raises(ValueError):
        to_wallet(REF, profile(cardList={"paymentMethodId": "x"}), None)


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "card",
        wire_card(paymentMethodId=None),
        wire_card(paymentMethodId=7),
    ],
)
def test_one_malformed_record_is_skipped_and_counted(malformed: Any) -> None:
    wallet = to_wallet(REF, profile(cardList=[malformed, wire_card()], achList=[wire_account()]), None)
    assert (len(wallet.methods), wallet.skipped) == (2, 1)


@pytest.mark.parametrize(
    ("field", "given", "shown"),
    [
        ("last4CardNumber", 919, {"last4": "0919"}),
        ("last4CardNumber", "", {"last4": None}),
        ("first6CardNumber", "", {"bin": None}),
        ("first6CardNumber", "4111111", {"bin": "411111"}),
        ("cardExpirationMonthYearNumber", "2/2030", {"expiry": Expiry(2030, 2)}),
        ("cardExpirationMonthYearNumber", "02/30", {"expiry": Expiry(2030, 2)}),
        ("cardExpirationMonthYearNumber", "2030-02", {"expiry": Expiry(2030, 2)}),
        ("cardExpirationMonthYearNumber", "13/2O27", {"expiry": None, "has_unreadable_expiry": True}),
        ("cardExpirationMonthYearNumber", "N/A", {"expiry": None, "has_unreadable_expiry": True}),
        ("cardExpirationMonthYearNumber", None, {"expiry": None}),
        ("accountNumberType", ["PAN"], {}),
        ("walletProvider", {}, {}),
        ("cardType", 7, {"brand": CardBrand.UNKNOWN}),
        ("firstName", 7, {"holder_name": "Doe"}),
        ("addressIdentifier", [], {"billing_address": None, "address_ref": None}),
    ],
)
def test_one_value_costs_itself(field: str, given: Any, shown: dict[str, Any]) -> None:
    as_documented = to_wallet(REF, profile(cardList=[wire_card()]), None).methods[0]
    wallet = to_wallet(REF, profile(cardList=[wire_card(**{field: given})]), None)
    assert (wallet.methods, wallet.skipped) == ((replace(as_documented, **shown),), 0)


@pytest.mark.parametrize(
    ("given", "own", "status", "detail"),
    [
        ("ACTIVE", "ACTIVE", PaymentMethodStatus.ACTIVE, None),
        (None, "ACTIVE", PaymentMethodStatus.ACTIVE, None),
        ("INACTIVE", "ACTIVE", PaymentMethodStatus.INACTIVE, "PROFILE_INACTIVE"),
        ("inactive", "PENDING", PaymentMethodStatus.INACTIVE, "PROFILE_INACTIVE"),
        ("DELETED", "ACTIVE", PaymentMethodStatus.INACTIVE, "PROFILE_INACTIVE"),
        ("PENDING", "ACTIVE", PaymentMethodStatus.PENDING, "PROFILE_PENDING"),
        ("PENDING", "SUSPENDED", PaymentMethodStatus.SUSPENDED, None),
        ("ERRORED", "ACTIVE", PaymentMethodStatus.UNKNOWN, "PROFILE_UNKNOWN"),
        ("ON_HOLD", "ACTIVE", PaymentMethodStatus.UNKNOWN, "PROFILE_UNKNOWN"),
        ("", "ACTIVE", PaymentMethodStatus.UNKNOWN, "PROFILE_UNKNOWN"),
        ({}, "INACTIVE", PaymentMethodStatus.INACTIVE, None),
    ],
)
def test_a_profile_that_is_not_active_has_no_active_methods(
    given: Any, own: str, status: PaymentMethodStatus, detail: str | None
) -> None:
    held = profile(cardList=[wire_card(accountStatus=own)], achList=[wire_account(accountStatus=own)])
    wallet = to_wallet(REF, held | {"profileStatus": given}, None)
    assert [(one.status, one.status_detail) for one in wallet.methods] == [(status, detail)] * 2


def test_a_kind_that_is_new_is_shown_and_is_no_card() -> None:
    held = profile(pazeList=[{"paymentMethodId": "p-1", "accountStatus": "ACTIVE", "firstName": "Ann"}, {}])
    wallet = to_wallet(REF, held, None)
    assert wallet.skipped == 1
    assert wallet.methods == (
        OtherMethod(
            provider=ProviderName.JPMORGAN,
            customer_ref=REF,
            method_ref=MethodRef("p-1"),
            holder_name="Ann",
            is_provider_default=False,
            provider_kind="paze",
        ),
    )


def test_numbers_in_a_record_never_pass() -> None:
    card = wire_card(accountNumber="4111111111111111")
    account = wire_account(
        accountNumber="0888271156", internationalBankAccountNumber="DE89370400440532013000", bankSortCode="200000"
    )
    shown = repr(to_wallet(REF, profile(cardList=[card], sepaList=[account]), None))
    assert "4111111111111111" not in shown
    assert "0888271156" not in shown
    assert "DE89370400440532013000" not in shown


@pytest.mark.parametrize(
    ("code", "brand"),
    [
        ("VI", CardBrand.VISA),
        ("MC", CardBrand.MASTERCARD),
        ("AX", CardBrand.AMEX),
        ("DI", CardBrand.DISCOVER),
        ("JC", CardBrand.JCB),
        ("DC", CardBrand.DINERS),
        ("IM", CardBrand.OTHER),
        ("CB", CardBrand.OTHER),
        ("ZZ", CardBrand.OTHER),
        (None, CardBrand.UNKNOWN),
    ],
)
def test_brands(code: Any, brand: CardBrand) -> None:
    assert to_card(wire_card(cardType=code), REF).brand is brand


@pytest.mark.parametrize(
    ("word", "status", "detail"),
    [
        ("ACTIVE", PaymentMethodStatus.ACTIVE, None),
        ("INACTIVE", PaymentMethodStatus.INACTIVE, None),
        ("PENDING", PaymentMethodStatus.PENDING, None),
        ("SUSPENDED", PaymentMethodStatus.SUSPENDED, None),
        ("VERIFICATION_FAILED", PaymentMethodStatus.VERIFICATION_FAILED, None),
        ("ERRORED", PaymentMethodStatus.UNKNOWN, "ERRORED"),
        ("ON_HOLD", PaymentMethodStatus.UNKNOWN, "ON_HOLD"),
        ("4111 1111", PaymentMethodStatus.UNKNOWN, None),
        (None, PaymentMethodStatus.UNKNOWN, None),
    ],
)
def test_statuses(word: Any, status: PaymentMethodStatus, detail: str | None) -> None:
    assert to_status(word) == (status, detail)


@pytest.mark.parametrize(
    ("fields", "verification"),
    [
        ({}, BankVerification.UNKNOWN),
        ({"accountStatus": "PENDING"}, BankVerification.PENDING),
        ({"accountStatus": "VERIFICATION_FAILED"}, BankVerification.FAILED),
        ({"verificationResult": {"messages": {"responseStatus": "SUCCESS"}}}, BankVerification.VERIFIED),
        ({"verificationResult": {"messages": {"responseStatus": "ERROR"}}}, BankVerification.FAILED),
        (
            {"verificationResult": {"messages": {"responseStatus": "SUCCESS", "responseCode": "DECLINED"}}},
            BankVerification.FAILED,
        ),
        (
            {"verificationResult": {"messages": {"responseStatus": "SUCCESS", "responseCode": "PENDING"}}},
            BankVerification.UNKNOWN,
        ),
        ({"verificationResult": {"transactionId": "t"}}, BankVerification.UNKNOWN),
    ],
)
def test_bank_verification(fields: Any, verification: BankVerification) -> None:
    assert to_bank_account(wire_account(**fields), BankRail.ACH, REF).verification is verification


@pytest.mark.parametrize(
    ("word", "account_type"),
    [
        ("CHECKING", BankAccountType.CHECKING),
        ("SAVING", BankAccountType.SAVINGS),
        ("CORPORATE_CHECKING", BankAccountType.CORPORATE_CHECKING),
        ("OTHER_SORT", BankAccountType.UNKNOWN),
        (None, None),
    ],
)
def test_account_types(word: Any, account_type: BankAccountType | None) -> None:
    assert to_bank_account(wire_account(accountType=word), BankRail.ACH, REF).account_type is account_type


def test_rails_come_from_the_lists() -> None:
    wallet = to_wallet(
        REF,
        profile(
            achList=[wire_account()],
            sepaList=[wire_account(paymentMethodId="s")],
            bacsList=[wire_account(paymentMethodId="b")],
        ),
        None,
    )
    assert [method.rail for method in wallet.methods if isinstance(method, BankAccount)] == [
        BankRail.ACH,
        BankRail.SEPA,
        BankRail.BACS,
    ]


def test_token_types_and_wallets() -> None:
    card = to_card(wire_card(accountNumberType="NETWORK_TOKEN", walletProvider="APPLE_PAY"), REF)
    assert (card.token_type, card.wallet) == (CardTokenType.NETWORK_TOKEN, WalletKind.APPLE_PAY)
    card = to_card(wire_card(accountNumberType="DEVICE_TOKEN", walletProvider="NEW_PAY"), REF)
    assert (card.token_type, card.wallet) == (CardTokenType.DEVICE_TOKEN, WalletKind.OTHER)
    card = to_card(wire_card(accountNumberType="PAN"), REF)
    assert (card.token_type, card.wallet) == (CardTokenType.PROVIDER_TOKEN, None)


@pytest.mark.parametrize("kind", ["card", "ach", "sepa", "bacs"])
def test_default_of_any_kind(kind: str) -> None:
    assert default_of(profile(defaultMOP={kind: {"paymentMethodId": FIRST}})) == FIRST


@pytest.mark.parametrize("named", [None, {}, {"card": None}])
def test_no_default(named: Any) -> None:
    held = profile(defaultMOP=named, cardList=[wire_card()])
    assert default_of(held) is None
    assert to_wallet(REF, held, None).methods[0].is_provider_default is False


@pytest.mark.parametrize(
    "named",
    [
        "x",
        [],
        7,
        {"card": {}},
        {"card": "x"},
        {"card": {"paymentMethodId": 7}},
        {"card": {"paymentMethodId": "x"}, "ach": {"paymentMethodId": "y"}},
        {"card": {"paymentMethodId": "x"}, "ach": {}},
    ],
)
def test_a_default_that_cannot_be_read_is_not_known(named: Any) -> None:
    held = profile(defaultMOP=named, cardList=[wire_card()])
    assert default_of(held) is None
    assert to_wallet(REF, held, None).methods[0].is_provider_default is None


def test_ids_include_records_that_cannot_be_read_otherwise() -> None:
    """Else an old unreadable record would look like the new one after an add."""
    held = profile(cardList=[wire_card(last4CardNumber="bad")], achList=[wire_account(), None, {}])
    assert refs_of(held) == {SECOND, MethodRef("a1b2")}
    assert new_records(held, frozenset({MethodRef("a1b2")})) == [("cardList", wire_card(last4CardNumber="bad"))]


def test_country_that_is_no_country_is_left_out() -> None:
    held = profile(cardList=[wire_card()])
    held["addresses"] = [ADDRESS | {"countryCode": "ZZZ"}]
    address = to_wallet(REF, held, None).methods[0].billing_address
    assert address is not None
    assert (address.line1, address.country) == ("400 Elton Farm", None)


# ---- 3-D Secure -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "status", "raw"),
    [
        ("SUCCESS", AuthStatus.AUTHENTICATED, "SUCCESS"),
        ("DENIED", AuthStatus.FAILED, "DENIED"),
        ("ERROR", AuthStatus.UNAVAILABLE, "ERROR"),
        ("MAYBE", AuthStatus.UNKNOWN, "MAYBE"),
        (None, AuthStatus.UNKNOWN, None),
        (["SUCCESS"], AuthStatus.UNKNOWN, None),
    ],
)
def test_three_d_secure_words(word: Any, status: AuthStatus, raw: str | None) -> None:
    wire: Any = {
        "consumerProfileId": REF,
        "cardAuthenticationDetails": {
            "responseStatus": word,
            "transactionDate": "2025-08-14T10:43:52.100Z",
            "authenticationId": "3aeebeed",
        },
    }
    found = to_three_d_secure(wire)
    assert found is not None
    assert (found.status, found.raw_status, found.authentication_id) == (status, raw, "3aeebeed")
    assert found.authenticated_at == datetime(2025, 8, 14, 10, 43, 52, 100_000, UTC)


@pytest.mark.parametrize(
    ("details", "status"),
    [
        ({"responseCode": "ACCEPTED", "responseMessage": "Request Accepted"}, AuthStatus.AUTHENTICATED),
        ({"responseCode": "APPROVED", "hostMessage": "Success"}, AuthStatus.AUTHENTICATED),
        ({"responseCode": "", "hostMessage": " "}, AuthStatus.AUTHENTICATED),
        ({"threeDSTransactionStatus": "Y"}, AuthStatus.AUTHENTICATED),
        ({"responseCode": "DECLINED"}, AuthStatus.FAILED),
        ({"responseCode": "declined"}, AuthStatus.FAILED),
        ({"responseCode": "AUTHENTICATION_DENIED"}, AuthStatus.FAILED),
        ({"responseCode": "ACCEPTED", "hostMessage": "Declined by issuer"}, AuthStatus.FAILED),
        ({"responseCode": "ACCEPTED", "responseMessage": "Not approved"}, AuthStatus.FAILED),
        ({"responseCode": "ACCEPTED", "hostMessage": "Do not honor"}, AuthStatus.FAILED),
        ({"responseCode": "NOT_AUTHENTICATED"}, AuthStatus.FAILED),
        ({"responseCode": "UNSUCCESSFUL"}, AuthStatus.FAILED),
        ({"threeDSTransactionStatus": "N"}, AuthStatus.FAILED),
        ({"responseCode": "PENDING"}, AuthStatus.UNKNOWN),
        ({"responseCode": "HOST_ERROR"}, AuthStatus.UNKNOWN),
        ({"responseCode": "NEW_CODE"}, AuthStatus.UNKNOWN),
        ({"responseCode": 5}, AuthStatus.UNKNOWN),
        ({"hostMessage": {"text": "Success"}}, AuthStatus.UNKNOWN),
        ({"threeDSTransactionStatus": "C"}, AuthStatus.UNKNOWN),
        ({"responseStatus": "success"}, AuthStatus.AUTHENTICATED),
        ({"responseStatus": "DENIED", "responseCode": "ACCEPTED"}, AuthStatus.FAILED),
        ({"responseStatus": "ERROR", "responseCode": "ACCEPTED"}, AuthStatus.UNAVAILABLE),
    ],
)
def test_a_success_that_is_contradicted_is_none(details: dict[str, Any], status: AuthStatus) -> None:
    wire: Any = {"consumerProfileId": REF, "cardAuthenticationDetails": {"responseStatus": "SUCCESS"} | details}
    found = to_three_d_secure(wire)
    assert found is not None
    assert found.status is status
    refused = to_three_d_secure(wire | {"responseMessage": "Request Declined"})
    assert refused is not None
    assert refused.status is not AuthStatus.AUTHENTICATED


def test_no_details_means_no_attempt() -> None:
    assert to_three_d_secure({"consumerProfileId": REF}) is None
    assert to_three_d_secure({"consumerProfileId": REF, "cardAuthenticationDetails": None}) is None
    for shapeless in ([], "", 0, False, "SUCCESS", [{"responseStatus": "SUCCESS"}]):
        wire: Any = {"consumerProfileId": REF, "cardAuthenticationDetails": shapeless}
        with pytest.raises(ValueError):
            to_three_d_secure(wire)
    failed: Any = {"consumerProfileId": REF, "responseStatus": "ERROR", "responseCode": "X"}
    with pytest.raises(ValueError):
        to_three_d_secure(failed)
    with pytest.raises(ValueError):
        to_three_d_secure({})


def test_pending_card_says_where_to_go() -> None:
    result = {"authenticationId": "auth-1", "authenticationOrchestrationUrl": "https://3ds.example/go"}
    card = to_card(wire_card(accountStatus="PENDING", authenticationResult=result), REF)
    action = NextAction(kind=NextActionKind.REDIRECT, url="https://3ds.example/go")
    assert card.three_d_secure is not None
    assert (card.three_d_secure.status, card.three_d_secure.next_action) == (AuthStatus.CHALLENGE_REQUIRED, action)
    assert to_card(wire_card(authenticationResult=result), REF).three_d_secure is None
    assert next_action_of(wire_card(authenticationResult={"authenticationOrchestrationUrl": "javascript:x"})) is None
