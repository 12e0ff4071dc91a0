"""Checks what Aloha would refuse, before anything is sent. Pure."""

import re
from collections.abc import Collection
from typing import Final

from app.errors import FieldFault
from app.providers.aloha.mapping import CARD_TYPES
from app.providers.aloha.settings import AlohaPaymentProvider
from app.providers.base import PAN_NOT_ALLOWED, fault, required, unsupported
from app.providers.values import digits, text
from app.vault.model import NewCard, NewCustomer

_MASK: Final = "*xX●"
_CONNECTED_NUMBER: Final = re.compile(r"\d{6}[*xX●]+\d{4}")
_CONNECTED_TOKEN: Final = re.compile(r"\d{3}:.+")
_CARD_NUMBER: Final = re.compile(r"[0-9]{13,19}")
_EMAIL: Final = re.compile(r"\w+(?:[-+.']\w+)*@\w+(?:[-.]\w+)*\.\w+(?:[-.]\w+)*")


def faults_of_customer(new: NewCustomer) -> list[FieldFault]:
    faults: list[FieldFault] = []
    for part in ("first", "last"):
        value = text(getattr(new.name, part))
        if value is None:
            message = "Aloha needs a first and a last name, also of a business's contact."
            faults.append(required("name", part, message=message))
        elif len(value) > 100:
            faults.append(fault("name", part, message="Aloha stores at most 100 characters of a name."))
    if len(new.business_name or "") > 100:
        faults.append(fault("business_name", message="Aloha stores at most 100 characters of a business's name."))
    email = text(new.email)
    if email is None:
        faults.append(required("email", message="Aloha needs an e-mail address."))
    elif len(email) > 256 or not _EMAIL.fullmatch(email):
        faults.append(fault("email", message="This is not an e-mail address that Aloha accepts."))
    if new.phone and (len(new.phone.strip()) > 30 or not digits(new.phone)):
        faults.append(fault("phone", message="A phone number has digits, and at most 30 characters."))
    return faults


def faults_of_card(new: NewCard, enabled: Collection[str]) -> list[FieldFault]:
    """Every rule of the token call. `enabled` are the payment providers that the company is set up for."""
    return [
        *_faults_of_provider(new, enabled),
        *_faults_of_token(new),
        *_faults_of_number(new),
        *_faults_of_expiry(new),
        *_faults_of_brand(new),
        *_faults_of_extras(new),
    ]


def faults_of_raw_card(new: NewCard) -> list[FieldFault]:
    """The rules of the call that replaces all of the customer's methods by this card."""
    faults: list[FieldFault] = []
    if not new.replace_existing:
        message = "Aloha cannot add a card number: this call replaces all methods. Allow it: `replaceExisting: true`."
        faults.append(unsupported("replace_existing", message=message))
    if not _CARD_NUMBER.fullmatch(re.sub(r"[ -]", "", new.secret.reveal())):
        faults.append(fault("secret", message="A card number has 13 to 19 digits."))
    if text(new.holder_name) is not None:
        faults.append(unsupported("holder_name", message="Aloha stores no holder with a card number."))
    return [*faults, *_faults_of_expiry(new), *_faults_of_brand(new), *_faults_of_extras(new)]


def _faults_of_provider(new: NewCard, enabled: Collection[str]) -> list[FieldFault]:
    if new.payment_provider is None:
        return [required("payment_provider")]
    if new.payment_provider.value not in enabled:
        return [unsupported("payment_provider", message="This company is not set up for that payment provider.")]
    return []


def _faults_of_token(new: NewCard) -> list[FieldFault]:
    token = new.secret.reveal().strip()
    if not token:
        return [required("secret", message="The token is missing.")]
    is_connected = new.payment_provider is AlohaPaymentProvider.CONNECTED_PAYMENTS
    if is_connected and not _CONNECTED_TOKEN.fullmatch(token):
        return [fault("secret", message="A Connected Payments token is its three-digit type, a colon, its value.")]
    return []


def _faults_of_number(new: NewCard) -> list[FieldFault]:
    """Aloha ignores all but digits and mask characters. At most eight leading and four final digits may be unmasked."""
    masked = text(new.masked_card_number)
    if masked is None:
        return [required("masked_card_number")]
    kept = "".join(char for char in masked if char in _MASK or char in "0123456789")
    if len(digits(kept)) > (12 if len(kept) > len(digits(kept)) else 11):
        return [fault("masked_card_number", code=PAN_NOT_ALLOWED, message="Mask the middle of the card number.")]
    if new.payment_provider is AlohaPaymentProvider.CONNECTED_PAYMENTS and not _CONNECTED_NUMBER.fullmatch(kept):
        message = "Connected Payments needs the first six digits, mask characters, and the last four digits."
        return [fault("masked_card_number", message=message)]
    return []


def _faults_of_expiry(new: NewCard) -> list[FieldFault]:
    if new.expiry is None:
        return [required("expiry")]
    if not 2000 <= new.expiry.year <= 2099:
        return [fault("expiry", message="Aloha accepts two-digit years of this century.")]
    return []


def _faults_of_brand(new: NewCard) -> list[FieldFault]:
    if new.brand is None:
        return [required("brand")]
    return [] if new.brand in CARD_TYPES else [unsupported("brand", message="Aloha has no number for this brand.")]


def _faults_of_extras(new: NewCard) -> list[FieldFault]:
    faults: list[FieldFault] = []
    if new.payment_provider is AlohaPaymentProvider.FREEDOM_PAY and text(new.holder_name) is None:
        faults.append(required("holder_name", message="FreedomPay needs the holder's name."))
    if new.billing_address is not None:
        faults.append(unsupported("billing_address", message="Aloha stores no billing address with a token."))
    if new.is_secondary:
        faults.append(unsupported("is_secondary", message="Aloha has no secondary method."))
    if new.authenticate is not None:
        faults.append(unsupported("authenticate", message="Aloha has no 3-D Secure."))
    return faults
