"""Mapping of Aloha's records to the unified model and back, with both readings of ambiguous documentation."""

from typing import Any

import orjson
import pytest

from app.errors import FieldFault, RejectReason, VaultRefusedUs, VaultRejected, VaultReplyUnreadable
from app.http.message import Effect, VaultReply
from app.providers.aloha import errors, mapping, requests, validation
from app.providers.aloha.settings import AlohaPaymentProvider
from app.vault.enums import AddRoute, CardBrand, CustomerRef, MethodRef, ProviderName
from app.vault.model import Address, Authenticate, BeforeAdd, Card, Expiry, NewCard, NewCustomer, PersonName
from app.vault.secret import Secret

REF = CustomerRef("82c6fdcb-534f-415a-9e28-87be989e461f")
ACCOUNT = "93f5f620-ec93-47dd-ab24-c07bbf0b16bf"
TOKEN = "201:1234567890123456"
ALL = ("CONNECTED_PAYMENTS", "CREDIT_CALL", "FREEDOM_PAY")


def payment(**changes: Any) -> dict[str, Any]:
    """`CustomerPayment`, its fields from 'GET v1/Customers/{customerId}/Payments'."""
    return {
        "AccountId": ACCOUNT,
        "MethodType": 6,
        "AccountNumber": TOKEN,
        "ExpirationDate": "2017-12-01",
        "SecurityCode": "987",
        "ZipCode": None,
        "MaskedAccountNumber": "123456xxxxxx7890",
        "MaskedExpirationDate": None,
        "ProviderType": 2,
    } | changes


def test_a_saved_payment_is_read_whole() -> None:
    assert mapping.to_card(REF, payment(ZipCode=" 84105 ")) == Card(
        provider=ProviderName.ALOHA,
        customer_ref=REF,
        method_ref=MethodRef(ACCOUNT),
        brand=CardBrand.MASTERCARD,
        last4="7890",
        bin="123456",
        expiry=Expiry(2017, 12),
        processor="CONNECTED_PAYMENTS",
        billing_address=Address(postal_code="84105"),
    )


def test_the_token_and_the_security_code_do_not_pass() -> None:
    shown = repr(mapping.to_wallet(REF, [payment(MaskedAccountNumber="4111111111111111")]))
    for hidden in (TOKEN, TOKEN.partition(":")[2], "987", "4111111111111111"):
        assert hidden not in shown


@pytest.mark.parametrize(
    ("method_type", "brand"),
    [
        (0, CardBrand.AMEX),
        (3, CardBrand.DISCOVER),
        (5, CardBrand.JCB),
        (6, CardBrand.MASTERCARD),
        (7, CardBrand.VISA),
        ("7", CardBrand.VISA),
        ("Amex", CardBrand.AMEX),
        ("American Express", CardBrand.AMEX),
        ("MasterCard", CardBrand.MASTERCARD),
        ("JCB", CardBrand.JCB),
        ("visa", CardBrand.VISA),
        (2, CardBrand.OTHER),
        (99, CardBrand.OTHER),
        ("Diners", CardBrand.OTHER),
        (None, CardBrand.UNKNOWN),
    ],
)
def test_card_types_as_numbers_or_names(method_type: Any, brand: CardBrand) -> None:
    assert mapping.to_card(REF, payment(MethodType=method_type)).brand is brand


