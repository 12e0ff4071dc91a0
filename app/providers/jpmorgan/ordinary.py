"""Reads J.P. Morgan's replies in their usual form: typed decoding, without a second look at any value.

`ordinary_wallet` gives what `mapping.to_wallet` gives, or None: then `mapping` must read the reply, which tolerates
every form that the vault might use. Members of type UnsetType must be absent.
"""

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from app.http.message import VaultReply
from app.providers.jpmorgan.mapping import ACCOUNT_TYPE, BRAND, NAME
from app.providers.jpmorgan.profile import methods_created_at
from app.providers.lists import is_ordinary, is_ordinary_around
from app.providers.reply_cache import digest_of
from app.providers.values import bin_of, last4_of, read_expiry, text
from app.vault.enums import BankRail, CustomerRef, MethodRef
from app.vault.model import BankAccount, Card, PaymentMethod, VaultProfile, VaultWallet


class OrdinaryIdentified(Struct):
    """The method that `defaultMOP` copies."""

    paymentMethodId: str


class OrdinaryRecord(Struct, kw_only=True):
    """An active method without anything that needs a second look: members of type UnsetType must be absent. See
    `mapping.ordinary_wallet`.
    """

    paymentMethodId: str
    accountStatus: Literal["ACTIVE"]
    firstName: str = ""
    middleName: str = ""
    lastName: str = ""
    consumerProfileId: UnsetType = UNSET
    addressIdentifier: UnsetType = UNSET


class OrdinaryCard(OrdinaryRecord, kw_only=True):
    cardExpirationMonthYearNumber: str
    cardType: str
    last4CardNumber: str | None = None
    first6CardNumber: str | None = None
    accountNumberType: UnsetType = UNSET
    walletProvider: UnsetType = UNSET


class OrdinaryAch(OrdinaryRecord, kw_only=True):
    accountType: str
    last4AccountNumber: str | None = None
    verificationResult: UnsetType = UNSET


class OrdinaryDefault(Struct, forbid_unknown_fields=True):
    card: OrdinaryIdentified | None = None
    ach: OrdinaryIdentified | None = None


class OrdinaryMethods(Struct, forbid_unknown_fields=True):
    cardList: list[OrdinaryCard] = []
    achList: list[OrdinaryAch] = []
    defaultMOP: OrdinaryDefault | None = None


class OrdinaryProfile(Struct):
    consumerProfileId: str
    paymentMethodType: OrdinaryMethods
    profileStatus: Literal["ACTIVE"] | UnsetType = UNSET
    requestId: str | UnsetType = UNSET
    cardOnFileReferenceNumber: str | UnsetType = UNSET
    createTimestamp: datetime | UnsetType = UNSET
    updateTimestamp: datetime | UnsetType = UNSET
    addresses: UnsetType = UNSET
    communication: UnsetType = UNSET
    responseStatus: UnsetType = UNSET
    validationErrors: UnsetType = UNSET
    total: UnsetType = UNSET


_ORDINARY: Final = msgspec.json.Decoder(OrdinaryProfile)


class ContentProfile(Struct):
    """All members that `mapping.to_wallet` and the checks before it read; lists are not decoded."""

    consumerProfileId: str
    paymentMethodType: Raw
    profileStatus: str | UnsetType = UNSET
    requestId: str | UnsetType = UNSET
    cardOnFileReferenceNumber: str | UnsetType = UNSET
    createTimestamp: str | UnsetType = UNSET
    updateTimestamp: str | UnsetType = UNSET
    addresses: Raw = Raw(b"null")
    communication: Raw = Raw(b"null")
    responseStatus: UnsetType = UNSET
    validationErrors: UnsetType = UNSET
    total: UnsetType = UNSET


class ContentStatus(Struct):
    """All members that `three_d_secure.to_three_d_secure` and the checks before it read."""

    consumerProfileId: str
    paymentMethodId: str | UnsetType = UNSET
    responseCode: str | UnsetType = UNSET
    responseMessage: str | UnsetType = UNSET
    hostMessage: str | UnsetType = UNSET
    threeDSTransactionStatus: str | UnsetType = UNSET
    cardAuthenticationDetails: Raw = Raw(b"null")
    paymentMethodType: UnsetType = UNSET
    responseStatus: UnsetType = UNSET
    validationErrors: UnsetType = UNSET


_CONTENT: Final = msgspec.json.Decoder(ContentProfile)
_STATUS: Final = msgspec.json.Decoder(ContentStatus)
_encode: Final = msgspec.json.Encoder().encode


