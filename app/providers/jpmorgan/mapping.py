"""J.P. Morgan's words to ours, for reading. Pure: no I/O, no clock, no settings."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar, cast

from app.providers.jpmorgan.wire import WireAddress, WireBankAccount, WireCard, WireMethod, WireStatus
from app.providers.support import alpha2, collect, distinct, instant_of, month_of, text
from app.vault.model import Address, BankAccount, Card, Expiry, NextAction, PaymentMethod, ThreeDSecure, VaultWallet
from app.vault.names import (
    AuthStatus,
    BankAccountType,
    BankRail,
    BankVerification,
    CardBrand,
    CardTokenType,
    CustomerRef,
    MethodRef,
    NextActionKind,
    PaymentMethodStatus,
    ProviderName,
    WalletKind,
)

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
_ACCOUNT_TYPE: Final[Mapping[str, BankAccountType]] = {
    "CHECKING": BankAccountType.CHECKING,
    "SAVING": BankAccountType.SAVINGS,
    "CORPORATE_CHECKING": BankAccountType.CORPORATE_CHECKING,
}
_AUTH: Final[Mapping[str, AuthStatus]] = {
    "SUCCESS": AuthStatus.AUTHENTICATED,
    "DENIED": AuthStatus.FAILED,
    "ERROR": AuthStatus.UNAVAILABLE,
}
_RAIL_OF_LIST: Final[Mapping[str, BankRail]] = {
    "achList": BankRail.ACH,
    "sepaList": BankRail.SEPA,
    "bacsList": BankRail.BACS,
}
LISTS: Final = ("cardList", *_RAIL_OF_LIST)
_DEFAULT_KINDS: Final = ("card", "ach", "sepa", "bacs")
_WORD: Final = re.compile(r"[A-Z][A-Z_]{0,49}")
_MONTH_YEAR: Final = re.compile(r"(0[1-9]|1[0-2])/([0-9]{4})")
_LAST4: Final = re.compile(r"[0-9]{4}")
_BIN: Final = re.compile(r"[0-9]{6}|[0-9]{8}")


# ---- the profile ------------------------------------------------------------------------------------------


def to_wallet(ref: CustomerRef, profile: Any, request_id: str | None) -> VaultWallet:
    """Read a whole profile: the methods of all four lists, defaults and addresses joined in.

    A record that cannot be read is skipped and counted. Raises ValueError, KeyError or TypeError when the reply is no
    profile at all. Source: "Manage payment methods for a consumer profile".
    """
    profile_id_of(profile)
    addresses = _addresses(profile)
    default = default_of(profile)
    methods: list[PaymentMethod] = []
    skipped = 0
    for name in LISTS:
        if records := _list(profile, name):
            found, unreadable = collect(records, _reader(name, ref, addresses, default))
            methods.extend(found)
            skipped += unreadable
    once, skipped = distinct(methods, skipped)
    return VaultWallet(
        provider=ProviderName.JPMORGAN,
        customer_ref=ref,
        methods=once,
        skipped=skipped,
        provider_request_id=text(profile.get("requestId")) or request_id,
    )


def canonical_ref(spelled: str, /) -> CustomerRef:
    """In capitals: J.P. Morgan stores ids in capitals, and takes them in any case. Source: OpenAPI 2.4.2."""
    plain = spelled.strip()
    return CustomerRef(plain.upper() if plain.isascii() else plain)


def profiles_in(reply: Any) -> list[str]:
    """The profiles that a reply names: its own, and that of each record that names one."""
    if not isinstance(reply, dict):
        return []
    records = [reply, *(record for name in LISTS for record in _list(reply, name) if isinstance(record, dict))]
    return [found for record in records if (found := text(record.get("consumerProfileId")))]


def profile_id_of(profile: Any) -> CustomerRef:
    """The profile's own id; raises ValueError where the reply is not a profile."""
    if not isinstance(profile, dict) or not text(profile.get("consumerProfileId")):
        raise ValueError("not a consumer profile")
    return canonical_ref(profile["consumerProfileId"])


def default_of(profile: Any) -> MethodRef | None:
    """The id in `defaultMOP`, which copies the method under one of four keys; None where there is no default."""
    named = _methods(profile).get("defaultMOP")
    if not isinstance(named, dict):
        return None
    for kind in _DEFAULT_KINDS:
        method = named.get(kind)
        if isinstance(method, dict) and (found := text(method.get("paymentMethodId"))):
            return MethodRef(found)
    return None


