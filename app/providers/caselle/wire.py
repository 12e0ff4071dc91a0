"""Wire types of Caselle's Payment API: the parts of customers and wallets that are read or written.

`fingerprint` (a token) and `routing_number` occur in some replies; they are left out here on purpose.
"""

from typing import Literal, TypedDict


class WireCredit(TypedDict, total=False):
    """`payment_method.credit`, page "Customers & wallets"; months and years are integers."""

    last4: str
    exp_month: int
    exp_year: int
    bin: str
    card_brand: str
    holder_name: str


class WireAch(TypedDict, total=False):
    """`payment_method.ach`; the page "Payments" names its parts in words only, so these names are assumed."""

    account_suffix: str
    last4: str
    account_type: str
    holder_name: str


class WirePaymentMethod(TypedDict, total=False):
    """The reply to a save lacks `payment_method_type`: the sub-object present determines it."""

    payment_method_type: str
    credit: WireCredit
    ach: WireAch


class WireSavedMethod(TypedDict, total=False):
    """One record of ``GET /api/customers/{uid}/payment-methods``; the last three fields are assumed."""

    saved_payment_method_uid: str
    payment_method: WirePaymentMethod
    is_default: bool
    status: str
    created_at: str


class WireCreditToSave(WireCredit):
    """The body for saving a card; `fingerprint` is the browser's 15-minute token."""

    fingerprint: str


class WireAchToSave(WireAch, total=False):
    fingerprint: str
    routing_number: str


class WireMethodToSave(TypedDict, total=False):
    payment_method_type: Literal["credit", "ach"]
    credit: WireCreditToSave
    ach: WireAchToSave
