"""Payment methods. Cheap, frequently selected fields are plain attributes; others have resolvers."""

from collections.abc import Awaitable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import strawberry

from app.execution.encoded_lists import FixedList
from app.execution.encoded_objects import FIXED, FixedObject
from app.vault.enums import (
    AuthStatus,
    BankAccountType,
    BankRail,
    BankVerification,
    CardBrand,
    CardFunding,
    CardTokenType,
    ExpiryState,
    PaymentMethodKind,
    PaymentMethodStatus,
    ProviderCapability,
    ProviderName,
    WalletKind,
)
from app.vault.model import Address as VaultAddress
from app.vault.model import BankAccount as VaultBankAccount
from app.vault.model import Card as VaultCard
from app.vault.model import Expiry
from app.vault.rules.etag import etag_of
from app.wallet.reads.build_wallet import WalletMethod, group_key
from app.wallet.reads.customers import DirectoryEntry
from app.wallet.reads.three_d_secure import StatusReading
from app.wallet.reads.wallet_cache import BuiltWallet
from resolvers.context import Context, Info
from resolvers.directives import ListSize, UpstreamCost
from resolvers.loaders import CustomerState
from resolvers.needs import Part, needs
from resolvers.scalars import CountryCode, Last4
from resolvers.scopes import scoped
from resolvers.types.auth import GraphThreeDSecure
from resolvers.types.consent import GraphConsent
from resolvers.types.node import Node
from resolvers.types.profile import KEEPERS_NAMES

if TYPE_CHECKING:
    from resolvers.types.customer import Customer


@strawberry.type(name="Address", description="A billing address.")
class GraphAddress:
    line1: str | None = strawberry.field(description="Street and number.")
    line2: str | None = strawberry.field(description="Apartment, suite or the like.")
    city: str | None = strawberry.field(description="City or town.")
    region: str | None = strawberry.field(description="State, province or county, as the vault stores it.")
    postal_code: str | None = strawberry.field(description="Postal or ZIP code.")
    country: CountryCode | None = strawberry.field(description="Country, as a code of two letters.")


# Rarely selected, so not stored as attributes: from the thirtieth attribute on, CPython gives each object its own table
# of names, which makes a card five times as large.


def _customer(
    root: "PaymentMethod", info: Info
) -> Annotated["Customer", strawberry.lazy("resolvers.types.customer")] | None:
    from resolvers.types.customer import read_customer

    return read_customer(info, root.entry)  # type: ignore[return-value]  # or an awaitable of it


def _status_detail(root: "PaymentMethod") -> str | None:
    return root.source.method.status_detail


def _vault_title(root: "PaymentMethod") -> str | None:
    return root.source.method.title


def _processor(root: "GraphCard") -> str | None:
    method = root.source.method
    return method.processor if isinstance(method, VaultCard) else None


def _is_secondary(root: "PaymentMethod") -> bool | None:
    return root.source.method.is_secondary


def _group_key(root: "PaymentMethod", info: Info) -> strawberry.ID | None:
    found = group_key(root.entry.customer.id, root.source.method, info.context.services.rules)
    return None if found is None else strawberry.ID(found)


def _as_of(root: "PaymentMethod", info: Info) -> datetime:
    """Resolved per response: the method object is shared while its vault's reply stays the same."""
    return info.context.loaders.as_of(root.entry.customer.id, root.provider)


async def _consent(root: "PaymentMethod", info: Info) -> GraphConsent | None:
    found = await info.context.loaders.consents.load(root.entry.customer.id)
    stored = found.get(root.source.address)
    return None if stored is None else GraphConsent.of(stored.consent)


def _profile_updated_at(root: "PaymentMethod", info: Info) -> datetime | None:
    profile = info.context.loaders.profile(root.entry.customer.id, root.provider)
    return None if profile is None else profile.updated_at


