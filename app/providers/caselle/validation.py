"""Checks what Caselle would refuse, before anything is sent. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from app.errors import FieldFault
from app.providers.base import fault, required, unsupported
from app.providers.caselle.mapping import TYPE_OF_ACCOUNT
from app.vault.enums import BankRail
from app.vault.model import NewBankAccount, NewCard, NewCustomer, NewMethod, holder_of

_LAST4: Final = re.compile(r"[0-9]{4}")
_BIN: Final = re.compile(r"[0-9]{6,8}")
_ROUTING: Final = re.compile(r"[0-9]{9}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def faults_of_method(new: NewMethod) -> list[FieldFault]:
    """All faults of a new method. Input that Caselle has no property for is refused, not dropped."""
    return [*_faults_of_any(new), *(_faults_of_card(new) if isinstance(new, NewCard) else _faults_of_account(new))]


def _faults_of_any(new: NewMethod) -> Iterator[FieldFault]:
    if not new.secret:
        yield required("secret", message="Caselle needs the token that the browser captured.")
    if new.last4 is None:
        yield required("last4", message="Caselle needs the final four digits.")
    elif _LAST4.fullmatch(new.last4) is None:
        yield fault("last4", message="last4 must be four digits.")
    if not (holder_of(new) or "").strip():
        yield required("holder_name", message="Caselle needs the holder's name.")
    if new.title is not None:
        yield unsupported("title", message="Caselle stores no title for a payment method.")
    if new.is_secondary:
        yield unsupported("is_secondary", message="Caselle has no secondary payment method.")
    if new.billing_address is not None:
        yield unsupported("billing_address", message="Caselle stores no address for a payment method.")


def _faults_of_card(new: NewCard) -> Iterator[FieldFault]:
    if new.expiry is None:
        yield required("expiry", message="Caselle needs the month of expiry.")
    yield from faults_of_bin(new.bin)
    if new.authenticate is not None:
        yield unsupported("authenticate", message="Caselle performs no 3-D Secure.")


def _faults_of_account(new: NewBankAccount) -> Iterator[FieldFault]:
    if new.rail is not BankRail.ACH:
        yield unsupported("rail", message="Caselle stores ACH accounts only.")
    if new.routing_number is None:
        yield required("routing_number", message="An ACH account needs its routing number.")
    else:
        yield from faults_of_routing_number(new.routing_number)
    if new.account_type is None:
        yield required("account_type", message="An ACH account needs its type.")
    elif new.account_type not in TYPE_OF_ACCOUNT:
        yield fault("account_type", message="Caselle accepts checking and savings accounts.")


def faults_of_bin(value: str | None) -> Iterator[FieldFault]:
    if value is not None and _BIN.fullmatch(value) is None:
        yield fault("bin", message="A BIN has 6 to 8 digits.")


def faults_of_routing_number(value: str) -> Iterator[FieldFault]:
    if _ROUTING.fullmatch(value) is None:
        yield fault("routing_number", message="A routing number has nine digits.")


def faults_of_new_customer(new: NewCustomer) -> list[FieldFault]:
    """`external_id` becomes `reference_id`: 1 to 255 characters, case-sensitive. Phone and address are not sent."""
    faults: list[FieldFault] = []
    if not new.external_id.strip():
        faults.append(required("external_id", message="Caselle needs a key for its customer."))
    elif len(new.external_id) > 255:
        faults.append(fault("external_id", message="Caselle accepts keys of up to 255 characters."))
    if new.email and _EMAIL.fullmatch(new.email) is None:
        faults.append(fault("email", message="This is not an e-mail address."))
    return faults
