"""Maps J.P. Morgan's wire types to the unified model. Pure: no I/O, no clock, no settings."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, TypeVar, cast

from app.providers.base import collect, distinct
from app.providers.jpmorgan.profile import billing_address, methods_created_at, to_profile
from app.providers.jpmorgan.three_d_secure import pending_authentication
from app.providers.jpmorgan.verdicts import is_refusal, verdict
from app.providers.jpmorgan.wire import WireBankAccount, WireCard, WireMandate, WireMethod
from app.providers.lists import says_more
from app.providers.values import bin_of, last4_of, read_expiry, text, word
from app.vault.enums import (
    BankAccountType,
    BankRail,
    BankVerification,
    CardBrand,
    CardTokenType,
    CustomerRef,
    MethodRef,
    PaymentMethodStatus,
    ProviderName,
    WalletKind,
)
from app.vault.model import BankAccount, Card, Mandate, OtherMethod, PaymentMethod, StoredAddress, VaultWallet

NAME: Final = ProviderName("jpmorgan")
E = TypeVar("E")

BRAND: Final[Mapping[str, CardBrand]] = {
    "VI": CardBrand.VISA,
    "MC": CardBrand.MASTERCARD,
    "AX": CardBrand.AMEX,
    "DI": CardBrand.DISCOVER,
    "JC": CardBrand.JCB,
    "DC": CardBrand.DINERS,
}
_STATUS: Final[Mapping[str, PaymentMethodStatus]] = {
    "ACTIVE": PaymentMethodStatus.ACTIVE,
    "INACTIVE": PaymentMethodStatus.INACTIVE,
    "PENDING": PaymentMethodStatus.PENDING,
    "SUSPENDED": PaymentMethodStatus.SUSPENDED,
    "VERIFICATION_FAILED": PaymentMethodStatus.VERIFICATION_FAILED,
}
_TOKEN_TYPE: Final[Mapping[str, CardTokenType]] = {
    "NETWORK_TOKEN": CardTokenType.NETWORK_TOKEN,
    "DEVICE_TOKEN": CardTokenType.DEVICE_TOKEN,
}
_WALLET: Final[Mapping[str, WalletKind]] = {
    "APPLE_PAY": WalletKind.APPLE_PAY,
    "GOOGLE_PAY": WalletKind.GOOGLE_PAY,
    "PAZE": WalletKind.PAZE,
}
ACCOUNT_TYPE: Final[Mapping[str, BankAccountType]] = {
    "CHECKING": BankAccountType.CHECKING,
    "SAVING": BankAccountType.SAVINGS,
    "CORPORATE_CHECKING": BankAccountType.CORPORATE_CHECKING,
}
_RAIL_OF_LIST: Final[Mapping[str, BankRail]] = {
    "achList": BankRail.ACH,
    "sepaList": BankRail.SEPA,
    "bacsList": BankRail.BACS,
}
LISTS: Final = ("cardList", *_RAIL_OF_LIST)
_DEFAULT: Final = "defaultMOP"
_PROFILE_STATUS: Final[Mapping[str, PaymentMethodStatus]] = {
    "ACTIVE": PaymentMethodStatus.ACTIVE,
    "INACTIVE": PaymentMethodStatus.INACTIVE,
    "DELETED": PaymentMethodStatus.INACTIVE,
    "PENDING": PaymentMethodStatus.PENDING,
    "SUSPENDED": PaymentMethodStatus.SUSPENDED,
}
_VERIFIED: Final = {True: BankVerification.VERIFIED, False: BankVerification.FAILED}


# ---- the profile ------------------------------------------------------------------------------------------


def to_wallet(ref: CustomerRef, profile: Any, request_id: str | None) -> VaultWallet:
    """Parse a whole profile: the methods of all four lists, joined with defaults and addresses.

    Unreadable records are skipped and counted. If a profile is not ACTIVE, none of its methods is usable. Raises
    ValueError, KeyError or TypeError if the reply is no profile. Source: "Manage payment methods for a consumer
    profile".
    """
    profile_id_of(profile)
    rest, addresses = to_profile(profile)
    joined = Joined(
        addresses,
        _defaults(profile),
        _profile_status(profile.get("profileStatus")),
        methods_created_at(rest.created_at, rest.updated_at),
    )
    methods: list[PaymentMethod] = []
    skipped = 0
    for name, records in _lists(profile):
        found, unreadable = collect(records, _reader(name, ref, joined))
        methods.extend(found)
        skipped += unreadable
    return VaultWallet(
        provider=NAME,
        customer_ref=ref,
        methods=distinct(methods),
        skipped=skipped,
        truncated=says_more(profile, len(methods) + skipped),
        provider_request_id=text(profile.get("requestId")) or request_id,
        profile=rest,
    )


def canonical_ref(spelled: str, /) -> CustomerRef:
    """In capitals: J.P. Morgan stores ids in capitals, and accepts them in any case. Source: OpenAPI 2.4.2."""
    plain = spelled.strip()
    return CustomerRef(plain.upper() if plain.isascii() else plain)


def profiles_in(reply: Any) -> list[str]:
    """The profiles that a reply names: its own, and that of each record that names one."""
    if not isinstance(reply, dict):
        return []
    if not reply.get("paymentMethodType"):
        own = text(reply.get("consumerProfileId"))
        return [own] if own else []
    records = [reply, *(record for name in LISTS for record in _list(reply, name) if isinstance(record, dict))]
    return [found for record in records if (found := text(record.get("consumerProfileId")))]


def profile_id_of(profile: Any) -> CustomerRef:
    """The profile's id; raises ValueError if the reply is not a profile, or is an error."""
    found = text(profile.get("consumerProfileId")) if isinstance(profile, dict) else None
    if found is None or is_refusal(profile):
        raise ValueError("not a consumer profile")
    return canonical_ref(found)


