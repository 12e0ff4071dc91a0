"""Customers and their saved methods, by payment account.

A customer in the state: ``{account, wire, default, methods}``, keyed by uid; ``by_reference`` maps
``account/reference_id`` to it. A method: ``{uid, payment_method, created_at}``; no token is stored.
"""

import secrets
from datetime import UTC, datetime
from typing import Final

from app.sandbox.base import Json
from app.sandbox.caselle import tokenizer
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal
from app.sandbox.caselle.shapes import CUSTOMER, SAVE, SET_DEFAULT, detail_of, fit

_ID_CHARACTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CUSTOMER_FIELDS: Final = frozenset({"uid", "reference_id", "name", "email", "created_at", "updated_at"})


def new_uid(prefix: str) -> str:
    return f"{prefix}_" + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(20))


def stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def reference_key(account: str, reference_id: str) -> str:
    return f"{account}/{reference_id}"


def create(state: Json, account: str, body: Json, now: datetime) -> Json:
    """Create a customer in one step: of parallel creates with one `reference_id`, exactly one succeeds."""
    fields = fit(body, CUSTOMER)
    key = reference_key(account, fields["reference_id"])
    if key in state["by_reference"]:
        raise CaselleRefusal(CaselleProblem.CUSTOMER_EXISTS)
    wire = {"uid": new_uid("cus"), "reference_id": fields["reference_id"]}
    wire.update({name: fields.get(name) for name in ("name", "email")})
    customer: Json = {
        "account": account,
        "wire": {**wire, "created_at": stamp(now), "updated_at": stamp(now)},
        "default": None,
        "methods": [],
    }
    state["customers"][wire["uid"]] = customer
    state["by_reference"][key] = wire["uid"]
    return customer


def customer_of(state: Json, account: str, uid: str) -> Json:
    """The customer; one of another account counts as unknown."""
    customer: Json | None = state["customers"].get(uid)
    if customer is None or customer["account"] != account:
        raise CaselleRefusal(CaselleProblem.NO_SUCH_CUSTOMER)
    return customer


def method_of(customer: Json, uid: str) -> Json:
    for method in customer["methods"]:
        if method["uid"] == uid:
            found: Json = method
            return found
    raise CaselleRefusal(CaselleProblem.NO_SUCH_METHOD)


def owner_of(state: Json, account: str, method_uid: str) -> tuple[Json, Json] | None:
    """The customer and method of a method uid within the account."""
    for customer in state["customers"].values():
        if customer["account"] == account:
            for method in customer["methods"]:
                if method["uid"] == method_uid:
                    return customer, method
    return None


def check_enabled(account: Json, method_type: str) -> None:
    switch = "enable_ach" if method_type.endswith("ach") else "enable_credit_card"
    if not account[switch]:
        raise CaselleRefusal(CaselleProblem.TYPE_DISABLED)


def save(state: Json, account: Json, customer_uid: str, body: Json, now: datetime) -> Json:
    """Exchange a live proxynized token for a permanent one, shown once. Saving it again adds another record
    (assumed).
    """
    method_type, detail = detail_of(fit(body, SAVE)["payment_method"], ("credit", "ach"))
    customer = customer_of(state, account["uid"], customer_uid)
    check_enabled(account, method_type)
    tokenizer.redeem(state, detail["fingerprint"], method_type, account["uid"], now)
    face = {name: value for name, value in detail.items() if name != "fingerprint"}
    method = keep(customer, method_type, face, now)
    shown = {"fingerprint": "tok_" + secrets.token_urlsafe(24), **face}
    return {
        "saved_payment_method_uid": method["uid"],
        "payment_method": {"payment_method_type": method_type, method_type: shown},
    }


def keep(customer: Json, method_type: str, face: Json, now: datetime) -> Json:
    method: Json = {
        "uid": new_uid("spm"),
        "payment_method": {"payment_method_type": method_type, method_type: face},
        "created_at": stamp(now),
    }
    customer["methods"].append(method)
    return method


def set_default(customer: Json, body: Json, now: datetime) -> None:
    uid = fit(body, SET_DEFAULT)["saved_payment_method_uid"]
    method_of(customer, uid)
    if customer["default"] != uid:
        customer["default"] = uid
        customer["wire"]["updated_at"] = stamp(now)


def delete(customer: Json, uid: str) -> None:
    """Deleting the default leaves no default (assumed)."""
    customer["methods"].remove(method_of(customer, uid))
    if customer["default"] == uid:
        customer["default"] = None


def show_customer(customer: Json, *, has_default: bool) -> Json:
    shown = dict(customer["wire"])
    if has_default:
        shown["default_saved_payment_method_uid"] = customer["default"]
    return shown


def show_methods(customer: Json, *, has_default: bool) -> list[Json]:
    """In creation order, display data only."""
    return [
        {
            "saved_payment_method_uid": method["uid"],
            **({"is_default": method["uid"] == customer["default"]} if has_default else {}),
            "payment_method": method["payment_method"],
        }
        for method in customer["methods"]
    ]
