"""Stripe's objects, spelled as Stripe spells them; only what is read. Source: Stripe API reference, 2024-06-20."""

from typing import TypedDict


class WireAddress(TypedDict):
    """Every part may be null."""

    line1: str | None
    line2: str | None
    city: str | None
    state: str | None
    postal_code: str | None
    country: str | None


class WireBillingDetails(TypedDict):
    name: str | None
    address: WireAddress | None


class WireWallet(TypedDict):
    type: str


class WireCard(TypedDict):
    """``card`` of a PaymentMethod: `exp_year` has four digits."""

    brand: str
    exp_month: int
    exp_year: int
    funding: str
    last4: str
    wallet: WireWallet | None


class WireBlocked(TypedDict):
    reason: str | None


class WireStatusDetails(TypedDict, total=False):
    blocked: WireBlocked | None


class WireBankAccount(TypedDict):
    """``us_bank_account`` of a PaymentMethod."""

    account_type: str | None
    bank_name: str | None
    last4: str | None
    status_details: WireStatusDetails | None


class WireInvoiceSettings(TypedDict):
    default_payment_method: str | None


class WireCustomer(TypedDict):
    """A deleted customer has `id` and `deleted` alone."""

    id: str
    deleted: bool
    invoice_settings: WireInvoiceSettings


class WirePaymentMethod(TypedDict):
    """`customer` is an id, or the whole object where the request expands it. `created` is in seconds since 1970."""

    id: str
    object: str
    type: str
    created: int
    customer: WireCustomer | str | None
    billing_details: WireBillingDetails
    card: WireCard
    us_bank_account: WireBankAccount


class WireError(TypedDict):
    """``error`` of every reply that is no success. `param` names the parameter that is wrong."""

    type: str
    code: str
    param: str
    message: str


class WireList(TypedDict):
    """A page of PaymentMethods; the next one starts after the last `id` of `data`."""

    object: str
    data: list[WirePaymentMethod]
    has_more: bool