def default_of(profile: Any) -> MethodRef | None:
    """The id in `defaultMOP`, which copies the method under one key; None if there is no default or it
    cannot be read.
    """
    return next(iter(_defaults(profile) or ()), None)


def _defaults(profile: Any) -> frozenset[MethodRef] | None:
    """The id in `defaultMOP`; empty without a default, and None if `defaultMOP` cannot be read."""
    given = _methods(profile).get(_DEFAULT)
    if given is not None and not isinstance(given, dict):
        return None
    held = [method for method in (given or {}).values() if method is not None]
    named = {text(method.get("paymentMethodId")) if isinstance(method, dict) else None for method in held}
    found = frozenset(MethodRef(one) for one in named if one)
    return found if len(named) == len(found) <= 1 else None


def refs_of(profile: Any) -> frozenset[MethodRef]:
    """The ids of all methods, including those whose records cannot be parsed otherwise."""
    return frozenset(MethodRef(record["paymentMethodId"]) for _, record in _identified(profile))


def new_records(profile: Any, before: frozenset[MethodRef]) -> list[tuple[str, WireCard | WireBankAccount]]:
    """(list name, record) of each method not in `before`. The order of a list is not guaranteed: ids decide."""
    return [(name, record) for name, record in _identified(profile) if record["paymentMethodId"] not in before]


def _identified(profile: Any) -> Iterator[tuple[str, WireCard | WireBankAccount]]:
    for name in LISTS:
        for record in _list(profile, name):
            if isinstance(record, dict) and text(record.get("paymentMethodId")):
                yield name, cast("WireCard | WireBankAccount", record)


def _methods(profile: Any) -> dict[str, Any]:
    found = profile.get("paymentMethodType") or {}
    if not isinstance(found, dict):
        raise ValueError("paymentMethodType is not an object")
    return found


def _lists(profile: Any) -> Iterator[tuple[str, list[Any]]]:
    """The four lists, then those of kinds that J.P. Morgan may add."""
    for name in LISTS:
        if records := _list(profile, name):
            yield name, records
    for name, held in _methods(profile).items():
        if name not in LISTS and name != _DEFAULT and isinstance(held, list):
            yield name, held


