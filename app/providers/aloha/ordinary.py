"""Reads Aloha's replies in their usual form: typed decoding, without a second look at any value.

`ordinary_wallet` gives what `mapping.to_wallet` gives, or None: then `mapping` must read the reply, which tolerates
every form that the vault might use. Members of type UnsetType must be absent.
"""

from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from app.http.message import VaultReply
from app.providers.aloha.mapping import BRAND_OF_NUMBER, NAME, PROCESSOR_OF_NUMBER, is_lower_guid, masked_bin
from app.providers.values import last4_of, read_expiry, text
from app.vault.enums import CustomerRef, MethodRef
from app.vault.model import Address, Card, VaultWallet


class OrdinaryPayment(Struct):
    """A saved payment without anything that needs a second look: members of type UnsetType must be absent. See
    `mapping.ordinary_wallet`.
    """

    AccountId: str
    MethodType: int
    ProviderType: int
    ExpirationDate: str
    MaskedAccountNumber: str | None = None
    ZipCode: str | None = None
    CustomerId: UnsetType = UNSET
    id: UnsetType = field(default=UNSET, name="$id")
    ref: UnsetType = field(default=UNSET, name="$ref")


_ORDINARY: Final = msgspec.json.Decoder(list[OrdinaryPayment])
_encode: Final = msgspec.json.Encoder().encode


def content_of(reply: VaultReply) -> tuple[bytes, None] | None:
    """The members that `ordinary_wallet` reads; see `ReadContent`."""
    try:
        return _encode(_ORDINARY.decode(reply.body)), None
    except ValueError:
        return None


def ordinary_wallet(ref: CustomerRef, reply: VaultReply, request_id: str | None) -> VaultWallet | None:
    """As `to_wallet`, in a third of the calls, for the usual shape alone: a bare list of saved payments with GUIDs in
    lower case. None for anything else, which the tolerant functions must read.
    """
    try:
        payments = _ORDINARY.decode(reply.body)
        methods = {payment.AccountId: _ordinary(payment, ref) for payment in payments}
    except (ValueError, KeyError):
        return None
    if len(methods) != len(payments):
        return None
    return VaultWallet(provider=NAME, customer_ref=ref, methods=tuple(methods.values()), provider_request_id=request_id)


def _ordinary(payment: OrdinaryPayment, ref: CustomerRef) -> Card:
    """Raises ValueError or KeyError if a value is not in its usual form."""
    expiry, _ = read_expiry(payment.ExpirationDate)
    masked, zip_code = payment.MaskedAccountNumber, payment.ZipCode
    if expiry is None or not is_lower_guid(payment.AccountId):
        raise ValueError("an unusual value")
    postal_code = None if zip_code is None else text(zip_code)
    return Card(
        provider=NAME,
        customer_ref=ref,
        method_ref=MethodRef(payment.AccountId),
        brand=BRAND_OF_NUMBER[payment.MethodType],
        last4=None if masked is None else last4_of(masked),
        bin=masked_bin(masked),
        expiry=expiry,
        processor=PROCESSOR_OF_NUMBER[payment.ProviderType],
        billing_address=Address(postal_code=postal_code) if postal_code else None,
    )
