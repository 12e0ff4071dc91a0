"""Customers, their links and default methods."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from app.vault.enums import CustomerRef, LinkProof, MethodRef, ProviderName


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRecord:
    """A customer. Erasure sets `external_id` and the names to None."""

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
        """The business name if there is one, otherwise the person's."""
        return self.business_name or " ".join(filter(None, (self.first_name, self.last_name))) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """Links a customer to a vault's customer. `proof` is how the link was verified."""

    customer_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    proof: LinkProof
    linked_at: datetime
    linked_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConflictRecord:
    """A link that was set aside: its ref is another form of the one to which `linked_customer_id` is linked."""

    customer_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    linked_customer_id: str
    linked_at: datetime
    linked_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRecord:
    """The stored default: the customer's choice, which overrides the vaults', or with `is_kept` a rule's earlier one.

    A rule's result is kept when an added method would have changed it. `missing_since`: when a complete list of the
    vault first lacked the method; None otherwise.
    """

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
    """Vault, customer and method refs of a payment method: the content of a `pm_` id."""

    provider: ProviderName
    customer_ref: CustomerRef
    method_ref: MethodRef

    def is_beside(self, other: "MethodAddress") -> bool:
        """Whether both belong to the same customer at the same vault."""
        return self.provider is other.provider and self.customer_ref == other.customer_ref


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    """All directory data of one customer, from one read. `holder_names` are those that their vaults do not show."""

    customer: CustomerRecord
    links: tuple[LinkRecord, ...] = ()
    choice: ChoiceRecord | None = None
    nicknames: Mapping[MethodAddress, str] = field(default_factory=dict)
    holder_names: Mapping[MethodAddress, str] = field(default_factory=dict)

    def link(self, provider: ProviderName) -> LinkRecord | None:
        return next((link for link in self.links if link.provider == provider), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerCustomer:
    """A customer that was merged into another one, `customer_id`."""

    id: str
    external_id: str | None
    customer_id: str
    merged_at: datetime
    merged_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConflicts:
    """What prevents a merge. `links`: the vaults at which both customers have one, linked or set aside. `is_busy`: an
    operation of either is unfinished."""

    links: tuple[ProviderName, ...]
    has_two_choices: bool
    is_busy: bool


class LinkConflictReason(StrEnum):
    REF_TAKEN = "REF_TAKEN"  # the vault's customer is linked to another customer
    CUSTOMER_LINKED = "CUSTOMER_LINKED"  # the customer is linked to another customer of that vault