@pytest.mark.parametrize(
    ("masked", "last4", "lead"),
    [
        ("444522******0007", "0007", "444522"),
        ("4445-22xx-xxxx-0007", "0007", "444522"),
        ("44452233●●●●0007", "0007", "44452233"),
        ("XXXXXXXXXXXX1234", "1234", None),
        ("4111111111111111", "1111", None),
        ("******07", None, None),
        ("411111******", None, "411111"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_masked_numbers(masked: str | None, last4: str | None, lead: str | None) -> None:
    card = mapping.to_card(REF, payment(MaskedAccountNumber=masked))
    assert (card.last4, card.bin) == (last4, lead)


@pytest.mark.parametrize("spelled", ["2029-12-01", "2029-12-01T00:00:00", "12/29", "12/2029", "1229"])
def test_every_spelling_of_an_expiry(spelled: str) -> None:
    assert mapping.to_card(REF, payment(ExpirationDate=spelled)).expiry == Expiry(2029, 12)


def test_the_masked_expiry_is_second_best() -> None:
    assert mapping.to_card(REF, payment(ExpirationDate=None, MaskedExpirationDate="01/30")).expiry == Expiry(2030, 1)
    assert mapping.to_card(REF, payment(ExpirationDate="??/??")).expiry is None


@pytest.mark.parametrize(
    "body",
    [
        [payment()],
        payment(),
        {"CPSCompanyCode": "DEMO", "Payments": [payment()]},
        {"Payments": payment()},
        {"$id": "1", "$values": [payment()]},
    ],
)
def test_a_list_in_every_shape(body: Any) -> None:
    wallet = mapping.to_wallet(REF, body)
    assert ([card.method_ref for card in wallet.methods], wallet.skipped) == ([ACCOUNT], 0)


@pytest.mark.parametrize("body", [None, [], {"Payments": None}, {"Payments": []}])
def test_an_empty_list_in_every_shape(body: Any) -> None:
    assert mapping.to_wallet(REF, body).methods == ()


@pytest.mark.parametrize("body", ["text", 7, {}, {"Message": "NotFound"}, {"Payments": "no"}])
def test_what_is_no_list_is_not_empty(body: Any) -> None:
    with pytest.raises(ValueError):
        mapping.to_wallet(REF, body)


def test_references_are_followed() -> None:
    body = {"Payments": [payment() | {"$id": "2"}, {"$ref": "2"}, {"$ref": "9"}]}
    wallet = mapping.to_wallet(REF, body)
    assert ([card.method_ref for card in wallet.methods], wallet.skipped) == ([ACCOUNT], 1)


@pytest.mark.parametrize("broken", [{}, {"AccountId": "7"}, {"AccountId": None}, None, "text", 5])
def test_a_broken_record_is_counted_and_costs_only_itself(broken: Any) -> None:
    wallet = mapping.to_wallet(REF, [broken, payment()])
    assert ([card.method_ref for card in wallet.methods], wallet.skipped) == ([ACCOUNT], 1)


def test_guids_in_any_case_or_braces() -> None:
    assert mapping.guid_of("{" + ACCOUNT.upper() + "}") == ACCOUNT
    assert mapping.is_guid(REF.upper())
    for ref in ("", "7", f"{REF}/Payments", "{" + REF + "}", REF[:-1], REF.replace("8", "g")):
        assert not mapping.is_guid(ref)


@pytest.mark.parametrize("body", [f'"{ACCOUNT}"', f'"{ACCOUNT.upper()}"', ACCOUNT, f' "{{{ACCOUNT}}}"\n'])
def test_an_add_answers_a_bare_guid(body: str) -> None:
    assert mapping.to_guid_answer(body.encode()) == ACCOUNT


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"<html>", b"\xff\xfe"])
def test_any_other_answer_to_an_add_is_unreadable(body: bytes) -> None:
    with pytest.raises(ValueError):
        mapping.to_guid_answer(body)


def test_a_created_customer() -> None:
    assert mapping.to_customer_ref({"CustomerId": REF.upper(), "Email": None}) == REF
    assert mapping.to_customer_ref(REF) == REF


@pytest.mark.parametrize("provider_type", [2, "2", "ConnectedPayments"])
def test_a_duplicate_is_the_same_token_at_the_same_payment_provider(provider_type: Any) -> None:
    held = [payment(ProviderType=provider_type), payment(AccountId=REF, AccountNumber=None)]
    connected, freedom = AlohaPaymentProvider.CONNECTED_PAYMENTS, AlohaPaymentProvider.FREEDOM_PAY
    refs = frozenset((MethodRef(ACCOUNT), MethodRef(REF)))
    assert mapping.to_before(held, connected, Secret(TOKEN)) == BeforeAdd(
        method_refs=refs, duplicate_of=MethodRef(ACCOUNT)
    )
    assert mapping.to_before(held, freedom, Secret(TOKEN)) == BeforeAdd(method_refs=refs)
    assert mapping.to_before(held, connected, Secret("201:9")) == BeforeAdd(method_refs=refs)


# ---- requests ---------------------------------------------------------------------------------------------


def new_card(**changes: Any) -> NewCard:
    return NewCard(
        **{
            "provider": ProviderName.ALOHA,
            "route": AddRoute.PROVIDER_TOKEN,
            "secret": Secret(TOKEN),
            "payment_provider": AlohaPaymentProvider.CONNECTED_PAYMENTS,
            "masked_card_number": "123456xxxxxx7890",
            "expiry": Expiry(2029, 12),
            "brand": CardBrand.MASTERCARD,
        }
        | changes
    )


def test_the_token_call_says_month_and_short_year() -> None:
    assert requests.from_card(REF, new_card()) == {
        "CustomerId": REF,
        "ProviderType": 2,
        "MaskedCardNumber": "123456xxxxxx7890",
        "ExpirationDate": "12/29",
        "CardToken": TOKEN,
        "CardType": 6,
        "CardHolderName": None,
    }
    freedom = new_card(
        payment_provider=AlohaPaymentProvider.FREEDOM_PAY,
        secret=Secret("9f1c2d3e4b5a69788776"),
        holder_name="Ada Example",
        brand=CardBrand.AMEX,
        expiry=Expiry(2030, 1),
    )
    wire = requests.from_card(REF, freedom)
    assert (wire["ProviderType"], wire["CardType"], wire["CardHolderName"], wire["ExpirationDate"]) == (
        6,
        0,
        "Ada Example",
        "01/30",
    )


def codes(faults: list[FieldFault]) -> dict[str, str]:
    return {".".join(fault.path): fault.code for fault in faults}


def test_every_rule_of_the_token_call_at_once() -> None:
    nothing = new_card(payment_provider=None, secret=Secret(""), masked_card_number=None, expiry=None, brand=None)
    assert codes(validation.faults_of_card(nothing, ALL)) == {
        "payment_provider": "REQUIRED",
        "secret": "REQUIRED",
        "masked_card_number": "REQUIRED",
        "expiry": "REQUIRED",
        "brand": "REQUIRED",
    }


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, {}),
        ({"masked_card_number": "1234 56** **** 7890"}, {}),
        ({"masked_card_number": "123456●●●●●●7890"}, {}),
        ({"masked_card_number": "1234567890"}, {"masked_card_number": "INVALID_INPUT"}),
        ({"masked_card_number": "12345******7890"}, {"masked_card_number": "INVALID_INPUT"}),
        ({"masked_card_number": "123456******"}, {"masked_card_number": "INVALID_INPUT"}),
        ({"masked_card_number": "4111 1111 1111 1111"}, {"masked_card_number": "PAN_NOT_ALLOWED"}),
        ({"masked_card_number": "411111111111x1111"}, {"masked_card_number": "PAN_NOT_ALLOWED"}),
        ({"secret": Secret("1234567890123456")}, {"secret": "INVALID_INPUT"}),
        ({"secret": Secret("20:1")}, {"secret": "INVALID_INPUT"}),
        ({"secret": Secret("201:")}, {"secret": "INVALID_INPUT"}),
        ({"expiry": Expiry(2117, 1)}, {"expiry": "INVALID_INPUT"}),
        ({"brand": CardBrand.UNIONPAY}, {"brand": "UNSUPPORTED_BY_PROVIDER"}),
        ({"brand": CardBrand.OTHER}, {"brand": "UNSUPPORTED_BY_PROVIDER"}),
        ({"payment_provider": AlohaPaymentProvider.CREDIT_CALL, "secret": Secret("abc")}, {}),
        ({"payment_provider": AlohaPaymentProvider.CREDIT_CALL, "masked_card_number": "**** 7890"}, {}),
        ({"payment_provider": AlohaPaymentProvider.FREEDOM_PAY, "secret": Secret("abc")}, {"holder_name": "REQUIRED"}),
        ({"payment_provider": AlohaPaymentProvider.FREEDOM_PAY, "holder_name": "Ada"}, {}),
        ({"billing_address": Address()}, {"billing_address": "UNSUPPORTED_BY_PROVIDER"}),
        ({"is_secondary": True}, {"is_secondary": "UNSUPPORTED_BY_PROVIDER"}),
        ({"authenticate": Authenticate(return_url="x")}, {"authenticate": "UNSUPPORTED_BY_PROVIDER"}),
    ],
)
def test_each_rule_of_the_token_call(changes: dict[str, Any], faults: dict[str, str]) -> None:
    assert codes(validation.faults_of_card(new_card(**changes), ALL)) == faults


