"""Customers, their links and what they chose."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.vault.names import CustomerRef, LinkProof, MethodRef, ProviderName


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRecord:
    """One of our customers. `external_id` is None only once erased; names go with erasure too."""

    id: str
    external_id: str | None
    first_name: str | None
    last_name: str | None
    business_name: str | None = None
    email: str | None
    phone: str | None = None
    created_at: datetime
    erased_at: datetime | None = None

    @property
    def name(self) -> str | None:
        """That of the business where there is one, else the person's."""
        return self.business_name or " ".join(part for part in (self.first_name, self.last_name) if part) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """One of our customers is this customer of that vault. `proof` says why we believe it."""

    customer_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    proof: LinkProof
    linked_at: datetime
    linked_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConflictRecord:
    """A link that was set aside: its ref is another spelling of the one that `linked_customer_id` is linked to."""

    customer_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    linked_customer_id: str
    linked_at: datetime
    linked_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRecord:
    """The customer's default as we store it: its own choice, which wins over every vault's, or with `is_kept` one that
    a rule had found and that an added method would have taken away. `missing_since`: when a complete list of its
    vault first lacked it; None while no list does."""

    customer_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    method_ref: MethodRef
    allow_expired: bool
    set_at: datetime
    set_by: str
    is_kept: bool = False
    missing_since: datetime | None = None

    @property
    def address(self) -> "MethodAddress":
        return MethodAddress(self.provider, self.customer_ref, self.method_ref)


@dataclass(frozen=True, slots=True)
class MethodAddress:
    """Where one payment method lives: what a `pm_` id stands for."""

    provider: ProviderName
    customer_ref: CustomerRef
    method_ref: MethodRef

    def is_beside(self, other: "MethodAddress") -> bool:
        """Whether both are one customer's at one vault."""
        return self.provider is other.provider and self.customer_ref == other.customer_ref


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    """All that the directory knows about one customer, read at one instant."""

    customer: CustomerRecord
    links: tuple[LinkRecord, ...] = ()
    choice: ChoiceRecord | None = None
    nicknames: Mapping[MethodAddress, str] = field(default_factory=dict)

    def link(self, provider: ProviderName) -> LinkRecord | None:
        return next((link for link in self.links if link.provider == provider), None)


class LinkConflictReason(StrEnum):
    REF_TAKEN = "REF_TAKEN"  # the vault's customer is linked to another customer of ours
    CUSTOMER_LINKED = "CUSTOMER_LINKED"  # our customer is linked to another customer of that vault
