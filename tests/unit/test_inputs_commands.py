"""From a mutation's input to a write command, field by field, for every way to add and every mutation."""

from dataclasses import replace
from typing import Any

import pytest

from app.providers.aloha.mapping import AlohaPaymentProvider
from app.vault.enums import (
    AddRoute,
    BankAccountType,
    BankRail,
    CardBrand,
    CardTokenType,
    ChallengePreference,
    ProviderName,
)
from app.vault.model import Address, Authenticate, Expiry, NewBankAccount, NewCard, NewMethod, PersonName
from app.vault.secret import Secret
from app.wallet.commands import (
    AddMethod,
    CreateCustomer,
    DeleteMethod,
    EraseCustomer,
    IfDefault,
    LinkCustomer,
    OnDuplicate,
    SetDefault,
    UnlinkCustomer,
    UpdateMethod,
)
from app.wallet.problems import ProblemCode, WriteProblem
from resolvers.inputs.urls import ReturnOrigins
from resolvers.types.user_errors import to_user_error
from tests.support.memory import World
from tests.support.writes import RecordingWriter, document, mutations

KEY = "0123456789abcdef"
SECRET = "tok_1234567890"
ADDRESS = {"line1": " 1 Main St ", "line2": " ", "city": "Reno", "postalCode": "89501", "country": "US"}
OURS = Address(line1="1 Main St", city="Reno", postal_code="89501", country="US")
JPM, CASELLE = ProviderName.JPMORGAN, ProviderName.CASELLE


async def command_of(mutation: str, value: dict[str, Any]) -> Any:
    world, writer = World(), RecordingWriter()
    world.services.writer = writer
    data = await world.data(document(mutation, mutations()[mutation]), {"input": value})
    assert data[mutation] == {"userErrors": []}
    ((command, _),) = writer.asked
    return command


