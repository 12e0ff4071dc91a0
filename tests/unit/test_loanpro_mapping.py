"""Mapping of LoanPro's records to the unified model, with both readings of ambiguous documentation."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from app.providers.loanpro import mapping
from app.vault.enums import (
    BankAccountType,
    BankRail,
    CardBrand,
    CustomerRef,
    MethodRef,
    PaymentMethodStatus,
    ProviderName,
)
from app.vault.model import Address, BankAccount, BeforeAdd, Card, Expiry, OtherMethod
from app.vault.secret import Secret

REF = CustomerRef("2")
PLAIN_TOKEN = "AQIDAHjUjFY7lrHTREXDSHYcKtz.eyJhbGciOiJIUzI1NiJ9.e30.c2ln"
ENCODED_TOKEN = base64.b64encode(PLAIN_TOKEN.encode()).decode()


def card_account(**changes: Any) -> dict[str, Any]:
    """An expanded card profile: 'Get Payment Profiles', card block from the entity's field names."""
    return {
        "CheckingAccount": None,
        "CreditCard": {
            "id": 9,
            "token": ENCODED_TOKEN,
            "created": "/Date(1493406170)/",
            "cardNumber": "XXXXXXXXXXXX1111",
            "cardType": "creditCard.type.visa",
            "address1": "2100 S 1300 E",
            "city": "SALT LAKE CITY",
            "state": "UT",
            "zipcode": "84105",
            "country": "company.country.usa",
            "cardExpiration": "01/2027",
            "cardHolderName": "Terry Bellevue",
        },
        "id": 1,
        "entityId": 2,
        "entityType": "Entity.Customer",
        "isPrimary": 1,
        "isSecondary": 0,
        "title": "Credit Card",
        "type": "paymentAccount.type.credit",
        "creditCardId": 9,
        "checkingAccountId": None,
        "active": 1,
        "verify": 0,
    } | changes


def bank_account(**changes: Any) -> dict[str, Any]:
    return {
        "CheckingAccount": {
            "id": 2,
            "addressId": 66,
            "accountType": "bankacct.type.savings",
            "token": "AQED",
            "created": "/Date(1496954590)/",
            "accountNumber": "XXXXXXX4235",
            "routingNumber": "124002971",
            "institutionNumber": None,
            "bankName": "Test Bank",
            "cardHolderName": "Test",
            "Address": {"__deferred": {"uri": "CheckingAccounts(id=2)/Address"}},
        },
        "CreditCard": {"__deferred": {"uri": "PaymentAccounts(id=3)/CreditCard"}},
        "id": 3,
        "entityId": 2,
        "isPrimary": 0,
        "isSecondary": 1,
        "title": "test 2",
        "type": "paymentAccount.type.checking",
        "creditCardId": None,
        "checkingAccountId": 2,
        "active": 1,
        "visible": 1,
    } | changes


def test_a_card_profile_is_read_whole() -> None:
    assert mapping.to_method(REF, card_account()) == Card(
        provider=ProviderName.LOANPRO,
        customer_ref=REF,
        method_ref=MethodRef("1"),
        title="Credit Card",
        holder_name="Terry Bellevue",
        last4="1111",
        brand=CardBrand.VISA,
        expiry=Expiry(2027, 1),
        billing_address=Address(
            line1="2100 S 1300 E", city="SALT LAKE CITY", region="UT", postal_code="84105", country="US"
        ),
        is_provider_default=True,
        is_secondary=False,
        created_at=datetime(2017, 4, 28, 19, 2, 50, tzinfo=UTC),
    )


def test_a_bank_profile_is_read_whole() -> None:
    assert mapping.to_method(REF, bank_account()) == BankAccount(
        provider=ProviderName.LOANPRO,
        customer_ref=REF,
        method_ref=MethodRef("3"),
        title="test 2",
        holder_name="Test",
        last4="4235",
        rail=BankRail.ACH,
        account_type=BankAccountType.SAVINGS,
        bank_name="Test Bank",
        is_provider_default=False,
        is_secondary=True,
        created_at=datetime(2017, 6, 8, 20, 43, 10, tzinfo=UTC),
    )


def test_numbers_and_tokens_do_not_pass() -> None:
    clear = bank_account()
    clear["CheckingAccount"]["accountNumber"] = "000123456784235"
    card = card_account()
    card["CreditCard"]["cardNumber"] = "4111111111111111"
    wallet = mapping.to_wallet(REF, {"results": [clear, card]})
    assert [method.last4 for method in wallet.methods] == ["4235", "1111"]
    shown = repr(wallet)
    for hidden in ("000123456784235", "4111111111111111", ENCODED_TOKEN, "AQED", "124002971"):
        assert hidden not in shown


