"""Webhook endpoints, and the deliveries to them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.store.records.events import EventRecord


class EndpointDeliveryState(StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    WITHHELD = "WITHHELD"  # not sent: `error` is NOT_GRANTED or EVENT_EXPIRED
    DEAD = "DEAD"  # dead-lettered


class DisabledReason(StrEnum):
    OPERATOR = "OPERATOR"
    GONE = "GONE"  # it answered 410
    FAILING = "FAILING"  # every attempt failed for a week


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """`client` None: an endpoint of staff, for the events of all customers. `types` are names of event types."""

    id: str
    client: str | None
    url: str
    types: frozenset[str]
    secret: str
    secret_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRecord:
    """`secret` and `old_secret` are encrypted under the digest key of the name `secret_key`.

    `failing_since` is the time of the first failed attempt after the last success. Events up to `starts_after` are not
    delivered.
    """

    id: str
    client: str | None
    url: str
    types: frozenset[str]
    secret: str
    old_secret: str | None
    old_secret_until: datetime | None
    secret_key: str
    created_at: datetime
    starts_after: str | None
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None
    failing_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointDelivery:
    """One event for one endpoint. `attempts` includes the current one; `status` and `error` are of the last failure."""

    endpoint_id: str
    event_id: str
    customer_id: str
    state: EndpointDeliveryState
    attempts: int
    status: int | None
    error: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    expires_at: datetime
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """`event` is None if it has expired. `is_allowed`: the endpoint's owner may see it now."""

    delivery: EndpointDelivery
    event: EventRecord | None
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class EndpointWork:
    """`is_behind`: there may be events without deliveries. `due`: endpoints with deliveries that may be due."""

    is_behind: bool
    due: tuple[str, ...]
