"""Caselle's words to ours and back. Pure: no I/O, no clock, no settings.

The shape of its lists is not published: a bare array is read, and an array under one of the names that APIs use for it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from app.errors import FieldFault
from app.providers.caselle.wire import (
    WireAch,
    WireAchToSave,
    WireCredit,
    WireCreditToSave,
    WireMethodToSave,
    WirePaymentMethod,
    WireSavedMethod,
)
from app.providers.lists import Page, is_error, to_page
from app.providers.support import (
    bin_of,
    collect_methods,
    fault,
    flag,
    instant_of,
    last4_of,
    read_month,
    required,
    text,
    unsupported,
    word,
)
from app.vault.model import (
    BankAccount,
    Card,
    NewBankAccount,
    NewCard,
    NewCustomer,
    NewMethod,
    OtherMethod,
    PaymentMethod,
    VaultWallet,
)
from app.vault.names import (
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

ROUTE_KINDS: Final[Mapping[AddRoute, frozenset[PaymentMethodKind]]] = {
    AddRoute.PROVIDER_TOKEN: frozenset({PaymentMethodKind.CARD, PaymentMethodKind.BANK_ACCOUNT}),
}
_BRAND: Final[Mapping[str, CardBrand]] = {
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
_ACCOUNT_TYPE: Final[Mapping[str, BankAccountType]] = {
    "checking": BankAccountType.CHECKING,
    "savings": BankAccountType.SAVINGS,
}
_TYPE_OF_ACCOUNT: Final[Mapping[BankAccountType, str]] = {ours: theirs for theirs, ours in _ACCOUNT_TYPE.items()}
_NOT_LETTERS: Final = re.compile(r"[^A-Z]")
_LAST4: Final = re.compile(r"[0-9]{4}")
_BIN: Final = re.compile(r"[0-9]{6,8}")
_ROUTING: Final = re.compile(r"[0-9]{9}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_CREDIT: Final = ("credit", "card")  # hosted sessions call the same thing a card
_ACH: Final = ("ach",)
_CUSTOMER_KEYS: Final = ("customer_uid", "customer_id", "customer")
_DEFAULT_UID: Final = "default_saved_payment_method_uid"


# ---- reading ----------------------------------------------------------------------------------------------


def to_wallet(
    ref: CustomerRef,
    records: Sequence[Any],
    default: MethodRef | None,
    request_id: str | None,
    *,
    truncated: bool = False,
) -> VaultWallet:
    """Read the records of a list of saved methods; one that cannot be read is skipped and counted.

    `default` is the customer's own word for it, used where the records carry no `is_default`. Raises ValueError for a
    list of errors. Source: "Customers & wallets".
    """
    methods, skipped = collect_methods(records, lambda record: to_method(record, ref, default))
    return VaultWallet(
        provider=ProviderName.CASELLE,
        customer_ref=ref,
        methods=methods,
        skipped=skipped,
        truncated=truncated,
        provider_request_id=request_id,
    )


def customers_in(body: Any, *, is_customer: bool = False) -> list[str]:
    """The customers that a reply names, in itself and in the records of its lists.

    `is_customer`: a `uid` of the reply itself is a customer's, and not that of a saved method.
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
    """A list reply as one page; raises ValueError when it is no list. How Caselle pages is not published: as OData."""
    return to_page(records_in(body), body if isinstance(body, dict) else {}, headers, url)


def default_in(body: Any) -> MethodRef | None:
    """The default that a customer, or the wrapping of a list, names; None where it names none."""
    named = text(body.get(_DEFAULT_UID)) if isinstance(body, dict) else None
    return MethodRef(named) if named else None


def tells_default(body: Any, records: Sequence[Any]) -> bool:
    """Whether a list says which method is the default, or is empty and has none: else the customer must be asked."""
    if isinstance(body, dict) and _DEFAULT_UID in body:
        return True
    told = (flag(record.get("is_default")) for record in records if isinstance(record, dict))
    return not records or any(said is not None for said in told)