@pytest.mark.parametrize(
    ("spelled", "brand"),
    [
        ("creditCard.type.visa", CardBrand.VISA),
        ("creditCard.type.masterCard", CardBrand.MASTERCARD),
        ("creditCard.type.amex", CardBrand.AMEX),
        ("creditCard.type.discover", CardBrand.DISCOVER),
        ("creditCard.type.somethingNew", CardBrand.OTHER),
        (None, CardBrand.UNKNOWN),
    ],
)
def test_brands(spelled: str | None, brand: CardBrand) -> None:
    account = card_account()
    account["CreditCard"]["cardType"] = spelled
    method = mapping.to_method(REF, account)
    assert isinstance(method, Card)
    assert method.brand is brand


@pytest.mark.parametrize(
    "spelled", ["01/2027", "012027", "01/27", "0127", "2027-01", "2027-01-31", "1/2027", "/Date(1800000000)/"]
)
def test_every_spelling_of_an_expiry(spelled: str) -> None:
    account = card_account()
    account["CreditCard"]["cardExpiration"] = spelled
    method = mapping.to_method(REF, account)
    assert isinstance(method, Card)
    assert method.expiry == Expiry(2027, 1)


@pytest.mark.parametrize(
    ("spelled", "is_unreadable"),
    [
        (None, False),
        ("", False),
        ("/Date(-62169984000)/", False),
        ("/Date(-62169984000000)/", False),
        ("soon", True),
        ("13/2027", True),
        ("00/27", True),
        (True, True),
        ({"month": 1}, True),
    ],
)
def test_an_absent_expiry_differs_from_an_unreadable_one(spelled: Any, is_unreadable: bool) -> None:
    account = card_account()
    account["CreditCard"]["cardExpiration"] = spelled
    method = mapping.to_method(REF, account)
    assert isinstance(method, Card)
    assert (method.expiry, method.has_unreadable_expiry) == (None, is_unreadable)


@pytest.mark.parametrize("on", [1, "1", True, "Y", "yes", "T", "on", 1.0])
@pytest.mark.parametrize("off", [0, "0", False, "N", "no", "F", "off"])
def test_flags_as_numbers_text_or_booleans(on: Any, off: Any) -> None:
    method = mapping.to_method(REF, card_account(id="1", active=on, isPrimary=on, isSecondary=off))
    assert (method.status, method.is_provider_default, method.is_secondary) == (
        PaymentMethodStatus.ACTIVE,
        True,
        False,
    )
    inactive = mapping.to_method(REF, card_account(active=off, isPrimary=on))
    assert (inactive.status, inactive.is_provider_default) == (PaymentMethodStatus.INACTIVE, False)


@pytest.mark.parametrize("unreadable", ["perhaps", 2, [], {}, None, ""])
def test_a_flag_that_cannot_be_read_is_not_known(unreadable: Any) -> None:
    method = mapping.to_method(REF, card_account(isPrimary=unreadable, isSecondary=unreadable, title=7))
    assert (method.is_provider_default, method.is_secondary, method.title) == (None, None, None)
    assert mapping.to_method(REF, card_account(active=unreadable)).status is PaymentMethodStatus.UNKNOWN


@pytest.mark.parametrize(
    ("given", "status", "detail"),
    [
        (0, PaymentMethodStatus.INACTIVE, "PAYMENT_NOT_ALLOWED"),
        ("0", PaymentMethodStatus.INACTIVE, "PAYMENT_NOT_ALLOWED"),
        ("N", PaymentMethodStatus.INACTIVE, "PAYMENT_NOT_ALLOWED"),
        ("perhaps", PaymentMethodStatus.UNKNOWN, None),
        (None, PaymentMethodStatus.ACTIVE, None),
        (1, PaymentMethodStatus.ACTIVE, None),
    ],
)
def test_a_profile_that_must_not_pay_is_inactive(given: Any, status: PaymentMethodStatus, detail: str | None) -> None:
    method = mapping.to_method(REF, card_account(isPaymentAllowed=given, isPrimary=1))
    assert (method.status, method.status_detail, method.is_provider_default) == (status, detail, True)


@pytest.mark.parametrize(("active", "is_usable"), [(0, False), ("N", False), (1, True), (None, True), ("?", True)])
def test_a_deactivated_customer_has_no_active_profiles(active: Any, is_usable: bool) -> None:
    wallet = mapping.to_wallet(REF, {"results": [card_account()]}, customer={"id": 2, "active": active})
    expected = (PaymentMethodStatus.ACTIVE, None) if is_usable else (PaymentMethodStatus.INACTIVE, "CUSTOMER_INACTIVE")
    assert [(one.status, one.status_detail) for one in wallet.methods] == [expected]


def test_a_hidden_profile_is_inactive_and_says_so() -> None:
    method = mapping.to_method(REF, card_account(visible=0))
    assert (method.status, method.status_detail) == (PaymentMethodStatus.INACTIVE, "HIDDEN")


def test_a_card_without_details_is_still_a_card() -> None:
    method = mapping.to_method(REF, card_account(CreditCard=None))
    assert isinstance(method, Card)
    assert (method.last4, method.expiry, method.brand, method.billing_address) == (None, None, CardBrand.UNKNOWN, None)


def test_a_kind_we_have_not_met_is_other() -> None:
    method = mapping.to_method(REF, card_account(type="paymentAccount.type.crypto"))
    assert isinstance(method, OtherMethod)
    assert method.provider_kind == "crypto"


