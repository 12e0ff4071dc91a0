"""Reads Caselle's replies in their usual form: typed decoding, without a second look at any value.

`ordinary_wallet` gives what `mapping.to_wallet` gives, or None: then `mapping` must read the reply, which tolerates
every form that the vault might use. Members of type UnsetType must be absent.
"""

import re
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.http.message import VaultReply
from app.providers.caselle.mapping import ACCOUNT_TYPE, BRAND, NAME
from app.providers.values import bin_of, instant_of, last4_of, month_of
from app.vault.enums import BankRail, CustomerRef, MethodRef
from app.vault.model import BankAccount, Card, PaymentMethod, VaultWallet


class OrdinaryCredit(Struct):
    """A card as Caselle documents it; see `mapping.ordinary_wallet`."""

    last4: str
    exp_month: int
    exp_year: int
    card_brand: str
    holder_name: str = ""
    bin: str | None = None


class OrdinaryAch(Struct):
    account_suffix: str
    account_type: Literal["checking", "savings"]
    holder_name: str = ""


class OrdinaryMethod(Struct):
    payment_method_type: Literal["credit", "ach"]
    credit: OrdinaryCredit | None = None
    ach: OrdinaryAch | None = None


class OrdinaryRecord(Struct):
    """A saved method without anything that needs a second look: members of type UnsetType must be absent."""

    saved_payment_method_uid: str
    payment_method: OrdinaryMethod
    is_default: bool
    status: Literal["active"] | UnsetType = UNSET
    created_at: str | None = None
    active: UnsetType = UNSET
    is_active: UnsetType = UNSET
    enabled: UnsetType = UNSET
    customer_uid: UnsetType = UNSET
    customer_id: UnsetType = UNSET
    customer: UnsetType = UNSET


_LINKS_IN_HEAD: Final = re.compile(rb"\r\n(?i:link):([^\r]*)").findall
_ORDINARY: Final = msgspec.json.Decoder(list[OrdinaryRecord])
_encode: Final = msgspec.json.Encoder().encode


def content_of(reply: VaultReply) -> tuple[bytes, None] | None:
    """The members that `ordinary_wallet` reads; see `ReadContent`."""
    if reply.first_of(("link",), _LINKS_IN_HEAD) is not None:
        return None
    try:
        return _encode(_ORDINARY.decode(reply.body)), None
    except ValueError:
        return None


def ordinary_wallet(ref: CustomerRef, reply: VaultReply, request_id: str | None) -> VaultWallet | None:
    """As `to_wallet`, in a tenth of the calls, for the documented shape alone: a bare list whose records have flags for
    the default. None for anything else, which the tolerant functions must read.
    """
    try:
        records = _ORDINARY.decode(reply.body)
        methods = {record.saved_payment_method_uid: _ordinary(record, ref) for record in records}
    except (ValueError, KeyError):
        return None
    if not methods or len(methods) != len(records):
        return None
    return VaultWallet(provider=NAME, customer_ref=ref, methods=tuple(methods.values()), provider_request_id=request_id)


def _ordinary(record: OrdinaryRecord, ref: CustomerRef) -> PaymentMethod:
    """Raises ValueError or KeyError if a value is not in its usual form."""
    uid, method = record.saved_payment_method_uid, record.payment_method
    if not uid or uid.strip() != uid:
        raise ValueError("an unusual id")
    created_at = None if record.created_at is None else instant_of(record.created_at)
    card, account = method.credit, method.ach
    if method.payment_method_type == "credit" and card is not None:
        expiry = month_of(card.exp_year, card.exp_month)
        return Card(
            provider=NAME,
            customer_ref=ref,
            method_ref=MethodRef(uid),
            is_provider_default=record.is_default,
            created_at=created_at,
            holder_name=card.holder_name.strip() or None,
            last4=last4_of(card.last4),
            brand=BRAND[card.card_brand],
            expiry=expiry,
            bin=None if card.bin is None else bin_of(card.bin),
        )
    if account is None or method.payment_method_type == "credit":
        raise ValueError("no details")
    return BankAccount(
        provider=NAME,
        customer_ref=ref,
        method_ref=MethodRef(uid),
        is_provider_default=record.is_default,
        created_at=created_at,
        holder_name=account.holder_name.strip() or None,
        last4=_last4(account.account_suffix),
        rail=BankRail.ACH,
        account_type=ACCOUNT_TYPE[account.account_type],
    )


def _last4(shown: str) -> str:
    found = last4_of(shown)
    if found is None:
        raise ValueError("unusual digits")
    return found
