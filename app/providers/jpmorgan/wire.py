"""Wire types of the Consumer Profile Management API 2.4.2: the parts that are read or written.

All reply fields are optional: the OpenAPI file marks none as required that its own examples show. `accountNumber`,
`internationalBankAccountNumber` and `bankSortCode` are left out of the replies on purpose.
"""

from typing import TypedDict


class WireAuthenticationResult(TypedDict, total=False):
    """Schema `authenticationResult`: where to send the shopper while a card's 3-D Secure is pending."""

    authenticationId: str
    authenticationOrchestrationUrl: str
    authenticationReturnUrl: str


class WireVerificationResult(TypedDict, total=False):
    """Schema `verificationResult`: `messages.responseStatus` is SUCCESS or ERROR."""

    transactionDate: str
    transactionId: str
    messages: "WireMessages"


class WireMethod(TypedDict, total=False):
    """The reply fields that cards and the three kinds of bank account share."""

    paymentMethodId: str
    accountStatus: str
    firstName: str
    middleName: str
    lastName: str
    addressIdentifier: str
    verificationResult: WireVerificationResult


class WireCard(WireMethod, total=False):
    """Schema `card`; `cardExpirationMonthYearNumber` is ``MM/YYYY``."""

    cardExpirationMonthYearNumber: str
    last4CardNumber: str
    first6CardNumber: str
    cardType: str
    accountNumberType: str
    walletProvider: str
    authenticationResult: WireAuthenticationResult


class WireMandate(TypedDict, total=False):
    """Schema `mandate`; the date is ``YYYY-MM-DD``, and the reference is J.P. Morgan's."""

    mandateId: str
    mandateType: str
    mandateSignatureDate: str
    mandateReferenceId: str


class WireBankAccount(WireMethod, total=False):
    """Schemas `ach`, `sepa`, `bacs`; only ACH has an account type and micro entries, and only it has no mandates."""

    last4AccountNumber: str
    accountType: str
    isTransactionMicroEntry: bool
    mandateList: list[WireMandate]


class JpMorganAddress(TypedDict, total=False):
    """Schemas `address` (with an identifier) and `consumerProfileAddress` (without); country is alpha-3."""

    addressIdentifier: str
    firstName: str
    lastName: str
    consumerAssignedAddressName: str
    primaryAddressIndicator: bool
    addressType: str
    line1: str
    line2: str
    city: str
    state: str
    postalCode: str
    countryCode: str
    addressStatus: str


class WirePhone(TypedDict, total=False):
    """Schema `phone`; the country code is the dialling prefix."""

    phoneNumber: str
    countryCode: str
    phoneNumberType: str
    communicationIdentifier: str


class WireEmail(TypedDict, total=False):
    """Schema `email`."""

    emailAddress: str
    emailAddressType: str
    communicationIdentifier: str


class WireAuthenticationDetails(TypedDict, total=False):
    """Schema `cardAuthenticationDetails`: `responseStatus` is SUCCESS, DENIED or ERROR; `hostMessage` may be blank."""

    transactionIdentifier: str
    responseStatus: str
    responseCode: str
    responseMessage: str
    hostMessage: str
    transactionDate: str
    authenticationId: str


class WireStatus(TypedDict, total=False):
    """Schema `consumerProfileIdResponse`, the reply of ``.../payment-methods/{id}/status``."""

    requestId: str
    consumerProfileId: str
    cardAuthenticationDetails: WireAuthenticationDetails


class WireValidationError(TypedDict, total=False):
    """Schema `validationMessage`; `entity` names the field, e.g. ``cardList[0].cardType``."""

    code: str
    message: str
    entity: str


class WireMessages(TypedDict, total=False):
    """Schema `messages`, the body of every error but 401."""

    responseStatus: str
    responseCode: str
    responseMessage: str
    validationErrors: list[WireValidationError]
