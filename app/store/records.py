"""What the store answers: frozen values, no rows. Instants are aware UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.vault.names import CustomerRef, LinkProof, MethodRef, ProviderName


class Topic(StrEnum):
    """What a change is about; `Change.key` names the thing."""

    CUSTOMER = "customer"  # key: our customer id; links, choice, nicknames, names
    CLIENT = "client"  # key: the partner's name
    DOCUMENTS = "documents"  # key: the partner's name


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed. Versions rise in the order of commits, without one appearing late below another."""

    version: int
    topic: Topic
    key: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened after a version. When `is_complete` is false the log was pruned since: forget everything cached."""

    version: int
    rows: tuple[Change, ...]
    is_complete: bool


# ---- directory ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRecord:
    """One of our customers. `external_id` is None only once erased; names go with erasure too."""

    id: str
    external_id: str | None
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None = None
    created_at: datetime
    erased_at: datetime | None = None

    @property
    def name(self) -> str | None:
        return " ".join(part for part in (self.first_name, self.last_name) if part) or None


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
class ChoiceRecord:
    """The customer's own choice of default, which wins over every vault's."""

    customer_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    method_ref: MethodRef
    allow_expired: bool
    set_at: datetime
    set_by: str


@dataclass(frozen=True, slots=True)
class MethodAddress:
    """Where one payment method lives: what a `pm_` id stands for."""

    provider: ProviderName
    customer_ref: CustomerRef
    method_ref: MethodRef


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


# ---- events ------------------------------------------------------------------------------------------------


class EventType(StrEnum):
    """The graph's event types, then those that only the audit trail has."""

    METHOD_ADDED = "METHOD_ADDED"
    METHOD_UPDATED = "METHOD_UPDATED"
    METHOD_REPLACED = "METHOD_REPLACED"
    METHOD_DELETED = "METHOD_DELETED"
    METHOD_EXPIRING = "METHOD_EXPIRING"
    METHOD_EXPIRED = "METHOD_EXPIRED"
    DEFAULT_CHANGED = "DEFAULT_CHANGED"
    AUTH_CHANGED = "AUTH_CHANGED"
    PAYMENT_UPDATED = "PAYMENT_UPDATED"
    LINK_CHANGED = "LINK_CHANGED"
    SOURCE_DEGRADED = "SOURCE_DEGRADED"
    SOURCE_RECOVERED = "SOURCE_RECOVERED"
    MUTATION = "MUTATION"
    ACCESS_REFUSED = "ACCESS_REFUSED"
    CUSTOMER_CREATED = "CUSTOMER_CREATED"
    CUSTOMER_ERASED = "CUSTOMER_ERASED"


class EventOrigin(StrEnum):
    GATEWAY = "GATEWAY"
    PROVIDER_WEBHOOK = "PROVIDER_WEBHOOK"
    RECONCILIATION = "RECONCILIATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """Something that happened, to be kept. `detail` is JSON without secrets or personal data.

    `once` makes it happen once: a second event with the same `once` is dropped (an expiry told daily, a delivery
    repeated). `occurred_at` None means now.
    """

    type: EventType
    origin: EventOrigin = EventOrigin.GATEWAY
    occurred_at: datetime | None = None
    customer_id: str | None = None
    provider: ProviderName | None = None
    customer_ref: CustomerRef | None = None
    method_ref: MethodRef | None = None
    actor: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    once: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """A kept event. Ids rise in the order of commits: whoever has read up to an id has missed nothing below it."""

    id: str
    type: EventType
    origin: EventOrigin
    occurred_at: datetime
    customer_id: str | None
    provider: ProviderName | None
    customer_ref: CustomerRef | None
    method_ref: MethodRef | None
    actor: str | None
    outcome: str | None
    request_id: str | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EventPage:
    events: tuple[EventRecord, ...]
    has_next: bool
