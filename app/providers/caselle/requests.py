"""Builds the request bodies of Caselle's API. Bodies are exact, since unknown properties are rejected. Pure."""

from typing import Any, cast

from app.providers.caselle.mapping import TYPE_OF_ACCOUNT
from app.providers.caselle.wire import WireAchToSave, WireCreditToSave, WireMethodToSave
from app.vault.enums import CardBrand
from app.vault.model import NewBankAccount, NewCard, NewCustomer, NewMethod, holder_of


def from_customer(new: NewCustomer) -> dict[str, str]:
    """The body of ``POST /api/customers``: the name is one string; phone and address are not supported."""
    body = {"reference_id": new.external_id, "name": new.business_name or str(new.name), "email": new.email}
    return {name: value for name, value in body.items() if value}


def from_new(new: NewMethod) -> dict[str, WireMethodToSave]:
    """The body of ``POST /api/customers/{uid}/payment-methods``. Expects input checked by `faults_of_method`."""
    if isinstance(new, NewCard):
        return {"payment_method": {"payment_method_type": "credit", "credit": _credit(new)}}
    return {"payment_method": {"payment_method_type": "ach", "ach": _ach(new)}}


def _credit(new: NewCard) -> WireCreditToSave:
    found: dict[str, Any] = {
        "fingerprint": new.secret.reveal(),
        "last4": new.last4,
        "exp_month": new.expiry.month if new.expiry else None,
        "exp_year": new.expiry.year if new.expiry else None,
        "bin": new.bin,
        "card_brand": brand_word(new.brand),
        "holder_name": holder_of(new),
    }
    return cast("WireCreditToSave", present(found))


def _ach(new: NewBankAccount) -> WireAchToSave:
    found: dict[str, Any] = {
        "fingerprint": new.secret.reveal(),
        "routing_number": new.routing_number,
        "account_suffix": new.last4,
        "account_type": TYPE_OF_ACCOUNT.get(new.account_type) if new.account_type else None,
        "holder_name": holder_of(new),
    }
    return cast("WireAchToSave", present(found))


def present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def brand_word(brand: CardBrand | None) -> str | None:
    """`card_brand` of a brand; None if Caselle has no word for it."""
    return None if brand in (None, CardBrand.OTHER, CardBrand.UNKNOWN) else cast("CardBrand", brand).value