def refs_in(records: Sequence[Any]) -> frozenset[MethodRef]:
    """The ids of all records, of those too that cannot be read otherwise."""
    held = (record for record in records if isinstance(record, dict))
    return frozenset(MethodRef(uid) for uid in (text(_uid(record)) for record in held) if uid)


def to_method(wire: Any, ref: CustomerRef, default: MethodRef | None = None) -> PaymentMethod:
    """Read one saved method. Without a published status it is ACTIVE; a type we have not met is an OtherMethod.

    Raises KeyError, TypeError, AttributeError or ValueError without an id or a type; any other value that cannot be
    read is None.
    """
    record = cast("WireSavedMethod", wire)
    status, detail = _status(wire)
    base: dict[str, Any] = {
        "provider": ProviderName.CASELLE,
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
    """The id of a saved method; raises ValueError where there is none."""
    found = text(_uid(wire)) if isinstance(wire, dict) else None
    if found is None:
        raise ValueError("no saved_payment_method_uid")
    return MethodRef(found)


def customer_ref_of(wire: Any) -> CustomerRef:
    """The id of a customer; raises ValueError where there is none."""
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
        account_type=_ACCOUNT_TYPE.get(account_type.lower(), BankAccountType.UNKNOWN) if account_type else None,
    )


def _kind(method: WirePaymentMethod) -> str:
    """The method's type; without one, the part that is there names it. Raises ValueError where neither can be read."""
    given = method.get("payment_method_type")
    named = word(given)
    if named is None and not text(given):
        held = [kind for kind in (*_CREDIT, *_ACH) if method.get(kind)]
        named = held[0] if len(held) == 1 else None
    if named is None:
        raise ValueError("a method without a type")
    return named.lower() if named.lower() in (*_CREDIT, *_ACH) else named


def _part(method: WirePaymentMethod, names: Sequence[str]) -> Mapping[str, Any]:
    """The details of a method; empty where they are missing or no object."""
    parts = (cast("Mapping[str, Any]", method).get(name) for name in names)
    return next((part for part in parts if isinstance(part, dict)), {})


def _is_default(record: WireSavedMethod, default: MethodRef | None) -> bool | None:
    """None where neither the record nor the customer says: no vault word, no guess."""
    told = flag(record.get("is_default"))
    if told is None and default:
        return saved_ref_of(record) == default
    return told


def _status(record: Mapping[str, Any]) -> tuple[PaymentMethodStatus, str | None]:
    """The record's `status`, and any flag that says not to use it. What cannot be read is UNKNOWN, not ACTIVE."""
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
    if known := _BRAND.get(name):
        return known
    spelled = _NOT_LETTERS.sub("", name.upper())
    return _BRAND.get(spelled, CardBrand.OTHER) if spelled else CardBrand.UNKNOWN


# ---- writing: exact bodies, since unknown properties are rejected -----------------------------------------


def from_customer(new: NewCustomer) -> dict[str, str]:
    """The body of ``POST /api/customers``: the name is one string, phone and address have no place."""
    body = {"reference_id": new.external_id, "name": str(new.name), "email": new.email}
    return {name: value for name, value in body.items() if value}


def from_new(new: NewMethod) -> dict[str, WireMethodToSave]:
    """The body of ``POST /api/customers/{uid}/payment-methods``. It has passed `faults_of_method`."""
    if isinstance(new, NewCard):
        return {"payment_method": {"payment_method_type": "credit", "credit": _credit(new)}}
    return {"payment_method": {"payment_method_type": "ach", "ach": _ach(new)}}


def _credit(new: NewCard) -> WireCreditToSave:
    found: dict[str, Any] = {
        "fingerprint": new.secret.reveal(),
        "last4": new.last4,
        "exp_month": new.expiry.month if new.expiry else None,
        "exp_year": new.expiry.year if new.expiry else None,
        "bin": new.bin,
        "card_brand": brand_word(new.brand),
        "holder_name": holder_of(new),
    }
    return cast("WireCreditToSave", {name: value for name, value in found.items() if value is not None})