@strawberry.interface(description="A stored payment method in any vault.")
class PaymentMethod(Node):
    customer: Annotated["Customer", strawberry.lazy("resolvers.types.customer")] | None = scoped(
        "customers:read",
        resolver=_customer,
        metadata=needs(Part.CUSTOMER),
        description="The customer to whom it belongs.",
    )
    provider: ProviderName = strawberry.field(description="The vault that stores it.")
    kind: PaymentMethodKind = strawberry.field(description="Whether it is a card, a bank account or something else.")
    status: PaymentMethodStatus = strawberry.field(description="Whether it can be used now.")
    status_detail: str | None = strawberry.field(
        resolver=_status_detail,
        metadata={FIXED: True},
        description="The vault's value, if it is more specific than status.",
    )
    label: str = strawberry.field(description="Safe to show and to log, e.g. Visa ending 4242.")
    nickname: str | None = strawberry.field(description="The customer's name for it; stored by the gateway.")
    vault_title: str | None = strawberry.field(
        resolver=_vault_title,
        metadata={FIXED: True},
        description="The title that the vault shows for it; only LoanPro has titles.",
    )
    holder_name: str | None = strawberry.field(
        description="The name on the card or the account: the vault's, or the gateway's if the vault shows none."
    )
    last4: Last4 | None = strawberry.field(
        description="The last four digits of the number; null if the vault does not return them."
    )
    billing_address: GraphAddress | None = strawberry.field(
        description="The address that belongs to the method; null if the vault stores none."
    )
    is_default: bool | None = strawberry.field(description="Effective default across vaults; null = unknown.")
    is_provider_default: bool | None = strawberry.field(
        description="The vault's own flag; null = that vault has no default."
    )
    is_secondary: bool | None = strawberry.field(
        resolver=_is_secondary,
        metadata={FIXED: True},
        description="The vault's mark for a method to try second; null if it has no such mark.",
    )
    capabilities: list[ProviderCapability] = strawberry.field(description="What its vault can do with it now.")
    possible_duplicates: list["PaymentMethod"] = strawberry.field(
        description="Methods in any vault that look the same: a hint for grouping, never proof.",
        directives=[ListSize(assumed_size=2)],
        metadata=needs(Part.LOOKALIKES),
    )
    group_key: strawberry.ID | None = strawberry.field(
        resolver=_group_key, description="Equal for same-looking methods of one customer; it has no other meaning."
    )
    created_at: datetime | None = strawberry.field(
        description="When the vault stored it; null if it does not say. J.P. Morgan stamps profiles, not methods: "
        "known only while the profile is as it was created."
    )
    updated_at: datetime | None = strawberry.field(
        description="When the vault last changed it; null if it does not say."
    )
    profile_updated_at: datetime | None = strawberry.field(
        resolver=_profile_updated_at,
        description="When the vault last changed the customer's record, and so the latest time at which this method "
        f"may have changed; {KEEPERS_NAMES} only.",
    )
    consent: GraphConsent | None = scoped(
        "customers:read",
        resolver=_consent,
        description="The agreement under which it was stored, if the caller that added it recorded one.",
    )
    as_of: datetime = strawberry.field(resolver=_as_of, description="When its vault returned this data.")
    is_stale: bool = strawberry.field(description="The vault could not be read now: this is its last known data.")
    provider_ref: str | None = scoped("provider_refs:read", description="The vault's id.")
    entry: strawberry.Private[DirectoryEntry]
    source: strawberry.Private[WalletMethod]
    auth_status_without_call: strawberry.Private[AuthStatus | None]

    @strawberry.field(
        graphql_type=AuthStatus,
        description="The last known 3-D Secure result; UNKNOWN when the vault cannot report it now.",
        metadata={"precomputed": "auth_status_without_call", FIXED: True, **needs(Part.STATUS)},
        directives=[UpstreamCost(calls=1, per_method=True)],
    )
    def auth_status(self, info: Info) -> AuthStatus | Awaitable[AuthStatus]:
        return auth_status_of(self, info)

    @strawberry.field(description="Changes when a visible field changes: pass it as ifMatch.", metadata={FIXED: True})
    def etag(self) -> str:
        return etag_of(self.source.method, self.nickname)

    @classmethod
    async def resolve_reference(cls, info: Info, id: strawberry.ID, **_: Any) -> "PaymentMethod | None":
        from resolvers.lookup import payment_method

        found = await payment_method(info, id)
        return found if type(found) is cls else None


