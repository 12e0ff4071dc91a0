"""Stripe's PaymentMethods to the unified model. Pure: no I/O, no clock, no settings."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from app.providers.base import collect_methods, records_of
from app.providers.lists import Page
from app.providers.values import instant_of, last4_of, postal_code_of, read_month, text, word
from app.vault.enums import (
    BankAccountType,
    BankRail,
    CardBrand,
    CardFunding,
    CustomerRef,
    MethodRef,
    PaymentMethodStatus,
    ProviderName,
    WalletKind,
)
from app.vault.model import Address, BankAccount, BeforeAdd, Card, OtherMethod, PaymentMethod, VaultWallet
from vaultgraph_stripe.wire import WireBankAccount, WireBillingDetails, WireCard, WireCustomer, WirePaymentMethod

NAME: Final = ProviderName("stripe")

_CUSTOMER: Final = re.compile(r"cus_[A-Za-z0-9]{1,250}")
_METHOD: Final = re.compile(r"[a-z]{2,8}_[A-Za-z0-9_]{1,245}")  # also `card_` and `src_`, of older integrations
_BRAND: Final = {
    "visa": CardBrand.VISA,
    "mastercard": CardBrand.MASTERCARD,
    "amex": CardBrand.AMEX,
    "discover": CardBrand.DISCOVER,
    "jcb": CardBrand.JCB,
    "diners": CardBrand.DINERS,
    "unionpay": CardBrand.UNIONPAY,
    "unknown": CardBrand.UNKNOWN,
}
_FUNDING: Final = {
    "credit": CardFunding.CREDIT,
    "debit": CardFunding.DEBIT,
    "prepaid": CardFunding.PREPAID,
}
_WALLET: Final = {"apple_pay": WalletKind.APPLE_PAY, "google_pay": WalletKind.GOOGLE_PAY}
_ACCOUNT_TYPE: Final = {"checking": BankAccountType.CHECKING, "savings": BankAccountType.SAVINGS}


def is_customer_ref(ref: str) -> bool:
    return _CUSTOMER.fullmatch(ref) is not None


def is_method_ref(ref: str) -> bool:
    return _METHOD.fullmatch(ref) is not None


def to_page(body: Any, query: Sequence[tuple[str, str]]) -> Page:
    """One page of the answer to `query`. Raises KeyError or ValueError for what is no list."""
    if body["object"] != "list":
        raise ValueError("not a list")
    records = records_of(body["data"])
    if not body["has_more"]:
        return Page(records)
    return Page(records, has_more=True, next_query=urlencode([*query, ("starting_after", records[-1]["id"])]))


def customers_in(records: Iterable[Any]) -> list[str]:
    """The customers that a list names; it is a list of one customer's PaymentMethods."""
    return [found for record in records if (found := customer_in(record)) is not None]


def customer_in(wire: Any) -> str | None:
    """The customer of a PaymentMethod; None where it is attached to none."""
    customer = wire["customer"]
    found: str | None = customer["id"] if isinstance(customer, dict) else customer
    return found


def default_in(wire: Any) -> str | None:
    """The default of a customer."""
    found: str | None = wire["invoice_settings"]["default_payment_method"]
    return found


def to_wallet(ref: CustomerRef, records: Sequence[Any], truncated: bool) -> VaultWallet:
    methods, skipped = collect_methods(records, lambda wire: to_method(ref, wire))
    return VaultWallet(provider=NAME, customer_ref=ref, methods=methods, skipped=skipped, truncated=truncated)


def to_before(records: Sequence[Any], token: str) -> BeforeAdd:
    """Before an add. A PaymentMethod's id is its token, so that one that is there already is seen."""
    refs = frozenset(MethodRef(wire["id"]) for wire in records)
    default = default_in(records[0]["customer"]) if records else None
    return BeforeAdd(
        method_refs=refs,
        duplicate_of=MethodRef(token) if token in refs else None,
        default_ref=MethodRef(default) if default in refs else None,
    )


def to_method(ref: CustomerRef, wire: WirePaymentMethod) -> PaymentMethod:
    """Read one PaymentMethod of a list that expands ``data.customer``.

    Raises KeyError or TypeError where the customer, and with it the default, is missing.
    """
    customer: Any = wire["customer"]
    details = wire["billing_details"]
    common: dict[str, Any] = {
        "provider": NAME,
        "customer_ref": ref,
        "method_ref": MethodRef(wire["id"]),
        "holder_name": text(details.get("name")),
        "billing_address": _to_address(details),
        "is_provider_default": default_in(customer) == wire["id"],
        "created_at": instant_of(wire["created"]),
    }
    if wire["type"] == "card":
        return _to_card(wire["card"], common)
    if wire["type"] == "us_bank_account":
        return _to_bank_account(wire["us_bank_account"], common)
    return OtherMethod(provider_kind=word(wire["type"]) or "unknown", **common)


def _to_card(wire: WireCard, common: dict[str, Any]) -> Card:
    expiry, is_unreadable = read_month(wire["exp_month"], wire["exp_year"])
    wallet = wire.get("wallet")
    return Card(
        brand=_BRAND.get(wire["brand"], CardBrand.OTHER),
        funding=_FUNDING.get(wire["funding"], CardFunding.UNKNOWN),
        wallet=_WALLET.get(wallet["type"], WalletKind.OTHER) if wallet else None,
        expiry=expiry,
        has_unreadable_expiry=is_unreadable,
        last4=last4_of(wire["last4"]),
        **common,
    )


def _to_bank_account(wire: WireBankAccount, common: dict[str, Any]) -> BankAccount:
    """A blocked account has ``status_details.blocked`` with a reason, e.g. ``bank_account_closed``."""
    details = wire.get("status_details")
    blocked = details.get("blocked") if details else None
    return BankAccount(
        rail=BankRail.ACH,
        account_type=_ACCOUNT_TYPE.get(wire["account_type"] or "", BankAccountType.UNKNOWN),
        bank_name=text(wire["bank_name"]),
        last4=last4_of(wire["last4"]),
        status=PaymentMethodStatus.SUSPENDED if blocked else PaymentMethodStatus.ACTIVE,
        status_detail=word(blocked["reason"]) if blocked else None,
        **common,
    )


def _to_address(wire: WireBillingDetails) -> Address | None:
    given: Mapping[str, Any] = wire.get("address") or {}
    address = Address(
        line1=text(given.get("line1")),
        line2=text(given.get("line2")),
        city=text(given.get("city")),
        region=text(given.get("state")),
        postal_code=postal_code_of(given.get("postal_code")),
        country=text(given.get("country")),
    )
    return None if address == Address() else address


def is_deleted(wire: WireCustomer) -> bool:
    return wire.get("deleted") is True