def test_a_payment_provider_that_the_company_lacks() -> None:
    card = new_card(payment_provider=AlohaPaymentProvider.CREDIT_CALL)
    assert codes(validation.faults_of_card(card, ["FREEDOM_PAY"])) == {"payment_provider": "UNSUPPORTED_BY_PROVIDER"}


def test_a_customer_gets_a_password_that_is_not_stored() -> None:
    new = NewCustomer(
        external_id="user-1",
        name=PersonName("Ada", "Example"),
        email="ada@example.com",
        phone="5125550100",
        address=Address(line1="1 Way", city="Provo", region="UT", postal_code="84601", country="US"),
    )
    assert validation.faults_of_customer(new) == []
    first, second = requests.from_customer(new), requests.from_customer(new)
    assert first["Customer"] == {
        "Email": "ada@example.com",
        "FirstName": "Ada",
        "LastName": "Example",
        "VoicePhone": "5125550100",
        "Addresses": [{"IsDefault": True, "AddressLine1": "1 Way", "City": "Provo", "State": "UT", "Postal": "84601"}],
    }
    assert len(first["Password"]) >= 30
    assert first["Password"] != second["Password"]
    assert set(first) == {"Customer", "Password", "SecurityQuestion", "SecurityAnswer"}


def test_what_a_customer_lacks_is_named_by_field() -> None:
    assert codes(validation.faults_of_customer(NewCustomer(external_id="x", name=PersonName("", "B" * 101)))) == {
        "name.first": "REQUIRED",
        "name.last": "INVALID_INPUT",
        "email": "REQUIRED",
    }
    wrong = NewCustomer(external_id="x", name=PersonName("A", "B"), email="a@b", phone="1" * 31)
    assert codes(validation.faults_of_customer(wrong)) == {"email": "INVALID_INPUT", "phone": "INVALID_INPUT"}


