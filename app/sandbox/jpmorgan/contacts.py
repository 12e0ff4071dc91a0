"""Addresses, phones and e-mails of one profile draft."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.checks import Check
from app.sandbox.jpmorgan.answers import JpMorganRefusal, Rule, ValidationFault, check, invalid
from app.sandbox.jpmorgan.fields import ADDRESS, EMAIL, PHONE, take

_LISTS: Final[Mapping[str, tuple[str, str, Mapping[str, Check], str]]] = {
    "phoneList": ("phone", "HH", PHONE, "defaultPhone"),
    "emailList": ("email", "EE", EMAIL, "defaultEmail"),
}
_NEEDED: Final = ("phoneNumber", "countryCode", "emailAddress")


def address_of(profile: Json, address_id: str) -> Json:
    for address in profile["addresses"]:
        if address["addressIdentifier"] == address_id:
            found: Json = address
            return found
    raise JpMorganRefusal(Rule.NO_SUCH_ADDRESS)


def update_address(profile: Json, address_id: str, body: Json) -> None:
    """Update everything but `addressType`; a different one is refused (assumed)."""
    address = address_of(profile, address_id)
    faults: list[ValidationFault] = []
    fields = take(body, ADDRESS, "", faults)
    if fields.get("addressType", address.get("addressType")) != address.get("addressType"):
        faults.append(ValidationFault("addressType", "cannot be changed"))
    check(faults)
    address.update(fields)


def delete_address(profile: Json, address_id: str) -> None:
    """Refused while a payment method uses it (assumed: undocumented)."""
    address = address_of(profile, address_id)
    if any(method["wire"].get("addressIdentifier") == address_id for method in profile["methods"]):
        raise JpMorganRefusal(Rule.ADDRESS_IN_USE)
    profile["addresses"].remove(address)


def drop_unused_addresses(profile: Json) -> None:
    """Keep the addresses that a payment method uses."""
    used = {method["wire"].get("addressIdentifier") for method in profile["methods"]}
    profile["addresses"] = [address for address in profile["addresses"] if address["addressIdentifier"] in used]


def add_communication(profile: Json, body: Any, at: str, faults: list[ValidationFault]) -> None:
    if not isinstance(body, dict):
        faults.append(ValidationFault(at, "must be an object"))
        return
    added = 0
    for name, (_, prefix, table, _default) in _LISTS.items():
        entries = body.get(name)
        if entries is None:
            continue
        if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
            faults.append(ValidationFault(f"{at}.{name}" if at else name, "must be a list of objects"))
            continue
        for index, entry in enumerate(entries):
            place = f"{at}.{name}[{index}]" if at else f"{name}[{index}]"
            needed = tuple(field for field in _NEEDED if field in table)
            fields = take(entry, table, place, faults, needed=needed)
            fields["communicationIdentifier"] = prefix + str(10**12 + secrets.randbelow(9 * 10**12))
            profile["communication"].setdefault(name, []).append(fields)
            added += 1
    if not added and not faults:
        faults.append(ValidationFault(at, "must hold a phoneList or an emailList"))


def _communication_of(profile: Json, wanted: str) -> tuple[str, Json]:
    for name in _LISTS:
        for entry in profile["communication"].get(name, ()):
            if entry["communicationIdentifier"] == wanted:
                return name, entry
    raise JpMorganRefusal(Rule.NO_SUCH_COMMUNICATION)


def update_communication(profile: Json, wanted: str, body: Json) -> None:
    name, entry = _communication_of(profile, wanted)
    word, _, table, default = _LISTS[name]
    if not isinstance(body.get(word), dict):
        raise invalid("", f"must hold the object {word}")
    faults: list[ValidationFault] = []
    fields = take(body[word], table, word, faults)
    check(faults)
    entry.update(fields)
    if _is_default(profile, default, wanted):
        profile["communication"][default] = dict(entry)


def default_communication(profile: Json, wanted: str) -> None:
    name, entry = _communication_of(profile, wanted)
    profile["communication"][_LISTS[name][3]] = dict(entry)


def delete_communication(profile: Json, wanted: str) -> None:
    name, entry = _communication_of(profile, wanted)
    lists = profile["communication"]
    lists[name].remove(entry)
    if not lists[name]:
        del lists[name]
    if _is_default(profile, _LISTS[name][3], wanted):
        del lists[_LISTS[name][3]]


def _is_default(profile: Json, default: str, wanted: str) -> bool:
    return bool(profile["communication"].get(default, {}).get("communicationIdentifier") == wanted)
