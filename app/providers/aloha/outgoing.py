"""Our wishes in Aloha's words, the rules they must keep, and Aloha's refusals in ours. Pure but for a password."""

import re
import secrets
from collections.abc import Collection
from typing import Any, Final

import orjson

from app.errors import FieldFault, RejectReason, VaultError
from app.http.message import Effect, VaultReply
from app.providers.aloha.mapping import CARD_TYPES, NAME, PROVIDER_TYPES, to_customer_ref, to_guid_answer
from app.providers.aloha.wire import WireAddress, WireCustomer, WireNewToken
from app.providers.support import PAN_NOT_ALLOWED, digits, failed_reply, fault, required, text, unsupported
from app.providers.write_outcome import WriteAnswers
from app.vault.model import Address, Expiry, NewCard, NewCustomer
from app.vault.names import AlohaPaymentProvider, CustomerRef

_MASK: Final = "*xX●"
_CONNECTED_NUMBER: Final = re.compile(r"\d{6}[*xX●]+\d{4}")
_CONNECTED_TOKEN: Final = re.compile(r"\d{3}:.+")
_EMAIL: Final = re.compile(r"\w+(?:[-+.']\w+)*@\w+(?:[-.]\w+)*\.\w+(?:[-.]\w+)*")
_CODE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


def mm_yy(expiry: Expiry) -> str:
    """`MM/YY` is valid under every reading of the page; a date with a day is so only under one."""
    return f"{expiry.month:02d}/{expiry.year % 100:02d}"


def from_card(ref: CustomerRef, new: NewCard) -> WireNewToken:
    """The body of PUT v1/Customers/Payment/Token. Expects a card without faults; raises KeyError or ValueError else."""
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


def from_customer(new: NewCustomer) -> dict[str, Any]:
    """The body of PUT v1/Customers. Aloha demands a log-in: its password is made up here and kept by nobody."""
    customer: WireCustomer = {
        "Email": (new.email or "").strip(),
        "FirstName": new.name.first.strip(),
        "LastName": new.name.last.strip(),
        "Addresses": [_from_address(new.address)] if new.address else [],
    }
    if new.phone:
        customer["VoicePhone"] = new.phone.strip()
    return {
        "Customer": customer,
        "Password": f"Aa1-{secrets.token_urlsafe(24)}",
        "SecurityQuestion": secrets.token_urlsafe(12),
        "SecurityAnswer": secrets.token_urlsafe(12),
    }


def _from_address(address: Address) -> WireAddress:
    parts = {
        "AddressLine1": address.line1,
        "AddressLine2": address.line2,
        "City": address.city,
        "State": address.region,
        "Postal": address.postal_code,
    }
    wire: WireAddress = {"IsDefault": True}
    wire.update({name: value.strip() for name, value in parts.items() if value and value.strip()})  # type: ignore[typeddict-item]
    return wire


# ---- rules, before anything is sent -------------------------------------------------------------------------


def faults_of_customer(new: NewCustomer) -> list[FieldFault]:
    faults: list[FieldFault] = []
    for part in ("first", "last"):
        value = text(getattr(new.name, part))
        if value is None:
            faults.append(required("name", part))
        elif len(value) > 100:
            faults.append(fault("name", part, message="Aloha keeps at most 100 characters of a name."))
    email = text(new.email)
    if email is None:
        faults.append(required("email", message="Aloha needs an e-mail address."))
    elif len(email) > 256 or not _EMAIL.fullmatch(email):
        faults.append(fault("email", message="Aloha does not take this for an e-mail address."))
    if new.phone and (len(new.phone.strip()) > 30 or not digits(new.phone)):
        faults.append(fault("phone", message="A phone number has digits, and at most 30 characters."))
    return faults