def _ach(new: NewBankAccount) -> WireAchToSave:
    found: dict[str, Any] = {
        "fingerprint": new.secret.reveal(),
        "routing_number": new.routing_number,
        "account_suffix": new.last4,
        "account_type": _TYPE_OF_ACCOUNT.get(new.account_type) if new.account_type else None,
        "holder_name": holder_of(new),
    }
    return cast("WireAchToSave", {name: value for name, value in found.items() if value is not None})


def holder_of(new: NewMethod) -> str | None:
    """The holder as one string: as given, else joined from its parts."""
    return new.holder_name or " ".join(part for part in (new.first_name, new.last_name) if part) or None


def brand_word(brand: CardBrand | None) -> str | None:
    """`card_brand` of a brand; None where there is no word that Caselle would know."""
    return None if brand in (None, CardBrand.OTHER, CardBrand.UNKNOWN) else cast("CardBrand", brand).value


# ---- rules ------------------------------------------------------------------------------------------------


def faults_of_method(new: NewMethod) -> list[FieldFault]:
    """Every fault of one new method at once; what Caselle has no property for is refused, not dropped."""
    return [*_faults_of_any(new), *(_faults_of_card(new) if isinstance(new, NewCard) else _faults_of_account(new))]


def _faults_of_any(new: NewMethod) -> Iterator[FieldFault]:
    if not new.secret:
        yield required("secret", message="Caselle needs the token that the browser got.")
    if new.last4 is None:
        yield required("last4", message="Caselle needs the final four digits.")
    elif _LAST4.fullmatch(new.last4) is None:
        yield fault("last4", message="The final four digits are four digits.")
    if not (holder_of(new) or "").strip():
        yield required("holder_name", message="Caselle needs the holder's name.")
    if new.title is not None:
        yield unsupported("title", message="Caselle keeps no title for a payment method.")
    if new.is_secondary:
        yield unsupported("is_secondary", message="Caselle knows no secondary payment method.")
    if new.billing_address is not None:
        yield unsupported("billing_address", message="Caselle keeps no address for a payment method.")


def _faults_of_card(new: NewCard) -> Iterator[FieldFault]:
    if new.expiry is None:
        yield required("expiry", message="Caselle needs the month of expiry.")
    if new.bin is not None and _BIN.fullmatch(new.bin) is None:
        yield fault("bin", message="A BIN has 6 to 8 digits.")
    if new.authenticate is not None:
        yield unsupported("authenticate", message="Caselle performs no 3-D Secure.")


def _faults_of_account(new: NewBankAccount) -> Iterator[FieldFault]:
    if new.rail is not BankRail.ACH:
        yield unsupported("rail", message="Caselle stores ACH accounts only.")
    if new.routing_number is None:
        yield required("routing_number", message="An ACH account needs its routing number.")
    elif _ROUTING.fullmatch(new.routing_number) is None:
        yield fault("routing_number", message="A routing number has nine digits.")
    if new.account_type is None:
        yield required("account_type", message="An ACH account needs its type.")
    elif new.account_type not in _TYPE_OF_ACCOUNT:
        yield fault("account_type", message="Caselle knows checking and savings accounts.")


def faults_of_new_customer(new: NewCustomer) -> list[FieldFault]:
    """`external_id` becomes `reference_id`: 1 to 255 characters, case-sensitive. Phone and address are not kept."""
    faults: list[FieldFault] = []
    if not new.external_id.strip():
        faults.append(required("external_id", message="Caselle needs a key for its customer."))
    elif len(new.external_id) > 255:
        faults.append(fault("external_id", message="Caselle takes keys of up to 255 characters."))
    if new.email and _EMAIL.fullmatch(new.email) is None:
        faults.append(fault("email", message="This is not an e-mail address."))
    return faults