# ---- refusals ---------------------------------------------------------------------------------------------


def reply(status: int, body: Any) -> VaultReply:
    return VaultReply(status, {}, body if isinstance(body, bytes) else orjson.dumps(body))


def invalid(*fields: str) -> VaultReply:
    state = {f"header.{field}": [f"{field} is wrong: {TOKEN}"] for field in fields}
    return reply(400, {"Message": "The request is invalid.", "ModelState": state})


@pytest.mark.parametrize(
    ("answer", "reason", "code", "paths"),
    [
        (invalid("CardToken"), RejectReason.TOKEN_INVALID, "HTTP_400", [("secret",)]),
        (invalid("ProviderType"), RejectReason.NOT_ENABLED, "HTTP_400", [("payment_provider",)]),
        (
            invalid("ExpirationDate", "MaskedCardNumber", "Novelty"),
            RejectReason.INVALID_INPUT,
            "HTTP_400",
            [("expiry",), ("masked_card_number",)],
        ),
        (invalid("CustomerId"), RejectReason.CUSTOMER_NOT_FOUND, "HTTP_400", []),
        (reply(400, {"Message": "DuplicateKey"}), RejectReason.DUPLICATE_CUSTOMER, "DuplicateKey", []),
        (reply(409, {"Message": "DuplicateKey"}), RejectReason.DUPLICATE_CUSTOMER, "DuplicateKey", []),
        (reply(400, "BadRequest"), RejectReason.INVALID_INPUT, "BadRequest", []),
        (reply(404, {"Message": "NotFound"}), RejectReason.CUSTOMER_NOT_FOUND, "NotFound", []),
        (reply(404, b"<html>"), RejectReason.CONTRACT, "HTTP_404", []),
        (reply(405, b""), RejectReason.CONTRACT, "HTTP_405", []),
        (reply(400, []), RejectReason.INVALID_INPUT, "HTTP_400", []),
    ],
)
def test_refused_writes(answer: VaultReply, reason: RejectReason, code: str, paths: list[tuple[str, ...]]) -> None:
    error = errors.refusal(answer, Effect.WRITE)
    assert isinstance(error, VaultRejected)
    assert (error.reason, error.provider_code, [fault.path for fault in error.faults]) == (reason, code, paths)
    assert TOKEN not in str(error) + repr(error.faults)


def test_refused_reads_and_credentials() -> None:
    assert isinstance(errors.refusal(invalid("CardToken"), Effect.READ), VaultReplyUnreadable)
    for status in (401, 403):
        assert isinstance(errors.refusal(reply(status, b""), Effect.WRITE), VaultRefusedUs)
