"""Reads stored intents of any version.

An unknown version is not guessed: `IntentUnreadable` leaves the operation to an operator.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import ValidationError, convert

from app.store.records import OperationRecord
from app.wallet.writes.intents import VERSION, AnyIntent, Intent, Progress

Json = dict[str, Any]


class IntentUnreadable(Exception):
    """`version` is None if it cannot be read. The message contains no stored value."""

    def __init__(self, version: int | None, why: str) -> None:
        super().__init__(f"version {'unknown' if version is None else version}: {why}")
        self.version = version


def read_intent(operation: OperationRecord) -> Progress[Intent]:
    """The stored intent, upgraded to this version. Raises IntentUnreadable."""
    version = _version_of(operation.intent)
    if not 0 <= version <= VERSION:
        raise IntentUnreadable(version, f"this process reads versions up to {VERSION}")
    kept: Any = operation.intent
    try:
        for step in range(version, VERSION):
            kept = UPGRADES[step](operation.mutation, kept)
        if kept["of"]["mutation"] != operation.mutation:
            raise IntentUnreadable(version, "it belongs to another mutation")
        found: Progress[Intent] = convert(kept, _STORED)
    except (AttributeError, LookupError, TypeError, ValueError, ValidationError):
        raise IntentUnreadable(version, f"not the shape of {operation.mutation}") from None
    return found


def _version_of(kept: object) -> int:
    asked = kept.get("of") if isinstance(kept, dict) else None
    if not isinstance(asked, dict):
        raise IntentUnreadable(None, "there is no intent")
    version = asked.get("version", 0)
    if type(version) is not int:
        raise IntentUnreadable(None, "the version is not a number")
    return version


_STORED: Final[Any] = Progress[AnyIntent]


# ---- version 0: dictionaries without a version --------------------------------------------------------------


def _from_0(mutation: str, kept: Json) -> Json:
    """Addresses were lists, notes and facts had no kind, and an erasure stored its links twice."""
    asked = {**kept["of"], "mutation": mutation, "version": 1}
    for name in ("method", "replacement"):
        if asked.get(name) is not None:
            asked[name] = _address_from_0(asked[name])
    if mutation == "eraseCustomer":
        del asked["links"]
    return {
        **kept,
        "of": asked,
        "notes": {name: _note_from_0(mutation, note) for name, note in kept["notes"].items()},
        "done": {step: _facts_from_0(step, facts) for step, facts in kept["done"].items()},
    }


def _address_from_0(kept: list[str]) -> Json:
    provider, customer_ref, method_ref = kept
    return {"provider": provider, "customer_ref": customer_ref, "method_ref": method_ref}


def _note_from_0(mutation: str, note: Any) -> Json:
    if mutation in ("eraseCustomer", "importPaymentMethods"):
        return {"kind": "heldMethods", "refs": note}
    if mutation == "updatePaymentMethod":
        return {"kind": "updateCheck"}
    if mutation == "setDefaultPaymentMethod":
        previous = note["previous"]
        return {**note, "kind": "defaultCheck", "previous": previous and _address_from_0(previous)}
    return {**note, "kind": "deleteCheck" if mutation == "deletePaymentMethod" else "beforeAdd"}


def _facts_from_0(step: str, facts: Json) -> Json:
    return {**facts, "kind": _KINDS_IN_0[step.partition(":")[0]]}


_KINDS_IN_0: Final[Mapping[str, str]] = {
    "add": "method",
    "capture": "capture",
    "create": "customer",
    "default": "none",
    "delete": "none",
    "erase": "none",
    "import": "method",
    "profile": "profile",
    "quote": "quote",
    "replace": "none",
    "session": "hostedSession",
    "update": "method",
}
"""The kind of a step's facts, by the step's name up to the colon."""

# ---- version 1 --------------------------------------------------------------------------------------------


def _from_1(mutation: str, kept: Json) -> Json:
    """An added method had no holder's name, and replaced no other."""
    added = {"holder_name": None, "replaces_others": False} if mutation == "addPaymentMethod" else {}
    return {**kept, "of": {**kept["of"], **added, "version": 2}}


# ---- version 2 --------------------------------------------------------------------------------------------


def _from_2(mutation: str, kept: Json) -> Json:
    """No card came from a wallet, and an update said nothing about an address."""
    return {**kept, "of": {**kept["of"], "version": 3}}


# ---- version 3 --------------------------------------------------------------------------------------------


def _from_3(mutation: str, kept: Json) -> Json:
    """A payment had no backup methods."""
    paid = {"fallback": [], "most": 0} if mutation == "capturePayment" else {}
    return {**kept, "of": {**kept["of"], **paid, "version": 4}}


# ---- version 4 --------------------------------------------------------------------------------------------


def _from_4(mutation: str, kept: Json) -> Json:
    """An added method had no consent, and every payment was the customer's."""
    asked = {**kept["of"], "version": 5}
    if mutation == "addPaymentMethod":
        asked["consent"] = None
    elif mutation == "addPaymentMethods":
        asked["items"] = [{**item, "consent": None, "version": 5} for item in asked["items"]]
    elif mutation == "quotePayment":
        asked |= {"initiator": "CUSTOMER", "merchant_reason": None}
    return {**kept, "of": asked}


UPGRADES: Final[Mapping[int, Callable[[str, Json], Json]]] = {
    0: _from_0,
    1: _from_1,
    2: _from_2,
    3: _from_3,
    4: _from_4,
}
"""By version: upgrades its JSON to the next version."""
