"""Caselle's records from its documentation, and their mapped form. Test cards only."""

from typing import Any

from app.vault.enums import BankAccountType, BankRail, CardBrand, CustomerRef, MethodRef, ProviderName
from app.vault.model import BankAccount, Card, Expiry

REF = CustomerRef("cus_88420")
CARD_REF = MethodRef("spm_01HZ")
ACCOUNT_REF = MethodRef("spm_02K1")


def wire_card(*, credit: dict[str, Any] | None = None, **fields: Any) -> Any:
    card = {
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2027,
        "bin": "411111",
        "card_brand": "VISA",
        "holder_name": "Alex Morales",
    }
    return {
        "saved_payment_method_uid": CARD_REF,
        "is_default": True,
        "payment_method": {"payment_method_type": "credit", "credit": card | (credit or {})},
    } | fields


def wire_account(*, ach: dict[str, Any] | None = None, **fields: Any) -> Any:
    account = {
        "routing_number": "122000247",
        "account_suffix": "1156",
        "account_type": "checking",
        "holder_name": "Alex Morales",
    }
    return {
        "saved_payment_method_uid": ACCOUNT_REF,
        "is_default": False,
        "payment_method": {"payment_method_type": "ach", "ach": account | (ach or {})},
    } | fields


CARD = Card(
    provider=ProviderName.CASELLE,
    customer_ref=REF,
    method_ref=CARD_REF,
    holder_name="Alex Morales",
    last4="4242",
    is_provider_default=True,
    brand=CardBrand.VISA,
    expiry=Expiry(2027, 12),
    bin="411111",
)
ACCOUNT = BankAccount(
    provider=ProviderName.CASELLE,
    customer_ref=REF,
    method_ref=ACCOUNT_REF,
    holder_name="Alex Morales",
    last4="1156",
    is_provider_default=False,
    rail=BankRail.ACH,
    account_type=BankAccountType.CHECKING,
)
