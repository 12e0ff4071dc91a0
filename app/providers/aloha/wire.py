"""Wire types of Aloha Online Ordering, spelled as on its help pages. Enums are sent as numbers or as names."""

from typing import TypedDict

WireEnum = int | str


class WirePayment(TypedDict, total=False):
    """`CustomerPayment` (GET v1/Customers/{customerId}/Payments); `ConsumerPaymentMethod` is the same.

    `AccountNumber` is the token, `SecurityCode` is unused: neither is ever mapped.
    """

    AccountId: str
    MethodType: WireEnum | None
    AccountNumber: str | None
    ExpirationDate: str | None
    SecurityCode: str | None
    ZipCode: str | None
    MaskedAccountNumber: str | None
    MaskedExpirationDate: str | None
    ProviderType: WireEnum | None


class WireNewToken(TypedDict):
    """`CustomerCreditCardTokenHeader` (PUT v1/Customers/Payment/Token)."""

    CustomerId: str
    ProviderType: int
    MaskedCardNumber: str
    ExpirationDate: str
    CardToken: str
    CardType: int
    CardHolderName: str | None


class AlohaAddress(TypedDict, total=False):
    """`CustomerAddress`: `IsDefault` refers to addresses, not to cards."""

    IsDefault: bool
    AddressLine1: str
    AddressLine2: str
    City: str
    State: str
    Postal: str


class AlohaCustomer(TypedDict, total=False):
    """`Customer`. `Addresses` is required and may be empty."""

    CustomerId: str | None
    Email: str
    FirstName: str
    LastName: str
    BusinessName: str
    VoicePhone: str
    Addresses: list[AlohaAddress]
