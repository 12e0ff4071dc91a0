"""What vaults keep of a customer besides payment methods."""

from datetime import datetime
from typing import Final, Self

import strawberry

from app.providers.registry import names_of_the_able, those_able
from app.vault.enums import AddressType, ProviderName, SourceState
from app.vault.model import Email, Phone, StoredAddress
from app.wallet.reads.build_wallet import Wallet
from app.wallet.reads.reader import SourceReading
from resolvers.directives import ListSize
from resolvers.errors import SourcesUnavailable
from resolvers.scalars import CountryCode

KEEPERS: Final = those_able(lambda can: can.keeps_profiles)
"""The vaults that keep profiles."""
KEEPERS_NAMES: Final = names_of_the_able(lambda can: can.keeps_profiles)


@strawberry.type(description="A person's name at a vault.")
class VaultPersonName:
    first: str | None = strawberry.field(description="Given names.")
    last: str | None = strawberry.field(description="The family name, or the whole name if it has one part.")


@strawberry.type(description=f"An address that a vault keeps of the customer. {KEEPERS_NAMES} only.")
class VaultAddress:
    provider: ProviderName = strawberry.field(description="The vault that keeps it.")
    type: AddressType | None = strawberry.field(description="Null: the vault does not say.")
    name: str | None = strawberry.field(description="The customer's own name for it, e.g. Work.")
    is_primary: bool | None = strawberry.field(
        description="The vault's mark; several may have it. Null: the vault does not say."
    )
    recipient: VaultPersonName | None = strawberry.field(description="Who lives or works there.")
    is_active: bool | None = strawberry.field(description="Null: the vault does not say.")
    payment_method_ids: list[strawberry.ID] = strawberry.field(
        directives=[ListSize(assumed_size=2)],
        description="The customer's payment methods with this address; it is their billingAddress if it is for bills.",
    )
    line1: str | None = strawberry.field(description="Street and number.")
    line2: str | None = strawberry.field(description="Apartment, floor or building.")
    city: str | None = strawberry.field(description="The town or city.")
    region: str | None = strawberry.field(description="The code of the state or province.")
    postal_code: str | None = strawberry.field(description="ZIP code or postcode.")
    country: CountryCode | None = strawberry.field(description="ISO 3166-1 alpha-2.")

    @classmethod
    def of(cls, provider: ProviderName, stored: StoredAddress, wallet: Wallet) -> Self:
        address, labels = stored.address, stored.labels
        name = labels.recipient
        return cls(
            provider=provider,
            type=labels.type,
            name=labels.name,
            is_primary=labels.is_primary,
            recipient=None if name is None else VaultPersonName(first=name.first or None, last=name.last or None),
            is_active=stored.is_active,
            payment_method_ids=[
                strawberry.ID(one.id)
                for one in wallet.methods
                if one.method.address_ref == stored.ref and one.method.provider is provider
            ],
            line1=address.line1,
            line2=address.line2,
            city=address.city,
            region=address.region,
            postal_code=address.postal_code,
            country=CountryCode(address.country) if address.country else None,
        )


@strawberry.type(description="A phone number at a vault.")
class VaultPhone:
    """Describes `Phone`, which is returned unchanged."""

    number: str = strawberry.field(description="As the vault keeps it, without the dialling prefix.")
    dialling_prefix: str | None = strawberry.field(description='As the vault keeps it, usually without "+".')
    type: str | None = strawberry.field(description="The vault's word, e.g. Home.")
    is_default: bool | None = strawberry.field(description="Null: the vault names no default.")


@strawberry.type(description="An e-mail address at a vault.")
class VaultEmail:
    """Describes `Email`, which is returned unchanged."""

    address: str = strawberry.field(description="As the vault keeps it.")
    type: str | None = strawberry.field(description="The vault's word, e.g. Home.")
    is_default: bool | None = strawberry.field(description="Null: the vault names no default.")


@strawberry.type(
    description=f"How one vault can reach the customer, and what it says of its record. {KEEPERS_NAMES} only."
)
class VaultContacts:
    reading: strawberry.Private[SourceReading]
    provider: ProviderName = strawberry.field(description="The vault.")
    state: SourceState = strawberry.field(
        description="How the vault was read. Without data (e.g. TIMEOUT) all other fields are null: unknown, not empty."
    )
    as_of: datetime | None = strawberry.field(description="When the vault returned this data.")
    phones: list[VaultPhone] | None = strawberry.field(
        graphql_type=list[VaultPhone] | None,
        directives=[ListSize(assumed_size=2)],
        description="Phone numbers. Null: not read, or unreadable; [] means none.",
    )
    emails: list[VaultEmail] | None = strawberry.field(
        graphql_type=list[VaultEmail] | None,
        directives=[ListSize(assumed_size=2)],
        description="E-mail addresses. Null: not read, or unreadable; [] means none.",
    )
    card_on_file_reference: str | None = strawberry.field(
        description="J.P. Morgan's cardOnFileReferenceNumber: the merchant's reference of the agreement under which "
        "the customer's cards are stored and charged later (stored credentials). It is no card and no token."
    )
    profile_created_at: datetime | None = strawberry.field(description="When the vault's record was created.")
    profile_updated_at: datetime | None = strawberry.field(
        description="When the vault's record last changed: the customer, an address or any payment method."
    )

    @classmethod
    def of(cls, reading: SourceReading) -> Self:
        profile = reading.wallet.profile if reading.wallet is not None else None
        is_unknown_there = reading.state is SourceState.CUSTOMER_NOT_FOUND
        nothing: list[Phone] | list[Email] | None = [] if is_unknown_there else None
        return cls(
            reading=reading,
            provider=reading.provider,
            state=reading.state,
            as_of=reading.fetched_at,
            phones=nothing if profile is None or profile.phones is None else list(profile.phones),  # type: ignore[arg-type]
            emails=nothing if profile is None or profile.emails is None else list(profile.emails),  # type: ignore[arg-type]
            card_on_file_reference=None if profile is None else profile.card_on_file_reference,
            profile_created_at=None if profile is None else profile.created_at,
            profile_updated_at=None if profile is None else profile.updated_at,
        )


def contacts_in(wallet: Wallet) -> list[VaultContacts]:
    """A row for each linked vault that keeps profiles."""
    return [VaultContacts.of(wallet.sources[link.provider]) for link in wallet.entry.links if link.provider in KEEPERS]


def addresses_in(wallet: Wallet) -> list[VaultAddress]:
    """Of all linked vaults that keep them. Raises SourcesUnavailable if none of these answered readably."""
    linked = [link.provider for link in wallet.entry.links if link.provider in KEEPERS]
    found: list[VaultAddress] = []
    has_answer = not linked
    for name in linked:
        reading = wallet.sources[name]
        profile = reading.wallet.profile if reading.wallet is not None else None
        if profile is not None and profile.addresses is not None:
            found += [VaultAddress.of(name, one, wallet) for one in profile.addresses]
        has_answer |= reading.state is SourceState.CUSTOMER_NOT_FOUND or bool(profile and profile.addresses is not None)
    if not has_answer:
        raise SourcesUnavailable
    return found
