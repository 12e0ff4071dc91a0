"""J.P. Morgan's words to ours and back: tables, joins, tolerance, field rules. Test cards only."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import FieldFault, OutcomeUnknown, RejectReason, VaultRejected, VaultReplyUnreadable, VaultTimeout
from app.http.message import Effect, VaultReply
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
from app.providers.jpmorgan.replies import refusal
from app.providers.jpmorgan.rules import faults_of_method, faults_of_new_profile, is_iban, is_routing_number
from app.providers.jpmorgan.writing import from_change, from_customer, from_new
from app.vault.model import (
    Address,
    Authenticate,
    BankAccount,
    Card,
    Expiry,
    MethodChange,
    NewBankAccount,
    NewCard,
    NewCustomer,
    NextAction,
    PersonName,
)
from app.vault.names import (
    AddRoute,
    AuthStatus,
    BankAccountType,
    BankRail,
    BankVerification,
    CardBrand,
    CardTokenType,
    ChallengePreference,
    CustomerRef,
    MethodRef,
    NextActionKind,
    PaymentMethodStatus,
    ProviderName,
    WalletKind,
)
from app.vault.secret import Secret

REF = CustomerRef("PACJGQ")
FIRST = MethodRef("77ccba29-4857-494a-82bc-2a80e1fa2b9d")
SECOND = MethodRef("63aaba29-4857-494a-82bc-2a80e1fa2b1e")
ADDRESS = {
    "addressIdentifier": "f99a1ecd-b177-4c3d-a99b-c72e132b260g",
    "addressType": "SHIPPING",
    "primaryAddressIndicator": True,
    "line1": "400 Elton Farm",
    "line2": "Apt 123",
    "city": "Glen Mills",
    "state": "PA",
    "postalCode": "19342",
    "countryCode": "USA",
    "addressStatus": "ACTIVE",
}


def wire_card(**fields: Any) -> Any:
    return {
        "paymentMethodId": SECOND,
        "cardExpirationMonthYearNumber": "02/2025",
        "last4CardNumber": "0919",
        "accountStatus": "ACTIVE",
        "cardType": "DI",
        "firstName": "John",
        "lastName": "Doe",
        "addressIdentifier": ADDRESS["addressIdentifier"],
    } | fields


def wire_account(**fields: Any) -> Any:
    return {
        "paymentMethodId": "a1b2",
        "last4AccountNumber": "1156",
        "accountStatus": "ACTIVE",
        "accountType": "SAVING",
        "firstName": "John",
        "middleName": "Q",
        "lastName": "Doe",
    } | fields


def profile(**methods: Any) -> Any:
    return {"consumerProfileId": REF, "paymentMethodType": methods, "addresses": [ADDRESS]}


# ---- reading ----------------------------------------------------------------------------------------------


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


# ---- writing ----------------------------------------------------------------------------------------------

HOME = Address(line1="300 Elton Street", city="Glen Mills", region="PA", postal_code="19342", country="US")
WIRE_HOME = {
    "addressType": "BILLING",
    "line1": "300 Elton Street",
    "city": "Glen Mills",
    "state": "PA",
    "postalCode": "19342",
    "countryCode": "USA",
    "addressStatus": "ACTIVE",
}


def new_card(**fields: Any) -> NewCard:
    given: dict[str, Any] = {
        "provider": ProviderName.JPMORGAN,
        "route": AddRoute.RAW_CARD,
        "secret": Secret("4234555678990919"),
        "brand": CardBrand.DISCOVER,
        "expiry": Expiry(2027, 2),
        "first_name": "John",
        "last_name": "Doe",
    }
    return NewCard(**given | fields)


def new_account(rail: BankRail, **fields: Any) -> NewBankAccount:
    own: dict[BankRail, dict[str, Any]] = {
        BankRail.ACH: {
            "secret": Secret("0888271156"),
            "routing_number": "122000247",
            "account_type": BankAccountType.SAVINGS,
        },
        BankRail.SEPA: {
            "secret": Secret("DE89 3704 0044 0532 0130 00"),
            "bic": "cobadeffxxx",
            "mandate_id": "MND-1",
            "mandate_signed_on": "2025-06-30",
        },
        BankRail.BACS: {
            "secret": Secret("31926819"),
            "sort_code": "60-16-13",
            "mandate_id": "MND-2",
            "mandate_signed_on": "2025-06-30",
        },
        BankRail.OTHER: {"secret": Secret("1")},
    }
    given = {"provider": ProviderName.JPMORGAN, "route": AddRoute.BANK_ACCOUNT, "rail": rail}
    return NewBankAccount(**given | own[rail] | fields)


def test_card_body_as_in_the_source() -> None:
    assert from_new(new_card(billing_address=HOME)) == {
        "cardList": [
            {
                "accountNumber": "4234555678990919",
                "accountNumberType": "PAN",
                "cardExpirationMonthYearNumber": "02/2027",
                "cardType": "DI",
                "accountStatus": "ACTIVE",
                "firstName": "John",
                "lastName": "Doe",
                "consumerProfileAddress": WIRE_HOME,
            }
        ]
    }


def test_network_and_device_tokens_name_their_type_and_ask_for_authentication() -> None:
    asked = Authenticate(return_url="https://shop.example/back", challenge=ChallengePreference.CHALLENGE_MANDATE)
    body = from_new(new_card(route=AddRoute.NETWORK_TOKEN, authenticate=asked))["cardList"][0]
    assert body["accountNumberType"] == "NETWORK_TOKEN"
    assert body["authenticationRequest"] == {
        "authenticationReturnUrl": "https://shop.example/back",
        "threeDSRequestorAuthenticationInfo": {
            "authenticationPurpose": "ADD_CARD",
            "threeDSChallengeType": "CHALLENGE_MANDATE",
        },
    }
    device = new_card(route=AddRoute.NETWORK_TOKEN, token_type=CardTokenType.DEVICE_TOKEN)
    assert from_new(device)["cardList"][0]["accountNumberType"] == "DEVICE_TOKEN"


def test_bank_bodies() -> None:
    assert from_new(new_account(BankRail.ACH, holder_name="Ann van der Berg")) == {
        "achList": [
            {
                "accountNumber": "0888271156",
                "financialInstitutionRoutingNumber": "122000247",
                "paymentType": "WEB",
                "accountType": "SAVING",
                "accountStatus": "ACTIVE",
                "firstName": "Ann van der",
                "lastName": "Berg",
            }
        ]
    }
    mandate = {"mandateType": "RECURRING", "mandateSignatureDate": "2025-06-30"}
    assert from_new(new_account(BankRail.SEPA)) == {
        "sepaList": [
            {
                "internationalBankAccountNumber": "DE89370400440532013000",
                "internationalBusinessIdentifierCode": "COBADEFFXXX",
                "mandateList": [{"mandateId": "MND-1", **mandate}],
                "accountStatus": "ACTIVE",
            }
        ]
    }
    assert from_new(new_account(BankRail.BACS)) == {
        "bacsList": [
            {
                "accountNumber": "31926819",
                "bankSortCode": "601613",
                "mandateList": [{"mandateId": "MND-2", **mandate}],
                "accountStatus": "ACTIVE",
            }
        ]
    }


def test_profile_body_holds_its_first_method() -> None:
    customer = NewCustomer(
        external_id="CUST-000123",
        name=PersonName("John", "Doe"),
        email="john@example.com",
        phone="+1 888 888 8828",
        address=HOME,
    )
    new = new_account(BankRail.ACH)
    assert from_customer(customer, new) == {
        "externalConsumerProfileIdentifier": "CUST-000123",
        "firstName": "John",
        "lastName": "Doe",
        "profileStatus": "ACTIVE",
        "profilePaymentMethod": from_new(new),
        "consumerProfileAddresses": [{"line2": "", **WIRE_HOME}],
        "communication": {
            "emailList": [{"emailAddress": "john@example.com"}],
            "phoneList": [{"phoneNumber": "8888888828", "countryCode": "1"}],
        },
    }


def test_change_bodies_hold_one_kind_and_only_what_changes() -> None:
    card = to_card(wire_card(), REF)
    change = MethodChange(expiry=Expiry(2029, 2), holder=PersonName("Ann", "Doe"), billing_address=HOME, active=False)
    assert from_change(card, change) == {
        "card": {
            "cardExpirationMonthYearNumber": "02/2029",
            "accountStatus": "INACTIVE",
            "firstName": "Ann",
            "lastName": "Doe",
            "consumerProfileAddress": WIRE_HOME,
        }
    }
    for rail, kind in ((BankRail.ACH, "ach"), (BankRail.SEPA, "sepa"), (BankRail.BACS, "bacs")):
        account = to_bank_account(wire_account(), rail, REF)
        assert from_change(account, MethodChange(active=True)) == {kind: {"accountStatus": "ACTIVE"}}


# ---- rules ------------------------------------------------------------------------------------------------


def paths(faults: list[FieldFault]) -> list[tuple[str, ...]]:
    return [fault.path for fault in faults]


@pytest.mark.parametrize(
    "new",
    [
        new_card(),
        new_card(secret=Secret("378282246310005"), brand=CardBrand.AMEX),
        new_card(brand=CardBrand.UNKNOWN, first_name="Zoë-Anne", last_name="O'Neil 3rd."),
        new_card(billing_address=HOME, authenticate=Authenticate(return_url="https://shop.example")),
        new_account(BankRail.ACH),
        new_account(BankRail.SEPA),
        new_account(BankRail.BACS),
    ],
)
def test_what_the_vault_takes_has_no_fault(new: Any) -> None:
    assert faults_of_method(new) == []


@pytest.mark.parametrize(
    ("new", "path"),
    [
        (new_card(secret=Secret("411111111111")), ("secret",)),
        (new_card(secret=Secret("4111 1111 1111 1111")), ("secret",)),
        (new_card(secret=Secret("")), ("secret",)),
        (new_card(expiry=None), ("expiry",)),
        (new_card(brand=CardBrand.UNIONPAY), ("brand",)),
        (new_card(first_name="x" * 71), ("first_name",)),
        (new_card(last_name="Doe <3"), ("last_name",)),
        (new_card(holder_name="tab\there"), ("holder_name",)),
        (new_card(title="Mine"), ("title",)),
        (new_card(is_secondary=True), ("is_secondary",)),
        (new_card(authenticate=Authenticate(return_url="shop.example")), ("authenticate", "return_url")),
        (new_card(authenticate=Authenticate(return_url="javascript:alert(1)")), ("authenticate", "return_url")),
        (new_card(billing_address=Address(city="X", country="US")), ("billing_address", "line1")),
        (
            new_card(billing_address=Address(line1="a", city="b", country="US", region="Penn")),
            ("billing_address", "region"),
        ),
        (
            new_card(billing_address=Address(line1="a", city="b", country="US", postal_code="1")),
            ("billing_address", "postal_code"),
        ),
        (new_card(billing_address=Address(line1="a<b", city="b", country="US")), ("billing_address", "line1")),
        (new_card(billing_address=Address(line1="a", city="b" * 41, country="US")), ("billing_address", "city")),
        (new_card(billing_address=Address(line1="a", city="b", country="ZZ")), ("billing_address", "country")),
        (new_account(BankRail.ACH, secret=Secret("123")), ("secret",)),
        (new_account(BankRail.ACH, routing_number=None), ("routing_number",)),
        (new_account(BankRail.ACH, routing_number="122000248"), ("routing_number",)),
        (new_account(BankRail.ACH, account_type=None), ("account_type",)),
        (new_account(BankRail.ACH, account_type=BankAccountType.UNKNOWN), ("account_type",)),
        (new_account(BankRail.SEPA, secret=Secret("DE88370400440532013000")), ("secret",)),
        (new_account(BankRail.SEPA, bic=None), ("bic",)),
        (new_account(BankRail.SEPA, bic="COBADEFFX"), ("bic",)),
        (new_account(BankRail.SEPA, mandate_id=" "), ("mandate_id",)),
        (new_account(BankRail.SEPA, mandate_signed_on="30.06.2025"), ("mandate_signed_on",)),
        (new_account(BankRail.SEPA, mandate_signed_on="20250630"), ("mandate_signed_on",)),
        (new_account(BankRail.BACS, secret=Secret("3192681")), ("secret",)),
        (new_account(BankRail.BACS, sort_code="60161"), ("sort_code",)),
        (new_account(BankRail.BACS, mandate_signed_on=None), ("mandate_signed_on",)),
        (new_account(BankRail.OTHER), ("rail",)),
    ],
)
def test_each_rule_names_its_field(new: Any, path: tuple[str, ...]) -> None:
    faults = faults_of_method(new)
    assert paths(faults) == [path]
    assert len(new.secret.reveal()) < 3 or new.secret.reveal() not in faults[0].message


def test_all_faults_come_at_once() -> None:
    new = new_account(BankRail.BACS, secret=Secret("1"), sort_code=None, mandate_id=None, mandate_signed_on=None)
    assert paths(faults_of_method(new)) == [("secret",), ("sort_code",), ("mandate_id",), ("mandate_signed_on",)]


@pytest.mark.parametrize("external_id", ["order121", "CARD-PROFILE-TEST", "a b,c$d@e&f", "x" * 36])
def test_external_ids_that_are_taken(external_id: str) -> None:
    assert faults_of_new_profile(NewCustomer(external_id=external_id, name=PersonName("A", "B"))) == []


@pytest.mark.parametrize("external_id", ["", " lead", "a&&b", "x" * 37, "under_score", "é", "line\n"])
def test_external_ids_that_are_not(external_id: str) -> None:
    new = NewCustomer(external_id=external_id, name=PersonName("A", "B"))
    assert paths(faults_of_new_profile(new)) == [("external_id",)]


def test_check_digits() -> None:
    assert is_routing_number("122000247")
    assert not is_routing_number("12200024")
    assert is_iban("GB29 NWBK 6016 1331 9268 19")
    assert is_iban("nl91abna0417164300")
    assert not is_iban("GB29NWBK60161331926818")
    assert not is_iban("GB29")


# ---- refusals ---------------------------------------------------------------------------------------------


def reply(status: int, body: bytes = b"", **headers: str) -> VaultReply:
    return VaultReply(status, headers, body)


VALIDATION = (
    b'{"responseStatus":"ERROR","responseCode":"MP_REQ_001","responseMessage":"no","requestId":"r-9",'
    b'"validationErrors":[{"code":"MP_REQ_001","message":"4111111111111111","entity":"cardList[0].cardType"},'
    b'{"code":"X","message":"m","entity":"cardList[0].consumerProfileAddress.postalCode"},'
    b'{"code":"X","message":"m","entity":"cardList[0].firstName"},{"code":"X","message":"m"}]}'
)


def test_refused_write_names_reason_code_and_fields() -> None:
    error = refusal(reply(400, VALIDATION), Effect.WRITE, RejectReason.CUSTOMER_NOT_FOUND)
    assert isinstance(error, VaultRejected)
    assert (error.reason, error.provider_code) == (RejectReason.INVALID_INPUT, "MP_REQ_001")
    assert error.provider_request_id == "r-9"
    assert [fault.path for fault in error.faults] == [
        ("brand",),
        ("billing_address", "postal_code"),
        ("first_name",),
    ]
    assert "4111111111111111" not in str(error) + str(error.faults)


def test_refused_update_names_the_holder() -> None:
    error = refusal(reply(400, VALIDATION), Effect.WRITE, RejectReason.METHOD_NOT_FOUND, is_update=True)
    assert isinstance(error, VaultRejected)
    assert error.faults[-1].path == ("holder", "first")


def test_taken_external_id_is_a_duplicate() -> None:
    body = b'{"responseCode":"MP_REQ_001","validationErrors":[{"entity":"externalConsumerProfileIdentifier"}]}'
    error = refusal(reply(400, body), Effect.WRITE, RejectReason.CONTRACT)
    assert isinstance(error, VaultRejected)
    assert error.reason is RejectReason.DUPLICATE_CUSTOMER


@pytest.mark.parametrize(
    ("status", "effect", "kind", "code"),
    [
        (400, Effect.READ, VaultReplyUnreadable, "PROVIDER_UNAVAILABLE"),
        (403, Effect.READ, None, "PROVIDER_AUTH"),
        (403, Effect.WRITE, None, "PROVIDER_AUTH"),
        (404, Effect.READ, VaultRejected, "PROVIDER_REJECTED"),
        (404, Effect.WRITE, VaultRejected, "PROVIDER_REJECTED"),
        (408, Effect.READ, VaultTimeout, "PROVIDER_TIMEOUT"),
        (408, Effect.WRITE, OutcomeUnknown, "OUTCOME_UNKNOWN"),
        (405, Effect.WRITE, VaultRejected, "PROVIDER_REJECTED"),
    ],
)
def test_refusals_by_status(status: int, effect: Effect, kind: Any, code: str) -> None:
    error = refusal(reply(status, b"<html>"), effect, RejectReason.CUSTOMER_NOT_FOUND, sent_id="ours")
    assert error.code == code
    assert kind is None or isinstance(error, kind)
    assert (error.provider_code, error.provider_request_id) == (f"HTTP_{status}", "ours")
    if isinstance(error, VaultRejected):
        assert error.reason is (RejectReason.CUSTOMER_NOT_FOUND if status == 404 else RejectReason.CONTRACT)
