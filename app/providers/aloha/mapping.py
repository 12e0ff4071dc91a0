"""Maps Aloha's saved payments to cards. Pure: no I/O, no clock, no settings.

The token (`AccountNumber`) and `SecurityCode` are not mapped; a token is only compared.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from app.providers.aloha.settings import AlohaPaymentProvider
from app.providers.aloha.wire import WirePayment
from app.providers.base import collect, collect_methods, records_of
from app.providers.lists import is_error, says_more
from app.providers.values import integer, last4_of, postal_code_of, read_expiry, text
from app.vault.enums import CardBrand, CustomerRef, MethodRef, ProviderName
from app.vault.model import Address, BeforeAdd, Card, Expiry, VaultWallet
from app.vault.secret import Secret

NAME: Final = ProviderName("aloha")


CARD_TYPES: Final[Mapping[CardBrand, int]] = {
    CardBrand.AMEX: 0,
    CardBrand.DISCOVER: 3,
    CardBrand.JCB: 5,
    CardBrand.MASTERCARD: 6,
    CardBrand.VISA: 7,
}
PROVIDER_TYPES: Final[Mapping[StrEnum, int]] = {
    AlohaPaymentProvider.CONNECTED_PAYMENTS: 2,
    AlohaPaymentProvider.CREDIT_CALL: 4,
    AlohaPaymentProvider.FREEDOM_PAY: 6,
}
PROCESSOR_OF_NUMBER: Final = {number: str(provider) for provider, number in PROVIDER_TYPES.items()}
BRAND_OF_NUMBER: Final = {number: brand for brand, number in CARD_TYPES.items()}
_NUMBER_OF_CARD: Final = {
    "amex": 0,
    "americanexpress": 0,
    "discover": 3,
    "jcb": 5,
    "mastercard": 6,
    "visa": 7,
}
_NUMBER_OF_PROVIDER: Final = {"connectedpayments": 2, "creditcall": 4, "freedompay": 6}
_GUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
is_guid: Final = re.compile(_GUID.replace("a-f", "a-fA-F")).fullmatch
"""Aloha's ids are GUIDs in any case; anything else must not be used in a URL."""
is_lower_guid: Final = re.compile(_GUID).fullmatch
_BARE_GUID: Final = re.compile(r"[0-9a-f]{32}")
_BRACES: Final = (("{", "}"), ("(", ")"))
_LIST_KEYS: Final = ("Payments", "$values", "AccountId")
_SEPARATORS: Final = re.compile(r"[\s\-]")
_MASKED_BIN: Final = re.compile(r"([0-9]{6}|[0-9]{8})[*xX●]")
_NOTHING_SHOWN: Final = re.compile(r"[*xX●/\- ]*")


def guid_of(value: object) -> str:
    """A GUID in lower case with dashes, without braces or parentheses; raises ValueError on anything else.

    .NET reads and writes a GUID in each of these forms, and they are the same id.
    """
    spelled = value.strip().lower() if isinstance(value, str) else ""
    if (spelled[:1], spelled[-1:]) in _BRACES:
        spelled = spelled[1:-1]
    if _BARE_GUID.fullmatch(spelled):
        spelled = "-".join((spelled[:8], spelled[8:12], spelled[12:16], spelled[16:20], spelled[20:]))
    if not is_lower_guid(spelled):
        raise ValueError("not a GUID")
    return spelled


def canonical_ref(spelled: str, /) -> CustomerRef:
    """A GUID as `guid_of` writes it; other text unchanged, without surrounding blanks."""
    try:
        return CustomerRef(guid_of(spelled))
    except ValueError:
        return CustomerRef(spelled.strip())


def customers_in(body: Any) -> list[str]:
    """The customers that a reply names: in itself, or in any saved payment.

    `CustomerProfileId`, of `Payments/Info`, is an id of the payment provider and not a customer's.
    """
    records = [body, *payments_of(body)] if isinstance(body, list | dict) and _is_list(body) else [body]
    named = (record.get("CustomerId") for record in records if isinstance(record, dict))
    return [found for one in named if (found := text(one))]


def _is_list(body: Any) -> bool:
    return isinstance(body, list) or any(key in body for key in _LIST_KEYS)


def customer_of(body: Any) -> dict[str, Any]:
    """The record of a customer; raises ValueError for anything else, such as an error or an empty body."""
    if not isinstance(body, dict) or not body or is_error(body, is_empty="CustomerId" not in body):
        raise ValueError("not a customer")
    return body


def enum_number(value: object, names: Mapping[str, int]) -> int | None:
    """An enum's number from a number, numeric text or its name; -1 for an unknown name, None for null."""
    number = integer(value)
    if number is not None:
        return number
    spelled = text(value)
    return None if spelled is None else names.get(re.sub(r"[^a-z]", "", spelled.lower()), -1)


def payments_of(body: Any) -> list[Any]:
    """The saved payments of any documented list: an array, a single payment, or an object with `Payments`.

    The help page of the list shows one object although its text describes several. Json.NET's `$values` and `$ref` are
    resolved. Null is an empty list; anything else raises ValueError.
    """
    if body is None:
        return []
    if isinstance(body, dict):
        within = next((name for name in ("Payments", "$values") if name in body), None)
        if is_error(body, is_empty=within is not None and not body[within]):
            raise ValueError("an error")
        if within is not None:
            return payments_of(body[within])
        if "AccountId" in body:
            return [body]
    records = records_of(body)
    by_id = {
        id_: record for record in records if isinstance(record, dict) and isinstance(id_ := record.get("$id"), str)
    }
    return [_referenced(record, by_id) for record in records]


