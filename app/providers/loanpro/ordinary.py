"""Reads LoanPro's replies in their usual form: typed decoding, without a second look at any value.

`ordinary_wallet` gives what `mapping.to_wallet` gives, or None: then `mapping` must read the reply, which tolerates
every form that the vault might use. Members of type UnsetType must be absent.
"""

from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from app.http.message import VaultReply
from app.providers.lists import is_ordinary, is_ordinary_around
from app.providers.loanpro.mapping import ACCOUNT_TYPES, BRANDS, NAME, to_address
from app.providers.values import instant_of, last4_of, read_expiry
from app.vault.enums import BankRail, CustomerRef, MethodRef
from app.vault.model import BankAccount, Card, PaymentMethod, VaultWallet


class OrdinaryCard(Struct):
    """A card's details in their usual form; see `mapping.ordinary_wallet`."""

    cardType: str
    cardExpiration: str
    cardNumber: str | None = None
    cardHolderName: str | None = None
    created: str | None = None
    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    state: str | None = None
    zipcode: str | None = None
    country: str | None = None


class OrdinaryBank(Struct):
    accountType: Literal["bankacct.type.checking", "bankacct.type.savings"]
    accountNumber: str | None = None
    bankName: str | None = None
    cardHolderName: str | None = None
    created: str | None = None
    institutionNumber: None = None
    Address: None = None


class OrdinaryAccount(Struct):
    """An active profile without anything that needs a second look: members of type UnsetType must be absent."""

    id: int
    type: Literal["paymentAccount.type.credit", "paymentAccount.type.checking", "paymentAccount.type.savings"]
    active: Literal[1]
    isPrimary: Literal[0, 1]
    isSecondary: Literal[0, 1]
    visible: Literal[1] = 1
    isPaymentAllowed: Literal[1] = 1
    title: str | None = None
    entityId: int | UnsetType = UNSET
    entityType: Literal["Entity.Customer"] | UnsetType = UNSET
    customerId: UnsetType = UNSET
    parentId: UnsetType = UNSET
    CreditCard: OrdinaryCard | None = None
    CheckingAccount: OrdinaryBank | None = None


class OrdinaryAccounts(Struct, forbid_unknown_fields=True):
    results: list[OrdinaryAccount]


class OrdinaryCustomer(Struct):
    id: int
    PaymentAccounts: OrdinaryAccounts
    active: Literal[1] | UnsetType = UNSET


class OrdinarySummary(Struct):
    total: int | UnsetType = UNSET


class OrdinaryPage(Struct, forbid_unknown_fields=True):
    results: list[OrdinaryCustomer]
    summary: OrdinarySummary | UnsetType = UNSET


class OrdinaryReply(Struct):
    d: OrdinaryPage


_ORDINARY: Final = msgspec.json.Decoder(OrdinaryReply)
_BRAND_OF_TYPE: Final = {f"creditCard.type.{name}": brand for name, brand in BRANDS.items()}
_TYPE_OF_ACCOUNT: Final = {f"bankacct.type.{name}": kind for name, kind in ACCOUNT_TYPES.items()}


class ContentAccounts(Struct, forbid_unknown_fields=True):
    results: Raw


class ContentCustomer(Struct):
    id: int
    PaymentAccounts: ContentAccounts
    active: Literal[1] | UnsetType = UNSET


class ContentPage(Struct, forbid_unknown_fields=True):
    results: list[ContentCustomer]
    summary: OrdinarySummary | UnsetType = UNSET


class ContentReply(Struct):
    d: ContentPage


_CONTENT: Final = msgspec.json.Decoder(ContentReply)


def content_of(reply: VaultReply) -> tuple[bytes, None] | None:
    """The customer's id and profiles, not decoded; what is around them must be ordinary. See `ReadContent`."""
    try:
        page = _CONTENT.decode(reply.body).d
        (customer,) = page.results
    except ValueError:
        return None
    profiles = bytes(customer.PaymentAccounts.results)
    is_whole = page.summary is UNSET or page.summary.total is UNSET or page.summary.total <= 1
    return (b"%d %b" % (customer.id, profiles), None) if is_whole and is_ordinary_around(reply.body, profiles) else None


def ordinary_wallet(ref: CustomerRef, reply: VaultReply, request_id: str | None) -> VaultWallet | None:
    """The wallet in a reply for one customer, in a sixth of the calls, if each value has its usual form. None for
    anything else, which the tolerant functions must read.
    """
    if not is_ordinary(reply.body):
        return None
    try:
        page = _ORDINARY.decode(reply.body).d
        (customer,) = page.results
        accounts = customer.PaymentAccounts.results
        methods = {account.id: _ordinary(account, ref) for account in accounts}
    except (ValueError, KeyError):
        return None
    is_whole = page.summary is UNSET or page.summary.total is UNSET or page.summary.total <= 1
    if str(customer.id) != ref or not is_whole or len(methods) != len(accounts):
        return None
    return VaultWallet(provider=NAME, customer_ref=ref, methods=tuple(methods.values()), provider_request_id=request_id)


def _ordinary(account: OrdinaryAccount, ref: CustomerRef) -> PaymentMethod:
    """Raises ValueError or KeyError if a value is not in its usual form."""
    owner, card, bank, title = account.entityId, account.CreditCard, account.CheckingAccount, account.title
    if account.id <= 0 or not (owner is UNSET or str(owner) == ref):
        raise ValueError("an unusual id")
    details = card if account.type == "paymentAccount.type.credit" else bank
    if details is None:
        raise ValueError("no details")
    holder, created = details.cardHolderName, details.created
    if isinstance(details, OrdinaryBank):
        bank_name, number = details.bankName, details.accountNumber
        return BankAccount(
            provider=NAME,
            customer_ref=ref,
            method_ref=MethodRef(str(account.id)),
            title=None if title is None else title.strip() or None,
            holder_name=None if holder is None else holder.strip() or None,
            is_provider_default=account.isPrimary == 1,
            is_secondary=account.isSecondary == 1,
            created_at=None if created is None else instant_of(created),
            rail=BankRail.ACH,
            account_type=_TYPE_OF_ACCOUNT[details.accountType],
            bank_name=None if bank_name is None else bank_name.strip() or None,
            last4=None if number is None else last4_of(number),
        )
    expiry, _ = read_expiry(details.cardExpiration)
    if expiry is None:
        raise ValueError("an unusual expiry")
    address = (details.address1, details.address2, details.city, details.state, details.zipcode, details.country)
    return Card(
        provider=NAME,
        customer_ref=ref,
        method_ref=MethodRef(str(account.id)),
        title=None if title is None else title.strip() or None,
        holder_name=None if holder is None else holder.strip() or None,
        is_provider_default=account.isPrimary == 1,
        is_secondary=account.isSecondary == 1,
        created_at=None if created is None else instant_of(created),
        brand=_BRAND_OF_TYPE[details.cardType],
        expiry=expiry,
        last4=None if details.cardNumber is None else last4_of(details.cardNumber),
        billing_address=to_address(msgspec.structs.asdict(details)) if any(address) else None,
    )
