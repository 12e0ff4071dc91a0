"""Wire types of LoanPro's LMS. Any link may be `{"__deferred": {...}}` instead of its object."""

from typing import Any, NotRequired, TypedDict

Flag = int | str
"""0 or 1; some tenants send text."""


class LoanProAddress(TypedDict, total=False):
    """`Entity.Address`: `state` is ``geo.state.CA``, `country` is ``company.country.usa``."""

    address1: str | None
    address2: str | None
    city: str | None
    state: str | None
    zipcode: str | None
    country: str | None


class WireCheckingAccount(TypedDict, total=False):
    """`Entity.CheckingAccount`. The holder of a bank account is named `cardHolderName` too."""

    id: int
    token: str
    accountType: str | None
    accountNumber: str | None
    routingNumber: str | None
    branchNumber: str | None
    institutionNumber: str | None
    bankName: str | None
    cardHolderName: str | None
    created: str | None
    Address: LoanProAddress | dict[str, Any] | None


class WireCreditCard(TypedDict, total=False):
    """`Entity.CreditCard`: every detail may be missing, and the format of `cardExpiration` is not published."""

    id: int
    token: str
    cardNumber: str | None
    cardType: str | None
    cardExpiration: str | None
    cardHolderName: str | None
    address1: str | None
    city: str | None
    state: str | None
    zipcode: str | None
    country: str | None
    created: str | None


class WirePaymentAccount(TypedDict, total=False):
    """`Entity.PaymentAccount`, a payment profile ('Get Payment Profiles')."""

    id: int | str
    entityId: int | str | None
    title: str | None
    type: str
    isPrimary: Flag
    isSecondary: Flag
    active: Flag
    visible: Flag
    isPaymentAllowed: Flag
    creditCardId: int | str | None
    checkingAccountId: int | str | None
    CheckingAccount: WireCheckingAccount | dict[str, Any] | None
    CreditCard: WireCreditCard | dict[str, Any] | None


WireElement = TypedDict(
    "WireElement",
    {
        "id": NotRequired[int],
        "__id": NotRequired[int],
        "__update": NotRequired[bool],
        "active": NotRequired[int],
        "isPrimary": NotRequired[int],
        "isSecondary": NotRequired[int],
        "title": NotRequired[str],
        "type": NotRequired[str],
        "CheckingAccount": NotRequired[dict[str, str]],
        "CreditCard": NotRequired[dict[str, str]],
    },
)
"""One element of a customer PUT: without `__id` and `__update` it creates, with both it updates."""
