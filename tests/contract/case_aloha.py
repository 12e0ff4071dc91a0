"""Aloha in the contract suite."""

from itertools import count
from typing import Any

from app.errors import RejectReason
from app.providers.aloha.settings import AlohaPaymentProvider
from app.sandbox.aloha.demo import UNLINKED
from app.sandbox.demo import ALEX, demo_guid, load_customer
from app.testing.case import VaultCase
from app.vault.enums import AddRoute, CardBrand, CustomerRef, MethodRef, ProviderName
from app.vault.model import Expiry, NewCard, NewCustomer, PersonName
from app.vault.secret import Secret
from tests.support.sandbox import RunningSandbox

_NUMBERS = count(1)


def new_card(sandbox: RunningSandbox, **changes: Any) -> NewCard:
    """Aloha's browser capture happens at the payment provider, so the token is made up."""
    given = {
        "provider": ProviderName.ALOHA,
        "route": AddRoute.PROVIDER_TOKEN,
        "secret": Secret(f"201:contract{next(_NUMBERS):08d}"),
        "payment_provider": AlohaPaymentProvider.CONNECTED_PAYMENTS,
        "masked_card_number": "555555******4444",
        "last4": "4444",
        "brand": CardBrand.MASTERCARD,
        "expiry": Expiry(2031, 7),
    }
    return NewCard(**given | changes)


def credit_call(sandbox: RunningSandbox) -> NewCard:
    return new_card(
        sandbox,
        payment_provider=AlohaPaymentProvider.CREDIT_CALL,
        secret=Secret(f"cc-{next(_NUMBERS)}"),
        brand=CardBrand.VISA,
    )


def freedom_pay(sandbox: RunningSandbox) -> NewCard:
    return new_card(
        sandbox,
        payment_provider=AlohaPaymentProvider.FREEDOM_PAY,
        secret=Secret(f"fp-{next(_NUMBERS)}"),
        brand=CardBrand.AMEX,
        holder_name="Ada Example",
    )


def new_customer(number: int) -> NewCustomer:
    return NewCustomer(
        external_id=f"contract-{number}",
        name=PersonName("Ada", "Example"),
        email=f"contract-{number}@example.com",
        phone="512 555 0100",
    )


ALOHA = VaultCase(
    name=ProviderName.ALOHA,
    full_ref=CustomerRef(ALEX.refs["aloha"]),
    empty_ref=CustomerRef(UNLINKED),
    many_refs=[CustomerRef(load_customer(number).refs["aloha"]) for number in range(1, 51)],
    unknown_ref=CustomerRef(demo_guid("unknown")),
    malformed_refs=[CustomerRef(ref) for ref in ("", "7", "../Company/BaseUri", f"{UNLINKED}/Payments")],
    unknown_method=MethodRef(demo_guid("nothing")),
    read_path="/v1/Customers/",
    write_path="/v1/Customers/Payment/Token",
    write_verb="PUT",
    new_methods={"connected": new_card, "credit call": credit_call, "freedom pay": freedom_pay},
    wrong_settings={"password": "wrong"},
    new_customer=new_customer,
    customer_path="/v1/Customers",
    second_create=RejectReason.DUPLICATE_CUSTOMER,
)