WAYS: list[tuple[dict[str, Any], NewMethod, tuple[str, ...], str]] = [
    (
        {"loanproToken": {"token": SECRET, "kind": "CARD", "title": " Mine ", "isSecondary": True}},
        NewCard(
            provider=ProviderName.LOANPRO,
            route=AddRoute.PROVIDER_TOKEN,
            secret=Secret(SECRET),
            title="Mine",
            is_secondary=True,
            billing_address=OURS,
        ),
        ("loanpro_token",),
        "token",
    ),
    (
        {"loanproToken": {"token": SECRET, "kind": "BANK_ACCOUNT", "accountType": "SAVINGS"}},
        NewBankAccount(
            provider=ProviderName.LOANPRO,
            route=AddRoute.PROVIDER_TOKEN,
            secret=Secret(SECRET),
            account_type=BankAccountType.SAVINGS,
            billing_address=OURS,
        ),
        ("loanpro_token",),
        "token",
    ),
    (
        {
            "alohaToken": {
                "paymentProvider": "FREEDOM_PAY",
                "token": SECRET,
                "maskedCardNumber": "XXXXXXXXXXXX4242",
                "expiry": "2031-05",
                "brand": "VISA",
                "holderName": "Alex Morales",
            }
        },
        NewCard(
            provider=ProviderName.ALOHA,
            route=AddRoute.PROVIDER_TOKEN,
            secret=Secret(SECRET),
            payment_provider=AlohaPaymentProvider.FREEDOM_PAY,
            masked_card_number="XXXXXXXXXXXX4242",
            last4="4242",
            expiry=Expiry(2031, 5),
            brand=CardBrand.VISA,
            holder_name="Alex Morales",
            billing_address=OURS,
        ),
        ("aloha_token",),
        "token",
    ),
    (
        {
            "jpmNetworkToken": {
                "token": SECRET,
                "device": True,
                "expiry": "2031-05",
                "brand": "MASTERCARD",
                "firstName": "Alex",
                "authenticate": {"returnUrl": "https://localhost/back"},
            }
        },
        NewCard(
            provider=JPM,
            route=AddRoute.NETWORK_TOKEN,
            secret=Secret(SECRET),
            token_type=CardTokenType.DEVICE_TOKEN,
            expiry=Expiry(2031, 5),
            brand=CardBrand.MASTERCARD,
            first_name="Alex",
            billing_address=OURS,
            authenticate=Authenticate(return_url="https://localhost/back"),
        ),
        ("jpm_network_token",),
        "token",
    ),
    (
        {
            "jpmBankAccount": {
                "ach": {"accountNumber": SECRET, "routingNumber": "021000021", "accountType": "CORPORATE_CHECKING"}
            }
        },
        NewBankAccount(
            provider=JPM,
            route=AddRoute.BANK_ACCOUNT,
            secret=Secret(SECRET),
            rail=BankRail.ACH,
            routing_number="021000021",
            account_type=BankAccountType.CORPORATE_CHECKING,
            billing_address=OURS,
        ),
        ("jpm_bank_account", "ach"),
        "account_number",
    ),
    (
        {
            "jpmBankAccount": {
                "sepa": {"iban": SECRET, "bic": "COBADEFF", "mandateId": "M-1", "mandateSignedOn": "2026-01-31"}
            }
        },
        NewBankAccount(
            provider=JPM,
            route=AddRoute.BANK_ACCOUNT,
            secret=Secret(SECRET),
            rail=BankRail.SEPA,
            bic="COBADEFF",
            mandate_id="M-1",
            mandate_signed_on="2026-01-31",
            billing_address=OURS,
        ),
        ("jpm_bank_account", "sepa"),
        "iban",
    ),
    (
        {
            "jpmBankAccount": {
                "bacs": {
                    "accountNumber": SECRET,
                    "sortCode": "200000",
                    "mandateId": "M-1",
                    "mandateSignedOn": "2026-01-31",
                    "lastName": "Morales",
                }
            }
        },
        NewBankAccount(
            provider=JPM,
            route=AddRoute.BANK_ACCOUNT,
            secret=Secret(SECRET),
            rail=BankRail.BACS,
            sort_code="200000",
            mandate_id="M-1",
            mandate_signed_on="2026-01-31",
            last_name="Morales",
            billing_address=OURS,
        ),
        ("jpm_bank_account", "bacs"),
        "account_number",
    ),
    (
        {
            "caselleToken": {
                "card": {
                    "fingerprint": SECRET,
                    "last4": "4242",
                    "expiry": "2031-05",
                    "bin": "424242",
                    "brand": "VISA",
                    "holderName": "Alex Morales",
                }
            }
        },
        NewCard(
            provider=CASELLE,
            route=AddRoute.PROVIDER_TOKEN,
            secret=Secret(SECRET),
            last4="4242",
            expiry=Expiry(2031, 5),
            bin="424242",
            brand=CardBrand.VISA,
            holder_name="Alex Morales",
            billing_address=OURS,
        ),
        ("caselle_token", "card"),
        "fingerprint",
    ),
    (
        {
            "caselleToken": {
                "ach": {
                    "fingerprint": SECRET,
                    "last4": "6789",
                    "routingNumber": "021000021",
                    "accountType": "CHECKING",
                    "holderName": "Alex Morales",
                }
            }
        },
        NewBankAccount(
            provider=CASELLE,
            route=AddRoute.PROVIDER_TOKEN,
            secret=Secret(SECRET),
            rail=BankRail.ACH,
            last4="6789",
            routing_number="021000021",
            account_type=BankAccountType.CHECKING,
            holder_name="Alex Morales",
            billing_address=OURS,
        ),
        ("caselle_token", "ach"),
        "fingerprint",
    ),
]