def _list(profile: Any, name: str) -> list[Any]:
    found = _methods(profile).get(name) or []
    if not isinstance(found, list):
        raise ValueError("a list of payment methods is not a list")
    return found


# ---- one method -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Joined:
    """The parts of a profile that concern all its methods. `defaults` None: the default is unknown.

    `status` is None for an ACTIVE profile, else the status for methods that are ACTIVE by themselves.
    """

    addresses: Mapping[str, StoredAddress] = field(default_factory=dict)
    defaults: frozenset[MethodRef] | None = frozenset()
    status: PaymentMethodStatus | None = None
    created_at: datetime | None = None


_ALONE: Final = Joined()


def _reader(name: str, ref: CustomerRef, joined: Joined) -> Callable[[Any], PaymentMethod]:
    rail = _RAIL_OF_LIST.get(name)
    if rail is not None:
        return lambda record: to_bank_account(record, rail, ref, joined)
    if name in LISTS:
        return lambda record: to_card(record, ref, joined)
    return lambda record: _to_other(record, name, ref, joined)


def to_card(wire: WireCard, ref: CustomerRef, joined: Joined = _ALONE) -> Card:
    """Parse one card. Its expiry is ``MM/YYYY``; unlisted networks are OTHER, a missing one is UNKNOWN.

    Raises KeyError, TypeError or ValueError without an id; any other unreadable value is None.
    """
    status, detail = to_status(wire.get("accountStatus"), joined.status)
    expiry, has_unreadable_expiry = read_expiry(wire.get("cardExpirationMonthYearNumber"))
    return Card(
        **_common(wire, ref, joined, status, detail),
        last4=last4_of(wire.get("last4CardNumber")),
        brand=_brand(wire.get("cardType")),
        token_type=_named(_TOKEN_TYPE, wire.get("accountNumberType"), None) or CardTokenType.PROVIDER_TOKEN,
        wallet=_named(_WALLET, wire.get("walletProvider"), WalletKind.OTHER),
        expiry=expiry,
        has_unreadable_expiry=has_unreadable_expiry,
        bin=bin_of(wire.get("first6CardNumber")),
        three_d_secure=pending_authentication(wire) if status is PaymentMethodStatus.PENDING else None,
    )


def to_bank_account(wire: WireBankAccount, rail: BankRail, ref: CustomerRef, joined: Joined = _ALONE) -> BankAccount:
    """Parse one ACH, SEPA or BACS account; raises like `to_card`."""
    status, detail = to_status(wire.get("accountStatus"), joined.status)
    return BankAccount(
        **_common(wire, ref, joined, status, detail),
        last4=last4_of(wire.get("last4AccountNumber")),
        rail=rail,
        account_type=_named(ACCOUNT_TYPE, wire.get("accountType"), BankAccountType.UNKNOWN),
        verification=_verification(wire, status),
        mandates=None if rail is BankRail.ACH else _mandates(wire.get("mandateList")),
    )


def _mandates(given: object) -> tuple[Mandate, ...] | None:
    """None if any mandate cannot be read: a list that lacks one would look complete. An absent list is empty."""
    if given is not None and not isinstance(given, list):
        return None
    found, unreadable = collect(given or (), _mandate)
    return None if unreadable else found


def _mandate(wire: WireMandate) -> Mandate:
    mandate_id = text(wire.get("mandateId"))
    if mandate_id is None:
        raise ValueError("no mandateId")
    return Mandate(
        mandate_id=mandate_id,
        mandate_type=word(wire.get("mandateType")),
        signed_on=_day(wire.get("mandateSignatureDate")),
        reference=text(wire.get("mandateReferenceId")),
    )


def _day(given: object) -> date | None:
    try:
        return date.fromisoformat(text(given) or "")
    except ValueError:
        return None


