"""J.P. Morgan in the contract suite."""

from typing import Any

from app.sandbox.demo import ALEX, demo_guid, load_customer
from app.testing.case import VaultCase
from app.vault.enums import (
    AddressType,
    AddRoute,
    BankAccountType,
    BankRail,
    CardBrand,
    CustomerRef,
    MethodRef,
    ProviderName,
    WalletKind,
)
from app.vault.model import Address, AddressLabels, Expiry, MethodChange, NewBankAccount, NewCard, PersonName
from app.vault.secret import Secret
from tests.support.sandbox import RunningSandbox

REF = ALEX.refs["jpmorgan"]
_PROFILE = f"/api/v2/mmp/consumer-profiles/{REF}"
HOME = Address(line1="1 High St", line2="Flat 2", city="Leeds", region="LDS", postal_code="LS1 1AA", country="GB")
WORK = AddressLabels(type=AddressType.SHIPPING, name="Work", recipient=PersonName("Ada", "Example"))


def new_card(sandbox: RunningSandbox | None = None, **changes: Any) -> NewCard:
    given: dict[str, Any] = {
        "provider": ProviderName.JPMORGAN,
        "route": AddRoute.RAW_CARD,
        "secret": Secret("4012888888881881"),
        "brand": CardBrand.VISA,
        "expiry": Expiry(2031, 7),
        "first_name": "Ada",
        "last_name": "Example",
    }
    return NewCard(**given | changes)


def network_token(sandbox: RunningSandbox | None = None) -> NewCard:
    return new_card(route=AddRoute.NETWORK_TOKEN, secret=Secret("5555555555554444"), brand=CardBrand.MASTERCARD)


def wallet_payload(sandbox: RunningSandbox | None = None) -> NewCard:
    return NewCard(
        provider=ProviderName.JPMORGAN,
        route=AddRoute.WALLET_PAYLOAD,
        secret=Secret("encrypted by the wallet"),
        wallet=WalletKind.GOOGLE_PAY,
    )


def new_account(rail: BankRail, **changes: Any) -> NewBankAccount:
    own: dict[BankRail, dict[str, Any]] = {
        BankRail.ACH: {
            "secret": Secret("0888271156"),
            "routing_number": "122000247",
            "account_type": BankAccountType.CORPORATE_CHECKING,
        },
        BankRail.SEPA: {"secret": Secret("DE89370400440532013000"), "bic": "COBADEFFXXX"},
        BankRail.BACS: {"secret": Secret("31926819"), "sort_code": "601613"},
    }
    mandate = {} if rail is BankRail.ACH else {"mandate_id": "MND-1", "mandate_signed_on": "2025-06-30"}
    given = {"first_name": "Erika", "last_name": "Muster", "route": AddRoute.BANK_ACCOUNT, "rail": rail}
    return NewBankAccount(provider=ProviderName.JPMORGAN, **given | own[rail] | mandate | changes)


JPMORGAN = VaultCase(
    name=ProviderName.JPMORGAN,
    full_ref=CustomerRef(REF),
    empty_ref=None,  # a profile cannot be created without a method
    many_refs=[CustomerRef(load_customer(number).refs["jpmorgan"]) for number in range(1, 51)],
    unknown_ref=CustomerRef("UNKNOWN"),
    malformed_refs=[CustomerRef(ref) for ref in ("", "..", "../healthcheck", "PACJGQ/payment-methods", "é", "x" * 65)],
    unknown_method=MethodRef(demo_guid("nothing")),
    read_path=_PROFILE,
    write_path=f"{_PROFILE}/payment-methods",
    write_verb="POST",
    new_methods={
        "raw card": new_card,
        "card with address": lambda sandbox: new_card(billing_address=HOME),
        "inactive card": lambda sandbox: new_card(billing_address=HOME, address_labels=WORK, active=False),
        "wallet payload": wallet_payload,
        "network token": network_token,
        "ach": lambda sandbox: new_account(BankRail.ACH),
        "sepa": lambda sandbox: new_account(BankRail.SEPA),
        "bacs": lambda sandbox: new_account(BankRail.BACS),
    },
    sees_same_token=False,
    wrong_settings={"client_secret": "wrong"},
    changes={
        "expiry": MethodChange(expiry=Expiry(2033, 1)),
        "holder": MethodChange(holder=PersonName("Ann", "Doe")),
        "address": MethodChange(billing_address=HOME),
        "labelled address": MethodChange(billing_address=HOME, address_labels=AddressLabels(name="Home")),
        "inactive": MethodChange(active=False),
        "several": MethodChange(expiry=Expiry(2032, 12), holder=PersonName("Zoë", "O'Neil"), active=True),
    },
    settings={"raw_cards": True},
)