@pytest.mark.parametrize(("way", "method", "path", "secret_field"), WAYS, ids=[str(way[2]) for way in WAYS])
async def test_every_way_to_add(
    way: dict[str, Any], method: NewMethod, path: tuple[str, ...], secret_field: str
) -> None:
    world, writer = World(), RecordingWriter()
    world.services.writer = writer
    world.services.return_origins = ReturnOrigins(loopback=True)
    value = {"customerId": "cus_a", "idempotencyKey": KEY, "method": way, "billingAddress": ADDRESS}
    kind = mutations()["addPaymentMethod"]
    data = await world.data(document("addPaymentMethod", kind), {"input": value})
    assert data["addPaymentMethod"]["userErrors"] == []
    ((command, _),) = writer.asked
    assert command == AddMethod(
        customer_id="cus_a",
        idempotency_key=KEY,
        method=method,
        method_path=("method", *path),
        secret_field=secret_field,
    )
    assert SECRET not in repr(command)


async def test_a_raw_card_where_the_operator_allows_it() -> None:
    world, writer = World(), RecordingWriter()
    world.services.writer = writer
    vault = world.vaults[JPM]
    vault.capabilities = replace(vault.capabilities, add_via=vault.capabilities.add_via | {AddRoute.RAW_CARD})
    raw = {
        "accountNumber": "4111111111111111",
        "expiry": "2031-05",
        "brand": "VISA",
        "authenticate": {"returnUrl": "https://shop.example/", "challenge": "CHALLENGE_MANDATE"},
    }
    value = {"customerId": "cus_a", "idempotencyKey": KEY, "method": {"jpmRawCard": raw}}
    world.services.return_origins = ReturnOrigins.of(["https://shop.example"])
    kind = mutations()["addPaymentMethod"]
    await world.data(document("addPaymentMethod", kind), {"input": value})
    ((command, _),) = writer.asked
    assert command.method == NewCard(
        provider=JPM,
        route=AddRoute.RAW_CARD,
        secret=Secret("4111111111111111"),
        expiry=Expiry(2031, 5),
        brand=CardBrand.VISA,
        authenticate=Authenticate(return_url="https://shop.example/", challenge=ChallengePreference.CHALLENGE_MANDATE),
    )
    assert command.method_path == ("method", "jpm_raw_card")
    assert "4111111111111111" not in repr(command)


async def test_how_to_add() -> None:
    command = await command_of(
        "addPaymentMethod",
        {
            "customerId": "cus_a",
            "idempotencyKey": KEY,
            "method": {"loanproToken": {"token": SECRET, "kind": "CARD", "title": None}},
            "nickname": "  Blue one ",
            "makeDefault": True,
            "provision": True,
            "onDuplicate": "REJECT",
        },
    )
    assert (command.nickname, command.make_default, command.provision) == ("Blue one", True, True)
    assert command.on_duplicate is OnDuplicate.REJECT
    assert command.method.billing_address is None


@pytest.mark.parametrize(
    ("token", "path"),
    [
        ({"kind": "OTHER"}, ["input", "method", "loanproToken", "kind"]),
        ({"kind": "CARD", "accountType": "SAVINGS"}, ["input", "method", "loanproToken", "accountType"]),
    ],
)
async def test_what_a_loanpro_token_cannot_be(token: dict[str, str], path: list[str]) -> None:
    world, writer = World(), RecordingWriter()
    world.services.writer = writer
    value = {"customerId": "cus_a", "idempotencyKey": KEY, "method": {"loanproToken": {"token": SECRET, **token}}}
    kind = mutations()["addPaymentMethod"]
    data = await world.data(document("addPaymentMethod", kind), {"input": value})
    assert data["addPaymentMethod"]["userErrors"] == [{"code": "INVALID_INPUT", "path": path}]
    assert writer.asked == []