@strawberry.federation.type(name="Card", keys=["id"], description="A payment card.")
class GraphCard(PaymentMethod):
    brand: CardBrand = strawberry.field(description="The card network.")
    funding: CardFunding | None = strawberry.field(
        description="Credit, debit or prepaid; null if the vault does not return it."
    )
    token_type: CardTokenType = strawberry.field(description="What the vault stores in place of the card number.")
    wallet: WalletKind | None = strawberry.field(
        description="The digital wallet that the card came from; null for a plain card."
    )
    expiry: Expiry | None = strawberry.field(
        description="The month in which the card expires; null if the vault does not return it."
    )
    expiry_state: ExpiryState = strawberry.field(
        description="UNKNOWN: no expiry, or one that cannot be read; with the latter the card cannot pay."
    )
    processor: str | None = strawberry.field(
        resolver=_processor,
        metadata={FIXED: True},
        description="The payment provider behind the vault that issued the token. Only NCR Aloha has several: "
        "CONNECTED_PAYMENTS, CREDIT_CALL, FREEDOM_PAY, or OTHER with the number of another one.",
    )
    bin: str | None = scoped("payment_methods:bin", description="The first six or eight digits.")

    @strawberry.field(
        graphql_type=GraphThreeDSecure | None,
        description="The last 3-D Secure result; null if there is none.",
        directives=[UpstreamCost(calls=1, per_method=True)],
        metadata=needs(Part.STATUS),
    )
    def three_d_secure(self, info: Info) -> GraphThreeDSecure | Awaitable[GraphThreeDSecure | None] | None:
        method = self.source.method
        if not isinstance(method, VaultCard) or not self.source.has_status_call:
            return None
        reading = info.context.loaders.status(method)
        return _result_of(reading) if isinstance(reading, StatusReading) else _result_once_known(reading)


@strawberry.type(name="Mandate", description="The account holder's agreement to direct debits.")
class GraphMandate:
    mandate_id: strawberry.ID = strawberry.field(description="The merchant's id of the agreement, as it was signed.")
    mandate_type: str | None = strawberry.field(description="The vault's word, e.g. RECURRING.")
    signed_on: date | None = strawberry.field(description="The day of the signature.")
    reference: str | None = strawberry.field(description="The number that the vault gave the mandate.")


def _mandates(root: "GraphBankAccount") -> list[GraphMandate] | None:
    method = root.source.method
    mandates = method.mandates if isinstance(method, VaultBankAccount) else None
    if mandates is None:
        return None
    return [
        GraphMandate(
            mandate_id=strawberry.ID(one.mandate_id),
            mandate_type=one.mandate_type,
            signed_on=one.signed_on,
            reference=one.reference,
        )
        for one in mandates
    ]


@strawberry.federation.type(name="BankAccount", keys=["id"], description="A bank account that can be debited.")
class GraphBankAccount(PaymentMethod):
    rail: BankRail = strawberry.field(description="The network that debits the account.")
    account_type: BankAccountType | None = strawberry.field(
        description="Checking or savings; null if the vault does not return it."
    )
    bank_name: str | None = strawberry.field(description="The name of the bank; null if the vault does not return it.")
    verification: BankVerification = strawberry.field(description="Whether the account was verified.")
    mandates: list[GraphMandate] | None = strawberry.field(
        resolver=_mandates,
        directives=[ListSize(assumed_size=2)],
        description="J.P. Morgan only, SEPA and BACS; null: the vault keeps none for such accounts, or they cannot be "
        "read; [] means that it has none.",
    )


@strawberry.federation.type(
    name="OtherMethod", keys=["id"], description="Fallback for method kinds that a client does not know."
)
class GraphOtherMethod(PaymentMethod):
    provider_kind: str = strawberry.field(description="The vault's name for the kind.")


class ShowsStatuses(FixedObject):
    """Its fields and those below it depend on the wallet, and on the 3-D Secure statuses of the customer's cards."""

    entry: DirectoryEntry

    def state(self, context: Context) -> CustomerState | None:
        return context.loaders.state_of(self.entry)

    def is_in(self, state: CustomerState, context: Context) -> bool:
        return context.loaders.is_in(state)