def refs_of(profile: Any) -> frozenset[MethodRef]:
    """The ids of all methods, of those too whose records cannot be read otherwise."""
    return frozenset(MethodRef(record["paymentMethodId"]) for _, record in _identified(profile))


def new_records(profile: Any, before: frozenset[MethodRef]) -> list[tuple[str, WireCard | WireBankAccount]]:
    """(list name, record) of each method that was not there before. Order in a list is not promised: ids decide."""
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


def _list(profile: Any, name: str) -> list[Any]:
    found = _methods(profile).get(name) or []
    if not isinstance(found, list):
        raise ValueError("a list of payment methods is not a list")
    return found


def _addresses(profile: Any) -> dict[str, Address]:
    """By `addressIdentifier`; an address that cannot be read is as good as none."""
    found = profile.get("addresses")
    return {
        record["addressIdentifier"]: to_address(cast("WireAddress", record))
        for record in (found if isinstance(found, list) else ())
        if isinstance(record, dict) and isinstance(record.get("addressIdentifier"), str)
    }


# ---- one method -------------------------------------------------------------------------------------------


def _reader(
    name: str, ref: CustomerRef, addresses: Mapping[str, Address], default: MethodRef | None
) -> Callable[[Any], PaymentMethod]:
    rail = _RAIL_OF_LIST.get(name)
    if rail is None:
        return lambda record: to_card(record, ref, addresses, default)
    return lambda record: to_bank_account(record, rail, ref, addresses, default)


def to_card(
    wire: WireCard, ref: CustomerRef, addresses: Mapping[str, Address] | None = None, default: MethodRef | None = None
) -> Card:
    """Read one card. Its expiry is ``MM/YYYY``; networks outside our list are OTHER, none named is UNKNOWN.

    Raises KeyError, TypeError or ValueError on a shape that the source rules out.
    """
    status, detail = to_status(wire.get("accountStatus"))
    return Card(
        provider=ProviderName.JPMORGAN,
        customer_ref=ref,
        method_ref=_method_ref(wire),
        status=status,
        status_detail=detail,
        holder_name=_holder(wire),
        last4=_matching(_LAST4, wire.get("last4CardNumber")),
        billing_address=_billing(wire, addresses or {}),
        is_provider_default=wire["paymentMethodId"] == default,
        brand=_brand(wire.get("cardType")),
        token_type=_TOKEN_TYPE.get(wire.get("accountNumberType", ""), CardTokenType.PROVIDER_TOKEN),
        wallet=_named(_WALLET, wire.get("walletProvider"), WalletKind.OTHER),
        expiry=_expiry(wire.get("cardExpirationMonthYearNumber")),
        bin=_matching(_BIN, wire.get("first6CardNumber")),
        three_d_secure=_pending_authentication(wire) if status is PaymentMethodStatus.PENDING else None,
    )


def to_bank_account(
    wire: WireBankAccount,
    rail: BankRail,
    ref: CustomerRef,
    addresses: Mapping[str, Address] | None = None,
    default: MethodRef | None = None,
) -> BankAccount:
    """Read one ACH, SEPA or BACS account; raises like `to_card`."""
    status, detail = to_status(wire.get("accountStatus"))
    return BankAccount(
        provider=ProviderName.JPMORGAN,
        customer_ref=ref,
        method_ref=_method_ref(wire),
        status=status,
        status_detail=detail,
        holder_name=_holder(wire),
        last4=_matching(_LAST4, wire.get("last4AccountNumber")),
        billing_address=_billing(wire, addresses or {}),
        is_provider_default=wire["paymentMethodId"] == default,
        rail=rail,
        account_type=_named(_ACCOUNT_TYPE, wire.get("accountType"), BankAccountType.UNKNOWN),
        verification=_verification(wire, status),
    )


def to_status(word: object) -> tuple[PaymentMethodStatus, str | None]:
    """`accountStatus` to ours. ERRORED and words we have not met are UNKNOWN with the word as detail."""
    if not isinstance(word, str):
        return PaymentMethodStatus.UNKNOWN, None
    known = _STATUS.get(word)
    if known is not None:
        return known, None
    return PaymentMethodStatus.UNKNOWN, _safe_word(word)