@pytest.mark.parametrize(
    ("mutation", "value", "command"),
    [
        ("updatePaymentMethod", {"id": "pm_x"}, UpdateMethod(method_id="pm_x")),
        (
            "updatePaymentMethod",
            {
                "id": "pm_x",
                "idempotencyKey": KEY,
                "ifMatch": "abc",
                "expiry": "2031-05",
                "holder": {"first": "Alex ", "last": "Morales"},
                "nickname": " Blue ",
                "billingAddress": ADDRESS,
                "active": False,
                "isSecondary": True,
            },
            UpdateMethod(
                method_id="pm_x",
                idempotency_key=KEY,
                if_match="abc",
                expiry=Expiry(2031, 5),
                holder=PersonName("Alex", "Morales"),
                nickname="Blue",
                billing_address=OURS,
                active=False,
                is_secondary=True,
            ),
        ),
        (
            "updatePaymentMethod",
            {"id": "pm_x", "nickname": None, "expiry": None, "active": None},
            UpdateMethod(method_id="pm_x"),
        ),
        (
            "setDefaultPaymentMethod",
            {"customerId": "cus_a", "paymentMethodId": "pm_x"},
            SetDefault(customer_id="cus_a", method_id="pm_x"),
        ),
        (
            "setDefaultPaymentMethod",
            {
                "customerId": "cus_a",
                "paymentMethodId": "pm_x",
                "idempotencyKey": KEY,
                "allowExpired": True,
                "mirrorToProvider": False,
            },
            SetDefault(
                customer_id="cus_a",
                method_id="pm_x",
                idempotency_key=KEY,
                allow_expired=True,
                mirror_to_provider=False,
            ),
        ),
        ("deletePaymentMethod", {"id": "pm_x"}, DeleteMethod(method_id="pm_x")),
        (
            "deletePaymentMethod",
            {"id": "pm_x", "idempotencyKey": KEY, "ifDefault": "REJECT", "replacementDefaultId": "pm_y"},
            DeleteMethod(method_id="pm_x", idempotency_key=KEY, if_default=IfDefault.REJECT, replacement_id="pm_y"),
        ),
        (
            "createCustomer",
            {"externalId": "crm-1", "idempotencyKey": KEY, "name": {"first": "Alex", "last": "Morales"}},
            CreateCustomer(external_id="crm-1", idempotency_key=KEY, name=PersonName("Alex", "Morales")),
        ),
        (
            "createCustomer",
            {
                "externalId": "crm-1",
                "idempotencyKey": KEY,
                "name": {"first": "Alex", "last": "Morales"},
                "email": "alex@example.com",
                "phone": "+1 775 555 0100",
                "address": ADDRESS,
                "provisionAt": ["CASELLE", "LOANPRO", "CASELLE"],
            },
            CreateCustomer(
                external_id="crm-1",
                idempotency_key=KEY,
                name=PersonName("Alex", "Morales"),
                email="alex@example.com",
                phone="+1 775 555 0100",
                address=OURS,
                provision_at=(CASELLE, ProviderName.LOANPRO),
            ),
        ),
        (
            "linkProviderCustomer",
            {"customerId": "cus_a", "idempotencyKey": KEY, "provider": "LOANPRO", "customerRef": "37"},
            LinkCustomer(customer_id="cus_a", idempotency_key=KEY, provider=ProviderName.LOANPRO, customer_ref="37"),
        ),
        (
            "unlinkProviderCustomer",
            {"customerId": "cus_a", "provider": "LOANPRO", "reason": "Wrong person."},
            UnlinkCustomer(customer_id="cus_a", provider=ProviderName.LOANPRO, reason="Wrong person."),
        ),
        (
            "eraseCustomer",
            {"customerId": "cus_a", "idempotencyKey": KEY, "confirmExternalId": "crm-1"},
            EraseCustomer(customer_id="cus_a", idempotency_key=KEY, confirm_external_id="crm-1"),
        ),
    ],
)
async def test_every_other_command(mutation: str, value: dict[str, Any], command: Any) -> None:
    assert await command_of(mutation, value) == command


def test_paths_are_as_the_client_wrote_them() -> None:
    problem = WriteProblem(ProblemCode.INVALID_INPUT, "-", ("method", "jpm_bank_account", "ach", "routing_number"))
    assert to_user_error(problem).path == ["input", "method", "jpmBankAccount", "ach", "routingNumber"]
    line = WriteProblem(ProblemCode.REQUIRED, "-", ("billing_address", "line1"))
    assert to_user_error(line).path == ["input", "billingAddress", "line1"]
    assert to_user_error(WriteProblem(ProblemCode.NOT_FOUND, "-")).path is None
