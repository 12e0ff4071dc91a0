"""Secure Payments (Adaptive Wallet): OBO tokens, bank tokens, profiles of its customers.

Calls below a profile take only an OBO token; all others the Authorization + Secret pair, without `Bearer`. Sources:
LoanPro, "PCI Wallet API", "Create Checking Account", "Edit Bank Card", "Remove Customer ...".
"""

import re
import secrets
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.loanpro import vault
from app.sandbox.loanpro.refusals import vault_error

_WORDS: Final = {"card": "credit-card", "bank": "checking-account"}
_EXPIRATION: Final = re.compile(r"(\d{2})/?(\d{4})")


def mint_obo(state: Json) -> Json:
    """Any number may exist; each is valid until revoked."""
    state["obo"].append(secrets.token_urlsafe(32))
    return {"token": state["obo"][-1]}


def create_bank(state: Json, body: Any, now: int) -> Json:
    fields = _object(body, "checking-account")
    return {"token": vault.token_of(vault.store(state, _bank(fields), now))}


def update_bank(state: Json, body: Any, now: float) -> None:
    record = _token_record(state, body, "bank", now)
    fields = _object(body, "checking-account")
    merged: Json = {
        "accountholder_name": record["holder"],
        "routing_number": record["routing_number"],
        "account_type": record["account_type"],
        "bank_name": record["bank_name"],
        **record["address"],
        **fields,
    }
    if "account_number" in fields:
        record.update(_bank(merged))
        return
    # Only the masked number is stored, so the other fields are validated with a placeholder that is never stored.
    checked = _bank(merged | {"account_number": "0000"})
    record.update({name: value for name, value in checked.items() if name not in ("last4", "masked")})


def update_card(state: Json, body: Any, now: float) -> None:
    record = _token_record(state, body, "card", now)
    fields = _object(body, "card")
    if "expiration_date" in fields:
        match = _EXPIRATION.fullmatch(str(fields["expiration_date"]))
        if match is None or not 1 <= int(match[1]) <= 12:
            raise vault_error(400, "Failed to update bank card", "expiration_date is not valid")
        record.update(exp_month=int(match[1]), exp_year=int(match[2]))
    if "card_number" in fields:
        record.update(_card_number(record, str(fields["card_number"])))
    if "cardholder_name" in fields:
        record["holder"] = str(fields["cardholder_name"])
    parts = ("address", "city", "state", "zipcode", "country")
    record["address"] = record["address"] | {name: str(fields[name]) for name in parts if name in fields}


def edit(record: Json, fields: Json) -> None:
    """The forms that change a profile without its number. Raises ValueError, which names the field."""
    changed: Json = {}
    if record["kind"] == "card":
        try:
            changed = {name: int(fields[name]) for name in ("exp_month", "exp_year") if name in fields}
        except (TypeError, ValueError):
            raise ValueError("expiration_date is not valid") from None
        if not 1 <= changed.get("exp_month", 1) <= 12 or not 2000 <= changed.get("exp_year", 2000) <= 2099:
            raise ValueError("expiration_date is not valid")
    elif "account_type" in fields:
        if fields["account_type"] not in ("checking", "savings"):
            raise ValueError("account_type is not valid")
        changed["account_type"] = fields["account_type"]
    if fields.get("holder_name"):
        changed["holder"] = str(fields["holder_name"])
    record.update(changed)


def delete(state: Json, body: Any, kind: str, now: float) -> None:
    """Irreversible; also removes the profile from its customer here. LMS keeps its entry."""
    record = _nested_record(state, body, kind, now)
    record["is_deleted"] = True
    for customer in state["sp_customers"].values():
        customer["profiles"] = [number for number in customer["profiles"] if number != record["id"]]


def link(state: Json, customer_id: str, body: Any, kind: str, now: float) -> None:
    customer = _customer(state, customer_id)
    record = _nested_record(state, body, kind, now)
    if record["id"] not in customer["profiles"]:
        customer["profiles"].append(record["id"])


def unlink(state: Json, customer_id: str, body: Any, kind: str, now: float) -> None:
    """Unlink a profile from a customer; the profile is kept."""
    customer = _customer(state, customer_id)
    record = _nested_record(state, body, kind, now)
    if record["id"] not in customer["profiles"]:
        raise vault_error(404, f"The {_WORDS[kind]} does not belong to the customer")
    customer["profiles"].remove(record["id"])


def create_customer(state: Json, body: Any) -> Json:
    """Create a customer without a duplicate check; returns the created values."""
    fields = _object(body, "customer")
    if not all(isinstance(fields.get(name), str) and fields[name] for name in ("first_name", "last_name", "email")):
        raise vault_error(400, "Failed to create customer", "first_name, last_name and email are required")
    state["next"]["sp_customer"] += 1
    number = state["next"]["sp_customer"]
    state["sp_customers"][str(number)] = {"profiles": [], "details": fields}
    return {"id": number, **fields}


def _bank(fields: Json) -> Json:
    where = {name: fields.get(name) for name in ("address", "city", "state", "zipcode", "country")}
    wanted = {**where, "bank_name": fields.get("bank_name"), "accountholder_name": fields.get("accountholder_name")}
    missing = [
        f"{name} is required" for name, value in wanted.items() if not (isinstance(value, str) and value.strip())
    ]
    if missing:
        raise vault_error(400, "Failed to create checking account", *missing)
    try:
        return vault.bank_record(
            str(fields.get("account_number", "")),
            routing_number=str(fields.get("routing_number", "")),
            account_type=str(fields.get("account_type", "")),
            holder_name=str(fields["accountholder_name"]),
            bank_name=str(fields["bank_name"]),
            address=where,
        )
    except ValueError as error:
        raise vault_error(400, "Failed to create checking account", str(error)) from None


def _card_number(record: Json, number: str) -> Json:
    try:
        fresh = vault.card_record(
            number, exp_month=record["exp_month"], exp_year=record["exp_year"], holder_name=record["holder"]
        )
    except ValueError as error:
        raise vault_error(400, "Failed to update bank card", str(error)) from None
    return {name: fresh[name] for name in ("last4", "bin", "masked", "brand")}


def _object(body: Any, name: str) -> Json:
    inner = body.get(name) if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        raise vault_error(400, f"{name} is required")
    return inner


def _customer(state: Json, key: str) -> Json:
    customer: Json | None = state["sp_customers"].get(key)
    if customer is None:
        raise vault_error(425, "Customer not found")
    return customer


def _nested_record(state: Json, body: Any, kind: str, now: float) -> Json:
    return _token_record(state, _object(body, _WORDS[kind]), kind, now)


def _token_record(state: Json, body: Any, kind: str, now: float) -> Json:
    return record_of(state, body.get("token") if isinstance(body, dict) else None, kind, now)


def record_of(state: Json, token: Any, kind: str, now: float) -> Json:
    """The usable record of a token. Raises SandboxRefusal."""
    record = vault.find(state, token)
    if record is None or record["kind"] != kind or not vault.is_usable(record, now):
        raise vault_error(404, f"Invalid {'bank card' if kind == 'card' else 'checking account'} token")
    return record
