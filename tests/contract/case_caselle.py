"""Caselle in the contract suite."""

from typing import Any

from app.sandbox.demo import ALEX, load_customer
from app.testing.case import VaultCase
from app.vault.enums import AddRoute, BankAccountType, CardBrand, CustomerRef, MethodRef, ProviderName
from app.vault.model import Expiry, NewBankAccount, NewCard, NewCustomer, PersonName
from app.vault.secret import Secret
from tests.support.sandbox import RunningSandbox

REF = ALEX.refs["caselle"]
_METHODS = f"/api/customers/{REF}/payment-methods"


def new_card(sandbox: RunningSandbox, **changes: Any) -> NewCard:
    minted = sandbox.token(
        "caselle", "card", number="4012888888881881", exp_month=7, exp_year=2031, holder_name="Ada Example"
    )
    given: dict[str, Any] = {
        "provider": ProviderName.CASELLE,
        "route": AddRoute.PROVIDER_TOKEN,
        "secret": Secret(minted["token"]),
        "brand": CardBrand.VISA,
        "expiry": Expiry(2031, 7),
        "last4": minted["last4"],
        "bin": minted["bin"],
        "holder_name": "Ada Example",
    }
    return NewCard(**given | changes)


def new_bank(sandbox: RunningSandbox, **changes: Any) -> NewBankAccount:
    minted = sandbox.token(
        "caselle",
        "bank",
        number="000123450077",
        routing_number="122000247",
        account_type="savings",
        holder_name="Ada Example",
    )
    given: dict[str, Any] = {
        "provider": ProviderName.CASELLE,
        "route": AddRoute.PROVIDER_TOKEN,
        "secret": Secret(minted["token"]),
        "last4": minted["last4"],
        "routing_number": "122000247",
        "account_type": BankAccountType.SAVINGS,
        "holder_name": "Ada Example",
    }
    return NewBankAccount(**given | changes)


def new_customer(number: int) -> NewCustomer:
    return NewCustomer(
        external_id=f"contract-{number}", name=PersonName("Ada", "Example"), email=f"contract-{number}@example.com"
    )


CASELLE = VaultCase(
    name=ProviderName.CASELLE,
    full_ref=CustomerRef(REF),
    empty_ref=None,
    many_refs=[CustomerRef(load_customer(number).refs["caselle"]) for number in range(1, 51)],
    unknown_ref=CustomerRef("cus_nobody"),
    malformed_refs=[CustomerRef(ref) for ref in ("", "..", "../clients", "cus_1/payment-methods", "cus 1", "x" * 129)],
    unknown_method=MethodRef("spm_nothing"),
    read_path=_METHODS,
    write_path=_METHODS,
    write_verb="POST",
    new_methods={
        "credit": new_card,
        "credit of no named brand": lambda sandbox: new_card(sandbox, brand=CardBrand.OTHER, bin=None),
        "ach": new_bank,
    },
    sees_same_token=False,
    wrong_settings={"client_secret": "wrong"},
    new_customer=new_customer,
    customer_path="/api/customers",
)