def _to_other(wire: WireMethod, name: str, ref: CustomerRef, joined: Joined) -> OtherMethod:
    """A method of an unknown kind, named by its list. Raises ValueError if that name is no word."""
    kind = word(name.removesuffix("List"))
    if kind is None:
        raise ValueError("a list without a name")
    status, detail = to_status(wire.get("accountStatus"), joined.status)
    return OtherMethod(**_common(wire, ref, joined, status, detail), provider_kind=kind)


def _common(
    wire: WireMethod, ref: CustomerRef, joined: Joined, status: PaymentMethodStatus, detail: str | None
) -> dict[str, Any]:
    method_ref, address_ref = _method_ref(wire), _address_ref(wire)
    return {
        "provider": NAME,
        "customer_ref": ref,
        "method_ref": method_ref,
        "status": status,
        "status_detail": detail,
        "holder_name": _holder(wire),
        "billing_address": billing_address(joined.addresses.get(address_ref or "")),
        "address_ref": address_ref,
        "created_at": joined.created_at,
        "is_provider_default": None if joined.defaults is None else method_ref in joined.defaults,
    }


def to_status(given: object, of_profile: PaymentMethodStatus | None = None) -> tuple[PaymentMethodStatus, str | None]:
    """The status for `accountStatus`. ERRORED and unknown words are UNKNOWN with the word as detail.

    If the profile is not ACTIVE, no method is: an INACTIVE profile's are INACTIVE whatever their status.
    """
    if given == "ACTIVE" and of_profile is None:
        return PaymentMethodStatus.ACTIVE, None
    spelled = word(given)
    found = _STATUS.get((spelled or "").upper(), PaymentMethodStatus.UNKNOWN)
    if of_profile is PaymentMethodStatus.INACTIVE or (of_profile and found is PaymentMethodStatus.ACTIVE):
        return of_profile, f"PROFILE_{of_profile.value}"
    return found, spelled if found is PaymentMethodStatus.UNKNOWN else None


def _profile_status(given: object) -> PaymentMethodStatus | None:
    """None if the profile is ACTIVE or has no status."""
    if given is None:
        return None
    found = _PROFILE_STATUS.get((text(given) or "").upper(), PaymentMethodStatus.UNKNOWN)
    return None if found is PaymentMethodStatus.ACTIVE else found


def _method_ref(wire: WireMethod) -> MethodRef:
    found = text(wire.get("paymentMethodId"))
    if found is None:
        raise ValueError("no paymentMethodId")
    return MethodRef(found)


def _holder(wire: WireMethod) -> str | None:
    parts = (text(wire.get("firstName")), text(wire.get("middleName")), text(wire.get("lastName")))
    return " ".join([part for part in parts if part]) or None


def _address_ref(wire: WireMethod) -> str | None:
    named = wire.get("addressIdentifier")
    return named if isinstance(named, str) else None


def _brand(code: object) -> CardBrand:
    spelled = text(code)
    return BRAND.get(spelled.upper(), CardBrand.OTHER) if spelled else CardBrand.UNKNOWN


def _verification(wire: WireBankAccount, status: PaymentMethodStatus) -> BankVerification:
    """The account's verification: its status first, then the verification's own result."""
    if status is PaymentMethodStatus.VERIFICATION_FAILED:
        return BankVerification.FAILED
    result = wire.get("verificationResult")
    messages = result.get("messages") if isinstance(result, dict) else None
    response_status = (text(messages.get("responseStatus")) or "").upper() if isinstance(messages, dict) else ""
    if messages and response_status == "SUCCESS":
        is_verified = verdict(messages)
        return BankVerification.UNKNOWN if is_verified is None else _VERIFIED[is_verified]
    if response_status in ("ERROR", "DENIED"):
        return BankVerification.FAILED
    return BankVerification.PENDING if status is PaymentMethodStatus.PENDING else BankVerification.UNKNOWN


# ---- helpers ----------------------------------------------------------------------------------------------


def _named(table: Mapping[str, E], given: object, unlisted: E | None) -> E | None:
    spelled = text(given)
    return table.get(spelled.upper(), unlisted) if spelled else None
