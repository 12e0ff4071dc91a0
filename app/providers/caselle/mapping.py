"""Maps Caselle's wire types to the unified model. Pure: no I/O, no clock, no settings.

The shape of its lists is not published: bare arrays are accepted, and arrays under one of the usual names.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from app.providers.base import collect_methods
from app.providers.caselle.wire import WireAch, WireCredit, WirePaymentMethod, WireSavedMethod
from app.providers.lists import Page, is_error, to_page
from app.providers.values import bin_of, flag, instant_of, last4_of, read_month, text, word
from app.vault.enums import (
    AddRoute,
    BankAccountType,
    BankRail,
    CardBrand,
    CustomerRef,
    MethodRef,
    PaymentMethodKind,
    PaymentMethodStatus,
    ProviderName,
)
from app.vault.model import BankAccount, Card, OtherMethod, PaymentMethod, VaultWallet

NAME: Final = ProviderName("caselle")
ROUTE_KINDS: Final[Mapping[AddRoute, frozenset[PaymentMethodKind]]] = {
    AddRoute.PROVIDER_TOKEN: frozenset({PaymentMethodKind.CARD, PaymentMethodKind.BANK_ACCOUNT}),
}
BRAND: Final[Mapping[str, CardBrand]] = {
    "VISA": CardBrand.VISA,
    "MASTERCARD": CardBrand.MASTERCARD,
    "MC": CardBrand.MASTERCARD,
    "AMEX": CardBrand.AMEX,
    "AMERICANEXPRESS": CardBrand.AMEX,
    "DISCOVER": CardBrand.DISCOVER,
    "JCB": CardBrand.JCB,
    "DINERS": CardBrand.DINERS,
    "DINERSCLUB": CardBrand.DINERS,
    "UNIONPAY": CardBrand.UNIONPAY,
    "CHINAUNIONPAY": CardBrand.UNIONPAY,
}
_STATUS: Final[Mapping[str, PaymentMethodStatus]] = {
    "active": PaymentMethodStatus.ACTIVE,
    "inactive": PaymentMethodStatus.INACTIVE,
    "disabled": PaymentMethodStatus.INACTIVE,
    "deactivated": PaymentMethodStatus.INACTIVE,
    "deleted": PaymentMethodStatus.DELETED,
    "pending": PaymentMethodStatus.PENDING,
    "suspended": PaymentMethodStatus.SUSPENDED,
    "blocked": PaymentMethodStatus.SUSPENDED,
    "expired": PaymentMethodStatus.EXPIRED,
}
_USE_FLAGS: Final = ("active", "is_active", "enabled")
_LIST_NAMES: Final = ("value", "items", "data", "results", "payment_methods", "saved_payment_methods", "customers")
ACCOUNT_TYPE: Final[Mapping[str, BankAccountType]] = {
    "checking": BankAccountType.CHECKING,
    "savings": BankAccountType.SAVINGS,
}
TYPE_OF_ACCOUNT: Final[Mapping[BankAccountType, str]] = {ours: theirs for theirs, ours in ACCOUNT_TYPE.items()}
_NOT_LETTERS: Final = re.compile(r"[^A-Z]")
_CREDIT: Final = ("credit", "card")  # hosted sessions use both for a card
_ACH: Final = ("ach",)
_CUSTOMER_KEYS: Final = ("customer_uid", "customer_id", "customer")
_DEFAULT_UID: Final = "default_saved_payment_method_uid"


def to_wallet(
    ref: CustomerRef,
    records: Sequence[Any],
    default: MethodRef | None,
    request_id: str | None,
    *,
    truncated: bool = False,
) -> VaultWallet:
    """Parse the records of a list of saved methods; unreadable ones are skipped and counted.

    `default` is the default named by the customer, used if the records have no `is_default`. Raises ValueError for a
    list of errors. Source: "Customers & wallets".
    """
    methods, skipped = collect_methods(records, lambda record: to_method(record, ref, default))
    return VaultWallet(
        provider=NAME,
        customer_ref=ref,
        methods=methods,
        skipped=skipped,
        truncated=truncated,
        provider_request_id=request_id,
    )


def customers_in(body: Any, *, is_customer: bool = False) -> list[str]:
    """The customers that a reply names, in itself and in the records of its lists.

    `is_customer`: a `uid` of the reply itself is a customer's, not a saved method's.
    """
    if isinstance(body, list):
        return [found for record in body for found in _named_in(record)]
    if not isinstance(body, dict):
        return []
    named = _named_in(body)
    if is_customer and (own := text(body.get("uid"))):
        named.append(own)
    lists = [value for value in body.values() if isinstance(value, list)]
    return named + [found for records in lists for record in records for found in _named_in(record)]


def _named_in(record: Any) -> list[str]:
    if not isinstance(record, dict):
        return []
    named = [record[key] for key in _CUSTOMER_KEYS if key in record]
    uids = (text(one.get("uid")) if isinstance(one, dict) else text(one) for one in named)
    return [uid for uid in uids if uid]


def records_in(body: Any) -> list[Any]:
    """The records of a list reply: bare, or under one name. Raises ValueError for anything else, errors included."""
    if isinstance(body, list):
        return body
    found = [body[name] for name in _LIST_NAMES if isinstance(body.get(name), list)] if isinstance(body, dict) else []
    if len(found) != 1 or is_error(body, is_empty=not found[0]):
        raise ValueError("not a list")
    records: list[Any] = found[0]
    return records


def page_of(body: Any, headers: Mapping[str, str], url: str) -> Page:
    """A list reply as one page; raises ValueError if it is no list. Caselle's pagination is not published: OData is
    assumed.
    """
    return to_page(records_in(body), body if isinstance(body, dict) else {}, headers, url)


def default_in(body: Any) -> MethodRef | None:
    """The default named by a customer or by the object around a list; None if it names none."""
    named = text(body.get(_DEFAULT_UID)) if isinstance(body, dict) else None
    return MethodRef(named) if named else None


def has_default(body: Any, records: Sequence[Any]) -> bool:
    """True if a list names the default, or is empty; otherwise the customer must be read."""
    if isinstance(body, dict) and _DEFAULT_UID in body:
        return True
    flags = (flag(record.get("is_default")) for record in records if isinstance(record, dict))
    return not records or any(value is not None for value in flags)


def refs_in(records: Sequence[Any]) -> frozenset[MethodRef]:
    """The ids of all records, including those that cannot be parsed otherwise."""
    held = (record for record in records if isinstance(record, dict))
    return frozenset(MethodRef(uid) for uid in (text(_uid(record)) for record in held) if uid)


def to_method(wire: Any, ref: CustomerRef, default: MethodRef | None = None) -> PaymentMethod:
    """Parse one saved method. Without a published status it is ACTIVE; an unknown type is an OtherMethod.

    Raises KeyError, TypeError, AttributeError or ValueError without an id or a type; any other unreadable value is
    None.
    """
    record = cast("WireSavedMethod", wire)
    status, detail = _status(wire)
    base: dict[str, Any] = {
        "provider": NAME,
        "customer_ref": ref,
        "method_ref": saved_ref_of(record),
        "status": status,
        "status_detail": detail,
        "is_provider_default": _is_default(record, default),
        "created_at": instant_of(record.get("created_at")),
    }
    method = record["payment_method"]
    kind = _kind(method)
    if kind in _CREDIT:
        return _to_card(base, cast("WireCredit", _part(method, _CREDIT)))
    if kind in _ACH:
        return _to_bank_account(base, cast("WireAch", _part(method, _ACH)))
    return OtherMethod(**base, provider_kind=kind)


def saved_ref_of(wire: Any) -> MethodRef:
    """The id of a saved method; raises ValueError if there is none."""
    found = text(_uid(wire)) if isinstance(wire, dict) else None
    if found is None:
        raise ValueError("no saved_payment_method_uid")
    return MethodRef(found)


def customer_ref_of(wire: Any) -> CustomerRef:
    """The id of a customer; raises ValueError if there is none."""
    found = text(wire.get("uid")) if isinstance(wire, dict) else None
    if found is None:
        raise ValueError("no customer uid")
    return CustomerRef(found)


def _uid(record: Mapping[str, Any]) -> object:
    return record.get("saved_payment_method_uid") or record.get("uid")


def _to_card(base: Mapping[str, Any], wire: WireCredit) -> Card:
    expiry, has_unreadable_expiry = read_month(wire.get("exp_month"), wire.get("exp_year"))
    return Card(
        **base,
        holder_name=text(wire.get("holder_name")),
        last4=last4_of(wire.get("last4")),
        brand=_brand(wire.get("card_brand")),
        expiry=expiry,
        has_unreadable_expiry=has_unreadable_expiry,
        bin=bin_of(wire.get("bin")),
    )


def _to_bank_account(base: Mapping[str, Any], wire: WireAch) -> BankAccount:
    account_type = text(wire.get("account_type"))
    return BankAccount(
        **base,
        holder_name=text(wire.get("holder_name")),
        last4=last4_of(wire.get("account_suffix")) or last4_of(wire.get("last4")),
        rail=BankRail.ACH,
        account_type=ACCOUNT_TYPE.get(account_type.lower(), BankAccountType.UNKNOWN) if account_type else None,
    )


def _kind(method: WirePaymentMethod) -> str:
    """The method's type, or that of the sub-object present. Raises ValueError if neither can be read."""
    given = method.get("payment_method_type")
    named = word(given)
    if named is None and not text(given):
        held = [kind for kind in (*_CREDIT, *_ACH) if method.get(kind)]
        named = held[0] if len(held) == 1 else None
    if named is None:
        raise ValueError("a method without a type")
    return named.lower() if named.lower() in (*_CREDIT, *_ACH) else named