def to_address(wire: WireAddress) -> Address:
    """Read one address; a country that is neither alpha-3 nor alpha-2 is left out."""
    return Address(
        line1=text(wire.get("line1")),
        line2=text(wire.get("line2")),
        city=text(wire.get("city")),
        region=text(wire.get("state")),
        postal_code=text(wire.get("postalCode")),
        country=alpha2(wire.get("countryCode")),
    )


def _method_ref(wire: WireMethod) -> MethodRef:
    found = text(wire.get("paymentMethodId"))
    if found is None:
        raise ValueError("no paymentMethodId")
    return MethodRef(found)


def _holder(wire: WireMethod) -> str | None:
    parts = (text(wire.get("firstName")), text(wire.get("middleName")), text(wire.get("lastName")))
    return " ".join([part for part in parts if part]) or None


def _billing(wire: WireMethod, addresses: Mapping[str, Address]) -> Address | None:
    """The address that the method points to, of whatever `addressType`: the seed gives cards SHIPPING ones too."""
    named = wire.get("addressIdentifier")
    return addresses.get(named) if isinstance(named, str) else None


def _brand(code: object) -> CardBrand:
    return BRAND.get(code, CardBrand.OTHER) if isinstance(code, str) and code else CardBrand.UNKNOWN


def _expiry(value: object) -> Expiry | None:
    if value is None:
        return None
    found = _MONTH_YEAR.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("an expiry is not MM/YYYY")
    return month_of(int(found[2]), int(found[1]))


def _verification(wire: WireBankAccount, status: PaymentMethodStatus) -> BankVerification:
    """What is known about the account's verification: its status first, then the verification's own result."""
    if status is PaymentMethodStatus.VERIFICATION_FAILED:
        return BankVerification.FAILED
    result = wire.get("verificationResult")
    messages = result.get("messages") if isinstance(result, dict) else None
    said = messages.get("responseStatus") if isinstance(messages, dict) else None
    if said == "SUCCESS":
        return BankVerification.VERIFIED
    if said == "ERROR":
        return BankVerification.FAILED
    return BankVerification.PENDING if status is PaymentMethodStatus.PENDING else BankVerification.UNKNOWN


# ---- 3-D Secure -------------------------------------------------------------------------------------------


def to_three_d_secure(wire: WireStatus) -> ThreeDSecure | None:
    """Read the reply of ``.../status``; None where it has no details: no attempt was made.

    Source: "Retrieve the 3D Secure status of a payment method".
    """
    if not isinstance(wire, dict) or not text(wire.get("consumerProfileId")):
        raise ValueError("not a status reply")
    details = wire.get("cardAuthenticationDetails")
    if not details:
        return None
    word = details.get("responseStatus")
    return ThreeDSecure(
        status=_AUTH.get(word, AuthStatus.UNKNOWN) if isinstance(word, str) else AuthStatus.UNKNOWN,
        raw_status=_safe_word(word),
        authentication_id=text(details.get("authenticationId")),
        authenticated_at=instant_of(details.get("transactionDate")),
    )


def next_action_of(wire: WireCard) -> NextAction | None:
    """Where the shopper must go to finish the 3-D Secure asked for while adding; None where nothing is asked."""
    result = wire.get("authenticationResult")
    url = text(result.get("authenticationOrchestrationUrl")) if isinstance(result, dict) else None
    if url is None or not url.startswith(("https://", "http://")):
        return None
    return NextAction(kind=NextActionKind.REDIRECT, url=url)


def _pending_authentication(wire: WireCard) -> ThreeDSecure | None:
    action = next_action_of(wire)
    if action is None:
        return None
    return ThreeDSecure(
        status=AuthStatus.CHALLENGE_REQUIRED,
        authentication_id=text(wire["authenticationResult"].get("authenticationId")),
        next_action=action,
    )


# ---- small words ------------------------------------------------------------------------------------------


def _named(table: Mapping[str, E], word: object, unlisted: E) -> E | None:
    return table.get(word, unlisted) if isinstance(word, str) and word else None


def _safe_word(word: object) -> str | None:
    """A vault's own status word, if it looks like one and not like data."""
    return word if isinstance(word, str) and _WORD.fullmatch(word) else None


def _matching(shape: re.Pattern[str], value: object) -> str | None:
    """A value of exactly this shape; raises ValueError where it is there and is anything else."""
    if value is None:
        return None
    if not isinstance(value, str) or shape.fullmatch(value) is None:
        raise ValueError("a value has another shape than documented")
    return value
