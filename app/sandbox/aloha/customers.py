"""Customers: create, read, replace. Source: Aloha help, "POST v1/Customers/{id}" and "PUT v1/Customers"."""

import re
from typing import Any, Final
from uuid import uuid4

from app.sandbox.aloha.payments import member
from app.sandbox.aloha.refusals import invalid, named
from app.sandbox.base import Json

_LIMITS: Final = {
    "Email": 256,
    "FirstName": 100,
    "LastName": 100,
    "BusinessName": 100,
    "DepartmentName": 100,
    "VoicePhone": 30,
    "VoicePhoneExtension": 4,
    "AltPhone": 30,
    "AltPhoneExtension": 4,
    "LoyaltyCardNumber": 50,
    "SecondaryEmailAddress": 256,
    "Birthday": 30,
    "LoyaltyZipCode": 20,
}
_REQUIRED: Final = ("Email", "FirstName", "LastName")
_NUMBERS: Final = ("FavoriteSiteId", "FacebookId")
_EMAIL: Final = re.compile(r"\w+([-+.']\w+)*@\w+([-.]\w+)*\.\w+([-.]\w+)*")
_PHONE: Final = re.compile(r"[0-9+(). x/-]*")
_ADDRESS_TEXTS: Final = (
    "Description",
    "DepartmentName",
    "AddressLine1",
    "AddressLine2",
    "City",
    "State",
    "Postal",
)


def profile(body: Json) -> Json:
    """The validated customer fields; missing ones become null, because a replace overwrites. Raises SandboxRefusal."""
    faults: dict[str, str] = {}
    record: Json = {}
    for name, limit in _LIMITS.items():
        record[name] = _text(member(body, name))
        if record[name] is None and name in _REQUIRED:
            faults[name] = f"{name} is required."
        if record[name] is not None and len(record[name]) > limit:
            faults[name] = f"{name} is too long."
    if record["Email"] is not None and not _EMAIL.fullmatch(record["Email"]):
        faults["Email"] = "Email is not valid."
    for name in ("VoicePhone", "AltPhone"):
        if record[name] and not (_PHONE.fullmatch(record[name]) and sum(map(str.isdigit, record[name])) >= 7):
            faults[name] = f"{name} is not valid."
    record.update({name: _number(member(body, name)) for name in _NUMBERS})
    record["FavoriteSiteIds"] = [_number(site) for site in _list(member(body, "FavoriteSiteIds")) or []]
    addresses = _list(member(body, "Addresses"))
    if addresses is None:
        faults["Addresses"] = "Addresses is required."
    if faults:
        raise invalid({f"customer.{name}": text for name, text in faults.items()})
    record["Addresses"] = [_address(entry, at) for at, entry in enumerate(addresses or [], 1)]
    return record


def create(customers: dict[str, Json], envelope: Json, duplicate_status: int) -> str:
    """Create a customer; returns its CustomerId. An id in the body is ignored; the password is checked and dropped."""
    body = member(envelope, "Customer")
    if not isinstance(body, dict):
        raise invalid({"customer.Customer": "Customer is required."})
    fields = profile(body)
    if not _text(member(envelope, "Password")):
        raise invalid({"customer.Password": "Password is required."})
    _refuse_taken(customers, fields["Email"], None, duplicate_status)
    key = str(uuid4())
    customers[key] = stored(fields, str(uuid4()))
    return key


def stored(fields: Json, profile_id: str) -> Json:
    return {"profile": fields, "CustomerProfileId": profile_id, "payments": []}


def replace(customers: dict[str, Json], key: str, body: Json, duplicate_status: int) -> None:
    """Overwrite the whole record: a missing LoyaltyCardNumber unbinds the loyalty account. Payments stay."""
    fields = profile(body)
    _refuse_taken(customers, fields["Email"], key, duplicate_status)
    customers[key]["profile"] = fields


def shown(key: str, customer: Json) -> Json:
    return {"CustomerId": key, **customer["profile"]}


def _refuse_taken(customers: dict[str, Json], email: str, but: str | None, status: int) -> None:
    wanted = email.lower()
    if any(key != but and other["profile"]["Email"].lower() == wanted for key, other in customers.items()):
        raise named(status, "DuplicateKey")


def _address(body: Any, at: int) -> Json:
    entry = body if isinstance(body, dict) else {}
    return {
        "AddressId": _number(member(entry, "AddressId")) or at,
        "AddressType": _number(member(entry, "AddressType")) or 0,
        "IsDefault": member(entry, "IsDefault") in (True, "true"),
        **{name: _text(member(entry, name)) for name in _ADDRESS_TEXTS},
        "ExtraData": [],
    }


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _number(value: Any) -> int | None:
    try:
        return None if value is None or isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        return None


def _list(value: Any) -> list[Any] | None:
    if value == "":  # an empty XML element
        return []
    return value if isinstance(value, list) else None
