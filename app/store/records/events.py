"""Events and change notices."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.vault.enums import CustomerRef, MethodRef, ProviderName


class Topic(StrEnum):
    """The kind of object that changed; `ChangeNotice.key` identifies it."""

    CUSTOMER = "customer"  # key: customer id; links, choice, nicknames, names
    CLIENT = "client"  # key: the partner's name
    DOCUMENTS = "documents"  # key: the partner's name


@dataclass(frozen=True, slots=True)
class ChangeNotice:
    """One change. Versions increase in commit order; none appears after a higher one."""

    version: int
    topic: Topic
    key: str


@dataclass(frozen=True, slots=True)
class ChangeNotices:
    """Changes after a version. If not `is_complete`, some are missing: clear the whole cache."""

    version: int
    rows: tuple[ChangeNotice, ...]
    is_complete: bool


class EventType(StrEnum):
    """Event types of the GraphQL schema, then those of the audit trail only."""

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
    OPERATOR_COMMAND = "OPERATOR_COMMAND"

    @property
    def is_for_customers(self) -> bool:
        """False for the types that only the audit trail has."""
        return self not in _AUDIT_ONLY


_AUDIT_ONLY = frozenset(
    {
        EventType.MUTATION,
        EventType.ACCESS_REFUSED,
        EventType.CUSTOMER_CREATED,
        EventType.CUSTOMER_ERASED,
        EventType.OPERATOR_COMMAND,
    }
)


class EventOrigin(StrEnum):
    GATEWAY = "GATEWAY"
    PROVIDER_WEBHOOK = "PROVIDER_WEBHOOK"
    RECONCILIATION = "RECONCILIATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to store. `detail` is JSON without secrets or personal data.

    `once` is a deduplication key: a second event with the same one is dropped. `occurred_at` None means now.
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
    """A stored event. Ids increase in commit order, so an id is a safe cursor."""

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
    """`position`: the id of the last event examined, if that is not the last one of the page."""

    events: tuple[EventRecord, ...]
    has_next: bool
    position: str | None = None
