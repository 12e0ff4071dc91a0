"""J.P. Morgan's words to ours and back: tables, joins, tolerance, field rules. Test cards only."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.providers.jpmorgan.mapping import (
    default_of,
    new_records,
    next_action_of,
    refs_of,
    to_bank_account,
    to_card,
    to_status,
    to_three_d_secure,
    to_wallet,
)
from app.vault.model import (
    Address,
    BankAccount,
    Card,
    Expiry,
    NextAction,
)
from app.vault.names import (
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
        wire_card(last4CardNumber="4111111111111111"),
        wire_card(last4CardNumber=919),
        wire_card(cardExpirationMonthYearNumber="13/2025"),
        wire_card(cardExpirationMonthYearNumber="2025-02"),
        wire_card(first6CardNumber="4111111"),
    ],
)
def test_one_malformed_record_is_skipped_and_counted(malformed: Any) -> None:
    wallet = to_wallet(REF, profile(cardList=[malformed, wire_card()], achList=[wire_account()]), None)
    assert (len(wallet.methods), wallet.skipped) == (2, 1)


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


@pytest.mark.parametrize("named", [None, {}, {"card": None}, {"wallet": {"paymentMethodId": "x"}}])
def test_no_default(named: Any) -> None:
    assert default_of(profile(defaultMOP=named)) is None


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


def test_no_details_means_no_attempt() -> None:
    assert to_three_d_secure({"consumerProfileId": REF}) is None
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
