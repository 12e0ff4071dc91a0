"""Builds the request bodies of Aloha's API from the unified model. Pure except for a random password."""

import secrets
from typing import Any

from app.providers.aloha.mapping import CARD_TYPES, PROVIDER_TYPES
from app.providers.aloha.wire import AlohaAddress, AlohaCustomer, WireNewToken
from app.providers.values import digits, text
from app.vault.enums import CustomerRef
from app.vault.model import Address, Expiry, NewCard, NewCustomer


def mm_yy(expiry: Expiry) -> str:
    """`MM/YY` is valid under every reading of the page; a date with a day only under one."""
    return f"{expiry.month:02d}/{expiry.year % 100:02d}"


def from_card(ref: CustomerRef, new: NewCard) -> WireNewToken:
    """The body of PUT v1/Customers/Payment/Token. Expects a valid card; raises KeyError or ValueError otherwise."""
    if new.payment_provider is None or new.brand is None or new.expiry is None or new.masked_card_number is None:
        raise ValueError("a card with faults")
    return {
        "CustomerId": ref,
        "ProviderType": PROVIDER_TYPES[new.payment_provider],
        "MaskedCardNumber": new.masked_card_number.strip(),
        "ExpirationDate": mm_yy(new.expiry),
        "CardToken": new.secret.reveal().strip(),
        "CardType": CARD_TYPES[new.brand],
        "CardHolderName": text(new.holder_name),
    }


def from_raw_card(new: NewCard) -> dict[str, Any]:
    """The body of POST v1/Customers/{customerId}/Payments, `InPayment`. It contains a card number: only for `app.http`.

    ``MM/YY`` is said to be supported by the token call only, so the month is sent as its first day.
    """
    if new.brand is None or new.expiry is None:
        raise ValueError("a card with faults")
    return {
        "AccountNumber": digits(new.secret.reveal()),
        "ExpirationDate": f"{new.expiry.year:04d}-{new.expiry.month:02d}-01",
        "PaymentMethodType": CARD_TYPES[new.brand],
    }


def from_customer(new: NewCustomer) -> dict[str, Any]:
    """The body of PUT v1/Customers. Aloha requires a log-in: its password is random and not stored."""
    customer: AlohaCustomer = {
        "Email": (new.email or "").strip(),
        "FirstName": new.name.first.strip(),
        "LastName": new.name.last.strip(),
        "Addresses": [_from_address(new.address)] if new.address else [],
    }
    if new.business_name:
        customer["BusinessName"] = new.business_name
    if new.phone:
        customer["VoicePhone"] = new.phone.strip()
    return {
        "Customer": customer,
        "Password": f"Aa1-{secrets.token_urlsafe(24)}",
        "SecurityQuestion": secrets.token_urlsafe(12),
        "SecurityAnswer": secrets.token_urlsafe(12),
    }


def _from_address(address: Address) -> AlohaAddress:
    parts = {
        "AddressLine1": address.line1,
        "AddressLine2": address.line2,
        "City": address.city,
        "State": address.region,
        "Postal": address.postal_code,
    }
    wire: AlohaAddress = {"IsDefault": True}
    wire.update({name: value.strip() for name, value in parts.items() if value and value.strip()})  # type: ignore[typeddict-item]
    return wire