def test_a_canadian_account_is_no_ach() -> None:
    account = bank_account()
    account["CheckingAccount"] |= {"institutionNumber": "003", "branchNumber": "12345"}
    method = mapping.to_method(REF, account)
    assert isinstance(method, BankAccount)
    assert method.rail is BankRail.OTHER


@pytest.mark.parametrize(
    "broken",
    [
        {"title": "no id", "type": "paymentAccount.type.credit"},
        {"id": "seven", "type": "paymentAccount.type.credit"},
        {"id": 4},
        {"id": 5, "type": "paymentAccount.type.4111111111111111"},
        card_account(id=6, entityId=99),
        "text",
        None,
        17,
    ],
)
def test_a_broken_record_is_counted_and_costs_only_itself(broken: Any) -> None:
    wallet = mapping.to_wallet(REF, {"results": [card_account(), broken, bank_account()]})
    assert [method.method_ref for method in wallet.methods] == ["1", "3"]
    assert wallet.skipped == 1


def test_collections_wrapped_bare_or_absent() -> None:
    for accounts in ({"results": [card_account()]}, [card_account()]):
        assert len(mapping.to_wallet(REF, accounts).methods) == 1
    assert mapping.to_wallet(REF, {"results": []}).methods == ()


@pytest.mark.parametrize(
    "no_collection",
    [None, [], {}, "garbage", {"error": {"code": 409}}, {"results": None}, {"results": [], "error": "x"}],
)
def test_what_is_no_collection_is_not_empty(no_collection: Any) -> None:
    with pytest.raises((ValueError, KeyError)):
        mapping.to_wallet(REF, no_collection)
    with pytest.raises((ValueError, KeyError)):
        mapping.results_of(mapping.under_d({"d": no_collection}))


@pytest.mark.parametrize("no_success", [None, [], "x", {}, {"d": None}, {"error": {"code": 500}, "d": {"results": []}}])
def test_what_is_no_success_says_nothing(no_success: Any) -> None:
    with pytest.raises((ValueError, KeyError)):
        mapping.under_d(no_success)


def test_summary_tells_that_a_list_was_cut() -> None:
    assert mapping.to_wallet(REF, {"results": [card_account()], "summary": {"total": 2}}).truncated
    assert not mapping.to_wallet(REF, {"results": [card_account()], "summary": {"total": 1}}).truncated


def test_what_must_be_expanded() -> None:
    assert mapping.must_expand(None)
    assert mapping.must_expand({"results": [card_account()], "summary": {"total": 2}})
    assert mapping.must_expand({"results": [card_account()], "__next": "Customers(37)/PaymentAccounts?$skip=1"})
    link = {"__deferred": {"uri": "x"}}
    assert mapping.must_expand(link)
    assert mapping.must_expand([card_account(CreditCard=link)])
    assert mapping.must_expand([bank_account(CheckingAccount=link, checkingAccountId=None) | {"checkingAccountId": 2}])
    assert not mapping.must_expand([card_account(CheckingAccount=link)])
    assert not mapping.must_expand([card_account(CreditCard=link, creditCardId=None)])
    assert not mapping.must_expand([{"no": "type"}, card_account()])


@pytest.mark.parametrize("ref", ["", "0", "037", "-1", "1 or 1 eq 1", "1)", "٣", "1" * 19, "abc"])
def test_what_is_no_id_never_reaches_a_url(ref: str) -> None:
    assert not mapping.is_ref(ref)


def test_the_same_token_is_seen_in_either_form_and_only_while_active() -> None:
    accounts = [card_account(), bank_account()]
    for form in (PLAIN_TOKEN, ENCODED_TOKEN, f" {ENCODED_TOKEN}\n"):
        assert mapping.with_token(accounts, Secret(form)) == ["1"]
    assert mapping.with_token(accounts, Secret("AQED")) == ["3"]
    assert mapping.with_token(accounts, Secret("other")) == []
    assert mapping.with_token([card_account(active=0)], Secret(PLAIN_TOKEN)) == []


def test_before_has_every_id_and_the_primary() -> None:
    accounts = [bank_account(active=0), card_account()]
    assert mapping.to_before(accounts, Secret(PLAIN_TOKEN)) == BeforeAdd(
        method_refs=frozenset((MethodRef("1"), MethodRef("3"))),
        duplicate_of=MethodRef("1"),
        default_ref=MethodRef("1"),
    )


def test_a_new_profile_is_recognised() -> None:
    before = frozenset((MethodRef("1"),))
    old, token = card_account(), Secret(PLAIN_TOKEN)
    one, two = card_account(id=9), card_account(id=10, CreditCard={"token": "someone else's"})
    assert mapping.added_method(before, [old, one], token) == "9"
    assert mapping.added_method(before, [two, one, old], token) == "9"
    assert mapping.added_method(before, [two, one, old], Secret("hidden")) == "10"
    assert mapping.added_method(before, [old], token) == "1"
    assert mapping.added_method(before, [old], Secret("dropped")) is None
