"""Bulk import of cards and bank accounts by their processor's tokens: Caselle's wire types and the unified model. Pure.

Bodies contain exactly the properties shown on the pages, since unknown ones are rejected.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from app.errors import FieldFault, RejectReason
from app.providers.base import fault, required
from app.providers.caselle.errors import code_in, reason_of
from app.providers.caselle.mapping import TYPE_OF_ACCOUNT, saved_ref_of
from app.providers.caselle.requests import brand_word, present
from app.providers.caselle.validation import faults_of_bin, faults_of_routing_number
from app.vault.payments import ImportedBankAccount, ImportedCard, ImportedMethod, ImportResult, ImportState

_LAST4: Final = re.compile(r"[0-9]{4}")


def faults_of_import(row: ImportedMethod) -> list[FieldFault]:
    faults: list[FieldFault] = []
    if not row.secret:
        faults.append(required("secret", message="An import needs the processor's token."))
    if _LAST4.fullmatch(row.last4) is None:
        faults.append(fault("last4", message="last4 must be four digits."))
    if not row.holder_name.strip():
        faults.append(required("holder_name", message="Caselle needs the holder's name."))
    if isinstance(row, ImportedCard):
        return faults + list(faults_of_bin(row.bin))
    if row.account_type not in TYPE_OF_ACCOUNT:
        faults.append(fault("account_type", message="Caselle accepts checking and savings accounts."))
    if row.routing_number is not None:
        faults += faults_of_routing_number(row.routing_number)
    return faults


def from_import(rows: Sequence[ImportedMethod]) -> dict[str, Any]:
    """The body of ``POST /api/saved-payment-methods/import``; its shape is assumed."""
    return {"items": [_item(row) for row in rows]}


def _item(row: ImportedMethod) -> dict[str, Any]:
    kind, shown = ("credit", _credit(row)) if isinstance(row, ImportedCard) else ("ach", _ach(row))
    return {
        "customer_uid": row.customer_ref,
        "processor_token": row.secret.reveal(),
        "payment_method": {"payment_method_type": kind, kind: present(shown)},
    }


def _credit(row: ImportedCard) -> dict[str, Any]:
    return {
        "last4": row.last4,
        "exp_month": row.expiry.month,
        "exp_year": row.expiry.year,
        "bin": row.bin,
        "card_brand": brand_word(row.brand),
        "holder_name": row.holder_name,
    }


def _ach(row: ImportedBankAccount) -> dict[str, Any]:
    return {
        "routing_number": row.routing_number,
        "account_suffix": row.last4,
        "account_type": TYPE_OF_ACCOUNT[row.account_type],
        "holder_name": row.holder_name,
    }


def to_results(count: int, wire: Any) -> list[ImportResult]:
    """Outcomes in the order of the rows, by the reply's ``index``; a row that it does not name is UNKNOWN."""
    found = [ImportResult(state=ImportState.UNKNOWN)] * count
    for record in wire["results"]:
        index = record["index"]
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
            raise ValueError("an outcome of no row")
        found[index] = _result(record)
    return found


def _result(record: Any) -> ImportResult:
    if record.get("status") == "imported":
        return ImportResult(state=ImportState.IMPORTED, method_ref=saved_ref_of(record))
    if record.get("status") == "failed":
        code = code_in(record)
        missing = RejectReason.CUSTOMER_NOT_FOUND if code and "customer" in code else None
        reason = missing or reason_of(422, code)
        return ImportResult(state=ImportState.REJECTED, reason=reason, provider_code=code)
    return ImportResult(state=ImportState.UNKNOWN)
