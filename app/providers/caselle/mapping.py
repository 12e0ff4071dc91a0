"""Caselle's words to ours and back. Pure: no I/O, no clock, no settings.

The shape of its lists is not published: a bare array and an array under any one key are both read.
"""

import re
from collections.abc import Iterator, Mapping
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
from app.providers.support import (
    collect,
    distinct,
    fault,
    flag,
    instant_of,
    last4_of,
    month_of,
    required,
    text,
    unsupported,
)
from app.vault.model import (
    BankAccount,
    Card,
    Expiry,
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
    "pending": PaymentMethodStatus.PENDING,
    "suspended": PaymentMethodStatus.SUSPENDED,
    "expired": PaymentMethodStatus.EXPIRED,
}
_ACCOUNT_TYPE: Final[Mapping[str, BankAccountType]] = {
    "checking": BankAccountType.CHECKING,
    "savings": BankAccountType.SAVINGS,
}
_TYPE_OF_ACCOUNT: Final[Mapping[BankAccountType, str]] = {ours: theirs for theirs, ours in _ACCOUNT_TYPE.items()}
_NOT_LETTERS: Final = re.compile(r"[^A-Z]")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_-]{0,49}")
_LAST4: Final = re.compile(r"[0-9]{4}")
_BIN: Final = re.compile(r"[0-9]{6,8}")
_ROUTING: Final = re.compile(r"[0-9]{9}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_CREDIT: Final = ("credit", "card")  # hosted sessions call the same thing a card
_ACH: Final = ("ach",)
_CUSTOMER_KEYS: Final = ("customer_uid", "customer_id", "customer")
_DEFAULT_UID: Final = "default_saved_payment_method_uid"


# ---- reading ----------------------------------------------------------------------------------------------


def to_wallet(ref: CustomerRef, body: Any, default: MethodRef | None, request_id: str | None) -> VaultWallet:
    """Read a list of saved methods; a record that cannot be read is skipped and counted.

    `default` is the customer's own word for it, used where the records carry no `is_default`. Raises ValueError when
    the reply is no list. Source: "Customers & wallets".
    """
    records = records_in(body)
    named = default or default_in(body)
    methods, skipped = distinct(*collect(records, lambda record: to_method(record, ref, named)))
    return VaultWallet(
        provider=ProviderName.CASELLE,
        customer_ref=ref,
        methods=methods,
        skipped=skipped,
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
    """The records of a list reply: bare, or under the one key that holds an array."""
    if isinstance(body, list):
        return body
    arrays = [value for value in body.values() if isinstance(value, list)] if isinstance(body, dict) else []
    if len(arrays) != 1:
        raise ValueError("not a list")
    return arrays[0]


def default_in(body: Any) -> MethodRef | None:
    """The default that a customer, or the wrapping of a list, names; None where it names none."""
    named = text(body.get(_DEFAULT_UID)) if isinstance(body, dict) else None
    return MethodRef(named) if named else None


def tells_default(body: Any) -> bool:
    """Whether a list says which method is the default, or is empty and has none: else the customer must be asked."""
    if isinstance(body, dict) and _DEFAULT_UID in body:
        return True
    records = records_in(body)
    return not records or any(isinstance(record, dict) and "is_default" in record for record in records)


def refs_in(body: Any) -> frozenset[MethodRef]:
    """The ids of all records, of those too that cannot be read otherwise."""
    records = (record for record in records_in(body) if isinstance(record, dict))
    return frozenset(MethodRef(uid) for uid in (text(_uid(record)) for record in records) if uid)


def to_method(wire: Any, ref: CustomerRef, default: MethodRef | None = None) -> PaymentMethod:
    """Read one saved method. Without a published status it is ACTIVE; a type we have not met is an OtherMethod.

    Raises KeyError, TypeError, AttributeError or ValueError on a shape that the source rules out.
    """
    record = cast("WireSavedMethod", wire)
    status, detail = _status(record.get("status"))
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
        return _to_card(base, method["credit"])
    if kind in _ACH:
        return _to_bank_account(base, method["ach"])
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
    return Card(
        **base,
        holder_name=text(wire.get("holder_name")),
        last4=_matching(_LAST4, wire.get("last4")),
        brand=_brand(wire.get("card_brand")),
        expiry=_expiry(wire.get("exp_month"), wire.get("exp_year")),
        bin=_bin(wire.get("bin")),
    )


def _to_bank_account(base: Mapping[str, Any], wire: WireAch) -> BankAccount:
    account_type = text(wire.get("account_type"))
    return BankAccount(
        **base,
        holder_name=text(wire.get("holder_name")),
        last4=last4_of(wire.get("account_suffix") or wire.get("last4")),
        rail=BankRail.ACH,
        account_type=_ACCOUNT_TYPE.get(account_type.lower(), BankAccountType.UNKNOWN) if account_type else None,
    )


def _kind(method: WirePaymentMethod) -> str:
    named = text(method.get("payment_method_type"))
    if named is None:
        named = next((kind for kind in ("credit", "ach") if method.get(kind)), None)
    if named in _CREDIT or named in _ACH:
        return named
    if named is None or _WORD.fullmatch(named) is None:
        raise ValueError("a method without a type")
    return named


def _is_default(record: WireSavedMethod, default: MethodRef | None) -> bool | None:
    """None where neither the record nor the customer says: no vault word, no guess."""
    if record.get("is_default") is not None:
        return flag(record["is_default"])
    return saved_ref_of(record) == default if default else None


def _status(word: object) -> tuple[PaymentMethodStatus, str | None]:
    if word is None:
        return PaymentMethodStatus.ACTIVE, None
    known = _STATUS.get(word.lower()) if isinstance(word, str) else None
    if known is not None:
        return known, None
    return PaymentMethodStatus.UNKNOWN, word if isinstance(word, str) and _WORD.fullmatch(word) else None


def _brand(word: object) -> CardBrand:
    if not isinstance(word, str):
        return CardBrand.UNKNOWN
    if known := _BRAND.get(word):
        return known
    spelled = _NOT_LETTERS.sub("", word.upper())
    return _BRAND.get(spelled, CardBrand.OTHER) if spelled else CardBrand.UNKNOWN


def _expiry(month: object, year: object) -> Expiry | None:
    if month is None and year is None:
        return None
    return month_of(_integer(year), _integer(month))


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("not an integer")
    return int(value)


def _bin(value: object) -> str | None:
    """Six to eight digits; our model knows six or eight."""
    found = _matching(_BIN, value)
    return found[:6] if found and len(found) == 7 else found


def _matching(shape: re.Pattern[str], value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or shape.fullmatch(value) is None:
        raise ValueError("a value has another shape than documented")
    return value


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
