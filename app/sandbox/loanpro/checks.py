"""Validation of customers and payment profiles. Every error is a 409 that never quotes the value."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.loanpro.refusals import entity_error

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_STATE: Final = re.compile(r"geo\.state\.[A-Z]{2,3}")
_COUNTRY: Final = re.compile(r"company\.country\.[a-z]{2,3}")
_ENUMS: Final[Mapping[str, frozenset[str]]] = {
    "customerType": frozenset(f"customer.type.{kind}" for kind in ("individual", "company", "flooringCustomer")),
    "gender": frozenset(f"customer.gender.{kind}" for kind in ("male", "female", "unknown")),
    "generationCode": frozenset(
        f"customer.generationCode.{kind}" for kind in ("none", "jr", "sr", "ii", "iii", "iv", "v", "vi", "vii")
    ),
    "customerIdType": frozenset(f"customer.idType.{kind}" for kind in ("ssn", "sin", "employerNumber")),
}
PHONE_TYPES: Final = frozenset(
    f"customer.phoneType.{kind}" for kind in ("cell", "cellSmartPhone", "home", "office", "fax", "other")
)
ACCOUNT_TYPES: Final = frozenset({"bankacct.type.checking", "bankacct.type.savings"})
PROFILE_CHILDREN: Final = {
    "paymentAccount.type.checking": "CheckingAccount",
    "paymentAccount.type.credit": "CreditCard",
}
CUSTOMER_FIELDS: Final[Mapping[str, Any]] = {
    "customId": None,
    "mcId": None,
    "customerType": "customer.type.individual",
    "status": "Active",
    "firstName": None,
    "lastName": None,
    "middleName": None,
    "birthDate": None,
    "gender": "customer.gender.unknown",
    "generationCode": "customer.generationCode.none",
    "email": None,
    "ssn": None,
    "driverLicense": None,
    "companyName": None,
    "contactName": None,
    "customerIdType": "customer.idType.ssn",
    "customerId": None,
    "creditLimit": "0",
    "accessUserName": None,
    "accessPassword": None,
    "active": 1,
    "ofacMatch": 0,
    "ofacTested": 0,
    "hasAvatar": 0,
    "loanRole": None,
    "created": None,
    "lastUpdate": None,
    "creditScoreId": None,
}
_READ_ONLY: Final = frozenset({"mcId", "created", "lastUpdate", "creditScoreId", "hasAvatar"})
_ADDRESS_FIELDS: Final = ("address1", "address2", "city", "state", "zipcode", "country", "geoLat", "geoLon")
_ADDRESS_NEEDS: Final = {"country": "Country", "state": "State", "city": "City", "address1": "Address"}


def scalars(body: Json) -> Json:
    """A body's validated customer fields. Unknown ones and those that only LoanPro sets are ignored."""
    record: Json = {}
    for name in CUSTOMER_FIELDS.keys() - _READ_ONLY:
        if name in body:
            record[name] = _scalar(name, body[name])
    return record


def _scalar(name: str, value: Any) -> Any:
    if name in _ENUMS and value not in _ENUMS[name]:
        raise entity_error(f"Invalid value for {name}")
    if name in ("firstName", "lastName") and not (isinstance(value, str) and value.strip()):
        raise entity_error(f"{name} is required")
    if name == "email" and not (isinstance(value, str) and _EMAIL.fullmatch(value)):
        raise entity_error("A valid email is required")
    if name == "birthDate":
        return day(value)
    if name == "active":
        return flag(value, name)
    if value is not None and not isinstance(value, str | int | float):
        raise entity_error(f"Invalid value for {name}")
    return value


def day(value: Any) -> int | None:
    """``YYYY-MM-DD``, optionally with ``hh:mm:ss``, in UTC, to seconds since the epoch."""
    if value in (None, ""):
        return None
    try:
        return int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp())
    except (TypeError, ValueError):
        raise entity_error("Invalid date") from None


def flag(value: Any, name: str) -> int:
    if value in (0, 1, "0", "1"):  # True and False equal 1 and 0
        return int(value)
    raise entity_error(f"Invalid value for {name}")


def address(body: Any, label: str, before: Json | None = None) -> Json:
    """An address, complete or as changes over `before`; four parts are required."""
    if not isinstance(body, dict):
        raise entity_error(f"{label} is required")
    record: Json = dict(before or dict.fromkeys(_ADDRESS_FIELDS))
    record.update({name: body[name] for name in _ADDRESS_FIELDS if name in body})
    for name, title in _ADDRESS_NEEDS.items():
        if not (isinstance(record[name], str) and record[name].strip()):
            raise entity_error(f"{label}: {title} is required")
    if not _STATE.fullmatch(record["state"]) or not _COUNTRY.fullmatch(record["country"]):
        raise entity_error(f"{label}: invalid state or country")
    return record


def phone(body: Any, before: Json | None = None) -> Json:
    if not isinstance(body, dict):
        raise entity_error("Invalid phone")
    record: Json = dict(before or {"phone": None, "type": "customer.phoneType.home", "isPrimary": 0, "isSecondary": 0})
    for name in ("phone", "type"):
        record[name] = body.get(name, record[name])
    for name in ("isPrimary", "isSecondary", "carrierVerified", "isLandLine", "dndEnabled"):
        record[name] = flag(body.get(name, record.get(name, 0)), name)
    if not (isinstance(record["phone"], str) and record["phone"].strip()):
        raise entity_error("Phone is required")
    if record["type"] not in PHONE_TYPES:
        raise entity_error("Invalid phone type")
    return record


def title(value: Any) -> str:
    if not (isinstance(value, str) and value.strip()):
        raise entity_error("Payment account title is required")
    if len(value) > 100:
        raise entity_error("Payment account title is too long")
    return value


def children(body: Json, name: str) -> list[Any]:
    """The elements of a child list. Like LoanPro, silently drops a list in any other shape."""
    wrapper = body.get(name)
    results = wrapper.get("results") if isinstance(wrapper, dict) else None
    return results if isinstance(results, list) else []