def _referenced(record: Any, by_id: Mapping[str, Any]) -> Any:
    ref = record.get("$ref") if isinstance(record, dict) else None
    return by_id.get(ref) if isinstance(ref, str) else record


def to_wallet(ref: CustomerRef, body: Any, request_id: str | None = None) -> VaultWallet:
    """Parse a list. Aloha has no pages: if it ever reports more, the wallet is truncated."""
    methods, skipped = collect_methods(payments_of(body), lambda payment: to_card(ref, payment))
    return VaultWallet(
        provider=NAME,
        customer_ref=ref,
        methods=methods,
        skipped=skipped,
        truncated=isinstance(body, dict) and says_more(body, len(methods) + skipped),
        provider_request_id=request_id,
    )


def to_card(ref: CustomerRef, payment: WirePayment) -> Card:
    """Parse one saved payment. It is always a card; Aloha has no status, default, title or holder name.

    Raises KeyError or ValueError without an `AccountId`. `MethodType` has more values than the published ones. Source:
    'GET v1/Customers/{customerId}/Payments'.
    """
    masked, postal_code = payment.get("MaskedAccountNumber"), postal_code_of(payment.get("ZipCode"))
    expiry, has_unreadable_expiry = _expiry(payment)
    return Card(
        provider=NAME,
        customer_ref=ref,
        method_ref=MethodRef(guid_of(payment["AccountId"])),
        brand=_brand(payment.get("MethodType")),
        last4=last4_of(masked),
        bin=masked_bin(masked),
        expiry=expiry,
        has_unreadable_expiry=has_unreadable_expiry,
        processor=_processor(payment.get("ProviderType")),
        billing_address=Address(postal_code=postal_code) if postal_code else None,
    )


def _expiry(payment: WirePayment) -> tuple[Expiry | None, bool]:
    """`ExpirationDate`, else `MaskedExpirationDate`; a fully masked date is no value."""
    expiry, is_unreadable = read_expiry(payment.get("ExpirationDate"))
    masked = payment.get("MaskedExpirationDate")
    if expiry is not None or (isinstance(masked, str) and _NOTHING_SHOWN.fullmatch(masked)):
        return expiry, is_unreadable
    from_mask, is_mask_unreadable = read_expiry(masked)
    return from_mask, from_mask is None and (is_unreadable or is_mask_unreadable)


def _brand(method_type: object) -> CardBrand:
    number = enum_number(method_type, _NUMBER_OF_CARD)
    return CardBrand.UNKNOWN if number is None else BRAND_OF_NUMBER.get(number, CardBrand.OTHER)


def _processor(provider_type: object) -> str | None:
    """The payment provider's name; ``OTHER_1`` for one whose number is not published."""
    number = enum_number(provider_type, _NUMBER_OF_PROVIDER)
    return None if number is None else PROCESSOR_OF_NUMBER.get(number, "OTHER" if number < 0 else f"OTHER_{number}")


def masked_bin(masked: object) -> str | None:
    """The leading digits, if a mask follows them."""
    if not isinstance(masked, str):
        return None
    found = _MASKED_BIN.match(masked) or _MASKED_BIN.match(_SEPARATORS.sub("", masked))
    return found[1] if found else None


def to_before(body: Any, provider: StrEnum | None, secret: Secret) -> BeforeAdd:
    """The state before an add. The same token at the same payment provider is the same card."""
    payments = payments_of(body)
    refs, _ = collect(payments, lambda payment: MethodRef(guid_of(payment["AccountId"])))
    return BeforeAdd(
        method_refs=frozenset(refs), duplicate_of=next(iter(_with_token(payments, provider, secret)), None)
    )


def _with_token(payments: Iterable[Any], provider: StrEnum | None, secret: Secret) -> tuple[MethodRef, ...]:
    """Tokens are only compared here, in memory."""
    number = None if provider is None else PROVIDER_TYPES[provider]

    def is_same(payment: Any) -> bool:
        held = text(payment.get("AccountNumber"))
        is_there = enum_number(payment.get("ProviderType"), _NUMBER_OF_PROVIDER) == number
        return held is not None and is_there and Secret(held) == Secret(secret.reveal().strip())

    def read(payment: Any) -> MethodRef | None:
        return MethodRef(guid_of(payment["AccountId"])) if is_same(payment) else None

    refs, _ = collect(payments, read)
    return tuple(ref for ref in refs if ref is not None)


def to_guid_answer(body: str | bytes) -> str:
    """The bare JSON string that an add returns; also without its quotes. Raises ValueError on anything else."""
    return guid_of((body.decode("utf-8-sig") if isinstance(body, bytes) else body).strip().strip('"'))


def to_customer_ref(body: Any) -> CustomerRef:
    """`CustomerResults`: without `verbose` only its `CustomerId` is set."""
    return CustomerRef(guid_of(body["CustomerId"] if isinstance(body, dict) else body))