class _ListOwner(ShowsStatuses):
    def __init__(self, entry: DirectoryEntry, parts: int) -> None:
        self.entry = entry
        self.parts = parts


class WalletMethods(dict[str, PaymentMethod]):
    """Every method of a wallet by id; `listed` are those that lists show by default, in their order."""

    listed: FixedList[PaymentMethod] = FixedList()


def methods_of(built: BuiltWallet) -> WalletMethods:
    """Every method of a wallet by id, in the wallet's order, with look-alikes linked to each other. The same objects
    while the methods are the same."""
    if built.methods is None:
        wallet = built.wallet
        made = built.methods = WalletMethods({one.id: method_to_graph(one, wallet.entry) for one in wallet.methods})
        made.listed = FixedList([made[one.id] for one in wallet.visible])
        made.listed.owner = _ListOwner(wallet.entry, len(made.listed))
        for one in wallet.methods:
            if one.lookalikes:
                made[one.id].possible_duplicates = [made[other] for other in one.lookalikes]
    found: WalletMethods = built.methods
    return found


def method_to_graph(one: WalletMethod, entry: DirectoryEntry) -> PaymentMethod:
    method = one.method
    shared = _shared(one, entry)
    if isinstance(method, VaultCard):
        return GraphCard(
            **shared,
            brand=method.brand,
            funding=method.funding,
            token_type=method.token_type,
            wallet=method.wallet,
            expiry=method.expiry,
            expiry_state=one.expiry_state,
            bin=method.bin,
        )
    if isinstance(method, VaultBankAccount):
        return GraphBankAccount(
            **shared,
            rail=method.rail,
            account_type=method.account_type,
            bank_name=method.bank_name,
            verification=method.verification,
        )
    return GraphOtherMethod(**shared, provider_kind=method.provider_kind)


_NO_DUPLICATES: Final[list[PaymentMethod]] = []  # shared and never modified: `methods_of` replaces it


def _shared(one: WalletMethod, entry: DirectoryEntry) -> Mapping[str, Any]:
    method = one.method
    return {
        "id": one.id,
        "entry": entry,
        "provider": method.provider,
        "kind": method.kind,
        "status": one.status,
        "label": one.label,
        "nickname": one.nickname,
        "holder_name": method.holder_name,
        "last4": method.last4,
        "billing_address": _address(method.billing_address),
        "is_default": one.is_default,
        "is_provider_default": method.is_provider_default,
        "capabilities": one.capabilities,
        "possible_duplicates": _NO_DUPLICATES,
        "created_at": method.created_at,
        "updated_at": method.updated_at,
        "is_stale": one.is_stale,
        "provider_ref": method.method_ref,
        "source": one,
        "auth_status_without_call": None if one.has_status_call else AuthStatus.NOT_APPLICABLE,
    }


def _address(address: VaultAddress | None) -> GraphAddress | None:
    if address is None:
        return None
    return GraphAddress(
        line1=address.line1,
        line2=address.line2,
        city=address.city,
        region=address.region,
        postal_code=address.postal_code,
        country=CountryCode(address.country) if address.country else None,
    )


def auth_status_of(shown: PaymentMethod, info: Info) -> AuthStatus | Awaitable[AuthStatus]:
    """At once if the needs of the selection included it."""
    if shown.auth_status_without_call is not None:
        return shown.auth_status_without_call
    reading = info.context.loaders.status(shown.source.method)  # type: ignore[arg-type]  # only cards have such a call
    return reading.status if isinstance(reading, StatusReading) else _status_once_known(reading)


async def _status_once_known(reading: Awaitable[StatusReading]) -> AuthStatus:
    return (await reading).status


def _result_of(found: StatusReading) -> GraphThreeDSecure | None:
    return GraphThreeDSecure.of(found.result) if found.result else None


async def _result_once_known(reading: Awaitable[StatusReading]) -> GraphThreeDSecure | None:
    return _result_of(await reading)
