"""Strict schemas of request bodies. Caselle documents that it rejects unknown properties; nulls count as absent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal
from app.sandbox.checks import Check, email, matching, one_of, place, routing_number, text


@dataclass(frozen=True, slots=True)
class Shape:
    """A JSON object: its properties and which are required. A list of objects is a `Rows`."""

    properties: "Mapping[str, Check | Shape | Rows]"
    needed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    of: Shape


@dataclass(slots=True)
class _Faults:
    unknown: list[str] = field(default_factory=list)
    wrong: dict[str, list[str]] = field(default_factory=dict)


def fit(body: Any, shape: Shape) -> Json:
    """`body` without nulls. Raises CaselleRefusal naming the first unknown property, otherwise every wrong one."""
    faults = _Faults()
    found = _object(body, shape, "", faults)
    if faults.unknown:
        first = faults.unknown[0]
        errors = {name: ["unknown property"] for name in faults.unknown}
        raise CaselleRefusal(CaselleProblem.UNKNOWN_PROPERTY, f"Unknown property '{first}'.", errors)
    if faults.wrong:
        raise CaselleRefusal(CaselleProblem.INVALID, errors=faults.wrong)
    return found


def _object(body: Any, shape: Shape, at: str, faults: _Faults) -> Json:
    if not isinstance(body, dict):
        faults.wrong.setdefault(at, []).append("must be an object")
        return {}
    found: Json = {}
    faults.unknown.extend(place(at, name) for name in body if name not in shape.properties)
    for name, rule in shape.properties.items():
        value, here = body.get(name), place(at, name)
        if value is None:
            if name in shape.needed:
                faults.wrong.setdefault(here, []).append("is required")
            continue
        if isinstance(rule, Shape):
            found[name] = _object(value, rule, here, faults)
        elif isinstance(rule, Rows):
            found[name] = _rows(value, rule, here, faults)
        else:
            if (wrong := rule(value)) is not None:
                faults.wrong.setdefault(here, []).append(wrong)
            found[name] = value
    return found


def _rows(value: Any, rows: Rows, at: str, faults: _Faults) -> list[Json]:
    if not isinstance(value, list):
        faults.wrong.setdefault(at, []).append("must be a list")
        return []
    return [_object(entry, rows.of, f"{at}[{index}]", faults) for index, entry in enumerate(value)]


def integer(least: int, most: int = 10**12) -> Check:
    def check(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"must be an integer from {least}"

    return check


def number(value: Any) -> str | None:
    return None if isinstance(value, int | float) and not isinstance(value, bool) else "must be a number"


def words(*allowed: str) -> Check:
    def check(value: Any) -> str | None:
        good = isinstance(value, list) and all(isinstance(word, str) and word in allowed for word in value)
        return None if good else "must be a list of " + ", ".join(allowed)

    return check


def flat_object(value: Any) -> str | None:
    good = isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values())
    return None if good else "must be an object of strings"


LAST4: Final = matching(r"[0-9]{4}", "be 4 digits")
CURRENCY: Final = matching(r"[A-Z]{3}", "be an ISO 4217 code")

CUSTOMER: Final = Shape({"reference_id": text(255, shortest=1), "name": text(), "email": email}, ("reference_id",))
_CARD_FACE: Final[Mapping[str, Check]] = {
    "last4": LAST4,
    "exp_month": integer(1, 12),
    "exp_year": integer(1000, 9999),
    "bin": matching(r"[0-9]{6,8}", "be 6 to 8 digits"),
    "card_brand": text(40),
    "holder_name": text(),
}
_ACCOUNT_FACE: Final[Mapping[str, Check]] = {
    "routing_number": routing_number,
    "account_suffix": LAST4,
    "account_type": one_of("checking", "savings"),
    "holder_name": text(),
}
_CARD_NEEDED: Final = ("last4", "exp_month", "exp_year")
_TOKEN: Final[Mapping[str, Check]] = {"fingerprint": text(200, shortest=1)}
CREDIT: Final = Shape({**_TOKEN, **_CARD_FACE}, ("fingerprint", *_CARD_NEEDED))
ACH: Final = Shape({**_TOKEN, **_ACCOUNT_FACE}, ("fingerprint", "account_suffix"))
TYPES: Final = ("credit", "ach", "wallet_credit", "wallet_ach")
ANY_METHOD: Final = Shape(
    {
        "payment_method_type": one_of(*TYPES),
        "credit": CREDIT,
        "ach": ACH,
        "wallet": Shape({"saved_payment_method_uid": text(100, shortest=1)}, ("saved_payment_method_uid",)),
    },
    ("payment_method_type",),
)
SAVE: Final = Shape({"payment_method": ANY_METHOD}, ("payment_method",))
SET_DEFAULT: Final = Shape({"saved_payment_method_uid": text(100, shortest=1)}, ("saved_payment_method_uid",))
IMPORT_METHOD: Final = Shape(
    {
        "payment_method_type": one_of("credit", "ach"),
        "credit": Shape(_CARD_FACE, _CARD_NEEDED),
        "ach": Shape(_ACCOUNT_FACE, ("account_suffix",)),
    },
    ("payment_method_type",),
)


def detail_of(method: Json, allowed: tuple[str, ...] = TYPES) -> tuple[str, Json]:
    """A method's type and its one required sub-object. Raises CaselleRefusal."""
    kind = method["payment_method_type"]
    name = "wallet" if kind.startswith("wallet_") else kind
    errors: dict[str, list[str]] = {}
    if kind not in allowed:
        errors["payment_method.payment_method_type"] = ["must be one of " + ", ".join(allowed)]
    elif name not in method:
        errors[f"payment_method.{name}"] = ["is required"]
    for other in ("credit", "ach", "wallet"):
        if other != name and other in method:
            errors[f"payment_method.{other}"] = ["does not belong to this payment_method_type"]
    if errors:
        raise CaselleRefusal(CaselleProblem.INVALID, errors=errors)
    return kind, method[name]