def faults_of_card(new: NewCard, enabled: Collection[str]) -> list[FieldFault]:
    """Every rule of the token call. `enabled` are the payment providers for which the company is set up."""
    return [
        *_faults_of_provider(new, enabled),
        *_faults_of_token(new),
        *_faults_of_number(new),
        *_faults_of_expiry(new),
        *_faults_of_brand(new),
        *_faults_of_extras(new),
    ]


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
    """Aloha ignores all but digits and mask characters. At most eight leading and four last digits may be open."""
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
        return [fault("expiry", message="Aloha takes two-digit years of this century.")]
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
        faults.append(unsupported("billing_address", message="Aloha keeps no billing address with a token."))
    if new.is_secondary:
        faults.append(unsupported("is_secondary", message="Aloha knows no secondary method."))
    if new.authenticate is not None:
        faults.append(unsupported("authenticate", message="Aloha has no 3-D Secure."))
    return faults


# ---- refusals -----------------------------------------------------------------------------------------------

_FIELDS: Final = {
    "customerid": (),
    "providertype": ("payment_provider",),
    "maskedcardnumber": ("masked_card_number",),
    "expirationdate": ("expiry",),
    "cardtoken": ("secret",),
    "cardtype": ("brand",),
    "cardholdername": ("holder_name",),
    "email": ("email",),
    "firstname": ("name", "first"),
    "lastname": ("name", "last"),
    "voicephone": ("phone",),
}


def _is_guid(body: Any) -> bool:
    return bool(to_guid_answer(body))


def _is_customer(body: Any) -> bool:
    return bool(to_customer_ref(body))


def _is_error(body: Any) -> bool:
    """ASP.NET's own shape: the help pages give names of errors and no body."""
    return isinstance(body["Message"], str)


def _is_duplicate(body: Any) -> bool:
    return str(body["Message"]).strip() == "DuplicateKey"


TOKEN_ADDED: Final = WriteAnswers(applied={200: _is_guid, 201: _is_guid}, refused={400: _is_error})
"""``PUT v1/Customers/Payment/Token``: a GUID, else BadRequest or InternalServerError."""
CUSTOMER_CREATED: Final = WriteAnswers(
    applied={200: _is_customer, 201: _is_customer}, refused={400: _is_error, 409: _is_duplicate}
)
"""``PUT v1/Customers``: ``CustomerResults``, else BadRequest or DuplicateKey."""


def refusal(reply: VaultReply, effect: Effect) -> VaultError:
    """What a reply other than success means. The body is unpublished; ASP.NET's `Message` and `ModelState` are read.

    Its words are matched, never kept: fields come back as ours, with our message.
    """
    message, fields, code = _read_error(reply)
    named = set(fields)
    faults = [
        fault(*_FIELDS[name], message="The vault does not accept it.")
        for name in dict.fromkeys(fields)
        if _FIELDS[name]
    ]
    reason = _reason(reply.status, message, named)
    return failed_reply(NAME, reply, effect, reason, code, faults if reason is not RejectReason.CONTRACT else ())


def _reason(status: int, message: str, named: set[str]) -> RejectReason:
    if "duplicatekey" in message and status in (400, 409):
        return RejectReason.DUPLICATE_CUSTOMER
    if (status == 404 and "notfound" in message) or (status == 400 and "customerid" in named):
        return RejectReason.CUSTOMER_NOT_FOUND
    if status == 409:
        return RejectReason.CONFLICT
    if status != 400:
        return RejectReason.CONTRACT
    if named == {"providertype"}:
        return RejectReason.NOT_ENABLED
    return RejectReason.TOKEN_INVALID if named == {"cardtoken"} else RejectReason.INVALID_INPUT


def _read_error(reply: VaultReply) -> tuple[str, list[str], str | None]:
    """`Message` without blanks in lower case, the fields of `ModelState` we know, and a code where `Message` is one."""
    try:
        body = reply.json()
    except orjson.JSONDecodeError:
        return "", [], None
    if isinstance(body, str):
        body = {"Message": body}
    if not isinstance(body, dict):
        return "", [], None
    message, state = body.get("Message"), body.get("ModelState")
    message = message.strip() if isinstance(message, str) else ""
    leaves = [str(key).rsplit(".", 1)[-1].lower() for key in state] if isinstance(state, dict) else []
    code = message if _CODE.fullmatch(message) else None
    return re.sub(r"\s", "", message).lower(), [leaf for leaf in leaves if leaf in _FIELDS], code
