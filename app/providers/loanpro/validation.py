"""Checks what LoanPro would refuse, before anything is sent. Pure."""

import re
from typing import Final

from app.errors import FieldFault
from app.providers.base import fault, required, unsupported
from app.providers.countries import alpha2
from app.providers.loanpro.requests import ACCOUNT_TITLES, state_of
from app.providers.values import digits, text
from app.vault.enums import BankRail
from app.vault.model import Address, MethodChange, NewBankAccount, NewCustomer, NewMethod

TITLE_LIMIT: Final = 100
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
_STATE: Final = re.compile(r"[A-Z]{2}")
_NEEDS_STATE: Final = ("US", "CA")


def faults_of_customer(new: NewCustomer) -> list[FieldFault]:
    both = "LoanPro needs a first and a last name, also of a business's contact."
    faults = [required("name", part, message=both) for part in ("first", "last") if not text(getattr(new.name, part))]
    if not text(new.email):
        faults.append(required("email", message="LoanPro needs an e-mail address."))
    elif not _EMAIL.fullmatch(new.email or ""):
        faults.append(fault("email", message="This is not an e-mail address."))
    if new.phone and not 7 <= len(digits(new.phone)) <= 15:
        faults.append(fault("phone", message="A phone number has 7 to 15 digits."))
    return faults + _faults_of_address(new.address or Address())


def _faults_of_address(address: Address) -> list[FieldFault]:
    needed = ("line1", "city", "region", "country")
    faults = [
        required("address", part, message="LoanPro needs it in every address.")
        for part in needed
        if not text(getattr(address, part))
    ]
    country = alpha2(address.country)
    if text(address.country) and country is None:
        faults.append(fault("address", "country", message="This is not an ISO 3166-1 country code."))
    if text(address.region) and country in _NEEDS_STATE and not _STATE.fullmatch(state_of(address)):
        faults.append(fault("address", "region", message="LoanPro needs the two-letter code of the state or province."))
    return faults


def faults_of_new(new: NewMethod) -> list[FieldFault]:
    faults: list[FieldFault] = []
    if not new.secret:
        faults.append(required("secret", message="The token is missing."))
    elif not _is_token(new.secret.reveal()):
        faults.append(fault("secret", message="A token must be printable text without blanks."))
    if new.title is not None:
        faults += _faults_of_title(new.title)
    if new.billing_address is not None:
        faults.append(unsupported("billing_address", message="LoanPro takes the address with the token."))
    if isinstance(new, NewBankAccount):
        if new.rail is not BankRail.ACH:
            faults.append(unsupported("rail", message="LoanPro links ACH accounts only."))
        if new.account_type is not None and new.account_type not in ACCOUNT_TITLES:
            faults.append(unsupported("account_type", message="LoanPro accepts checking and savings accounts."))
    elif new.authenticate is not None:
        faults.append(unsupported("authenticate", message="LoanPro has no 3-D Secure."))
    return faults


def _is_token(value: str) -> bool:
    return value.isascii() and value.isprintable() and " " not in value


def faults_of_change(change: MethodChange) -> list[FieldFault]:
    faults = [] if change.title is None else _faults_of_title(change.title)
    if change.active is False and change.is_secondary:
        faults.append(fault("is_secondary", message="An inactive profile cannot be the secondary one."))
    return faults


def _faults_of_title(title: str) -> list[FieldFault]:
    if not title.strip():
        return [fault("title", message="The title must not be blank.")]
    if len(title) > TITLE_LIMIT:
        return [fault("title", message=f"The title must have at most {TITLE_LIMIT} characters.")]
    return []
