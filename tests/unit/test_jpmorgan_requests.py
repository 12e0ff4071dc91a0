"""Request bodies sent to J.P. Morgan, and the rules that are checked before they are sent."""

from dataclasses import replace
from typing import Any

import pytest

from app.errors import FieldFault
from app.providers.jpmorgan.mapping import to_bank_account, to_card
from app.providers.jpmorgan.requests import from_addition, from_change, from_customer, from_new
from app.providers.jpmorgan.validation import faults_of_method, faults_of_new_profile, is_routing_number
from app.vault.enums import (
    AddRoute,
    BankAccountType,
    BankRail,
    CardBrand,
    CardTokenType,
    ChallengePreference,
    ProviderName,
    WalletKind,
)
from app.vault.model import (
    Address,
    Authenticate,
    BrowserInfo,
    Expiry,
    MethodChange,
    NewBankAccount,
    NewCard,
    NewCustomer,
    PersonName,
    WalletBundle,
)
from app.vault.rules.iban import is_iban
from app.vault.secret import Secret
from tests.support.jpmorgan_wire import REF, wire_account, wire_card

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


def test_browser_info_stands_beside_the_list() -> None:
    browser = BrowserInfo(language="en-US", screen_height=1080, color_depth=24, java_enabled=False, ip_address="::1")
    asked = Authenticate(return_url="https://shop.example", browser_info=browser)
    assert from_addition(new_card(authenticate=asked))["browserInfo"] == {
        "browserLanguage": "en-US",
        "browserScreenHeight": "1080",
        "browserColorDepth": "24",
        "javaEnabled": False,
        "deviceIPAddress": "::1",
    }
    assert "browserInfo" not in from_addition(new_card(authenticate=Authenticate(return_url="https://shop.example")))
    assert "192.0.2" not in repr(BrowserInfo(ip_address="192.0.2.1"))


def test_a_wallets_bundle_is_passed_on_as_it_is() -> None:
    bundle = WalletBundle(ephemeral_public_key="k", transaction_id="t", protocol_version="EC_v1", signature="s")
    new = new_card(route=AddRoute.WALLET_PAYLOAD, wallet=WalletKind.APPLE_PAY, bundle=bundle, secret=Secret("data"))
    assert from_addition(replace(new, active=False)) == {
        "applepay": {
            "encryptedPaymentBundle": {
                "encryptedPaymentHeader": {"ephemeralPublicKey": "k", "walletTransactionId": "t"},
                "protocolVersion": "EC_v1",
                "signature": "s",
                "encryptedPayload": "data",
            }
        },
        "accountStatus": "INACTIVE",
    }
    bare = replace(new, wallet=WalletKind.PAZE, bundle=None)
    assert from_addition(bare)["paze"] == {"encryptedPaymentBundle": {"encryptedPayload": "data"}}
    assert "EC_v1" not in repr(new)


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
        new_card(first_name=None, last_name="Sukarno"),
        new_card(first_name="王", last_name="小明"),
        new_card(first_name="Siân", last_name="O\u2019Brien-Łukasiewicz, Jr."),
        new_card(billing_address=Address(line1="1 Queen's Road", city="Hong Kong", country="HK")),
        new_card(billing_address=Address(line1="Via Roma 1", city="L\u2019Aquila", postal_code="67100", country="IT")),
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