def content_of(reply: VaultReply) -> tuple[bytes, str | None] | None:
    """All that determines the wallet but the request id; what is around the methods must be ordinary. See
    `ReadContent`.
    """
    try:
        profile = _CONTENT.decode(reply.body)
    except ValueError:
        return None
    if not is_ordinary_around(reply.body, bytes(profile.paymentMethodType)):
        return None
    request_id, profile.requestId = text(profile.requestId), UNSET
    return _encode(profile), request_id


def status_content(body: bytes) -> bytes | None:
    """The digest of all that determines a 3-D Secure status in an ordinary reply; None for any other reply."""
    try:
        status = _STATUS.decode(body)
    except ValueError:
        return None
    details = bytes(status.cardAuthenticationDetails)  # in which no name has a meaning that these functions do not know
    return digest_of(_encode(status)) if is_ordinary_around(body, details) else None


def ordinary_wallet(ref: CustomerRef, reply: VaultReply, request_id: str | None) -> VaultWallet | None:
    """As `to_wallet`, in a quarter of the calls, for an active profile of `ref` whose values have their usual form and
    which has neither addresses nor contacts. None for anything else, which the tolerant functions must read.
    """
    if not is_ordinary(reply.body):
        return None
    try:
        profile = _ORDINARY.decode(reply.body)
        held, given = profile.paymentMethodType, profile.paymentMethodType.defaultMOP
        copies = [] if given is None else [copy.paymentMethodId for copy in (given.card, given.ach) if copy is not None]
        (default,) = copies or [""]
        created_at, updated_at = _instant(profile.createTimestamp), _instant(profile.updateTimestamp)
        made_at = methods_created_at(created_at, updated_at)
        methods: dict[str, PaymentMethod] = {}
        for card in held.cardList:
            methods[card.paymentMethodId] = _ordinary_card(card, ref, default, made_at)
        for account in held.achList:
            methods[account.paymentMethodId] = _ordinary_ach(account, ref, default, made_at)
    except (ValueError, KeyError):
        return None
    is_usual = profile.consumerProfileId == ref and (not copies or default in methods)
    if not is_usual or len(methods) != len(held.cardList) + len(held.achList):
        return None
    return VaultWallet(
        provider=NAME,
        customer_ref=ref,
        methods=tuple(methods.values()),
        provider_request_id=text(profile.requestId) or request_id,
        profile=VaultProfile(
            card_on_file_reference=text(profile.cardOnFileReferenceNumber), created_at=created_at, updated_at=updated_at
        ),
    )


def _instant(given: datetime | UnsetType) -> datetime | None:
    """Raises ValueError if it is not in its usual form, UTC in this age."""
    if isinstance(given, UnsetType):
        return None
    if given.tzinfo is not UTC or given.year < 2000:
        raise ValueError("an unusual instant")
    return given


def _ordinary_card(card: OrdinaryCard, ref: CustomerRef, default: str, created_at: datetime | None) -> Card:
    """Raises ValueError or KeyError if a value is not in its usual form."""
    expiry, _ = read_expiry(card.cardExpirationMonthYearNumber)
    if expiry is None:
        raise ValueError("an unusual expiry")
    return Card(
        provider=NAME,
        customer_ref=ref,
        method_ref=_ordinary_ref(card),
        holder_name=_joined(card.firstName, card.middleName, card.lastName),
        is_provider_default=card.paymentMethodId == default,
        last4=None if card.last4CardNumber is None else last4_of(card.last4CardNumber),
        brand=BRAND[card.cardType],
        expiry=expiry,
        created_at=created_at,
        bin=None if card.first6CardNumber is None else bin_of(card.first6CardNumber),
    )


def _ordinary_ach(account: OrdinaryAch, ref: CustomerRef, default: str, created_at: datetime | None) -> BankAccount:
    return BankAccount(
        provider=NAME,
        customer_ref=ref,
        method_ref=_ordinary_ref(account),
        holder_name=_joined(account.firstName, account.middleName, account.lastName),
        is_provider_default=account.paymentMethodId == default,
        last4=None if account.last4AccountNumber is None else last4_of(account.last4AccountNumber),
        rail=BankRail.ACH,
        created_at=created_at,
        account_type=ACCOUNT_TYPE[account.accountType],
    )


def _ordinary_ref(record: OrdinaryRecord) -> MethodRef:
    if not record.paymentMethodId or record.paymentMethodId.strip() != record.paymentMethodId:
        raise ValueError("an unusual id")
    return MethodRef(record.paymentMethodId)


def _joined(*names: str) -> str | None:
    return " ".join([part for name in names if (part := name.strip())]) or None