def _part(method: WirePaymentMethod, names: Sequence[str]) -> Mapping[str, Any]:
    """The details of a method; empty if they are missing or no object."""
    parts = (cast("Mapping[str, Any]", method).get(name) for name in names)
    return next((part for part in parts if isinstance(part, dict)), {})


def _is_default(record: WireSavedMethod, default: MethodRef | None) -> bool | None:
    """None if neither the record nor the customer says; it is not guessed."""
    is_default = flag(record.get("is_default"))
    if is_default is None and default:
        return saved_ref_of(record) == default
    return is_default


def _status(record: Mapping[str, Any]) -> tuple[PaymentMethodStatus, str | None]:
    """The record's `status`, and any flag that forbids its use. An unreadable one is UNKNOWN, not ACTIVE."""
    flags = [flag(record[name]) for name in _USE_FLAGS if record.get(name) is not None]
    given = record.get("status")
    if given is None:
        found, detail = PaymentMethodStatus.ACTIVE, None
    else:
        spelled = word(given)
        found = _STATUS.get((spelled or "").lower(), PaymentMethodStatus.UNKNOWN)
        detail = spelled if found is PaymentMethodStatus.UNKNOWN else None
    if found is PaymentMethodStatus.ACTIVE and not all(flags):
        return (PaymentMethodStatus.INACTIVE if False in flags else PaymentMethodStatus.UNKNOWN), None
    return found, detail


def _brand(name: object) -> CardBrand:
    if not isinstance(name, str):
        return CardBrand.UNKNOWN
    if known := BRAND.get(name):
        return known
    spelled = _NOT_LETTERS.sub("", name.upper())
    return BRAND.get(spelled, CardBrand.OTHER) if spelled else CardBrand.UNKNOWN
