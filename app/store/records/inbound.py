"""Webhook deliveries, imports, and payment methods observed at vaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.vault.enums import AuthStatus, CustomerRef, MethodRef, PaymentMethodStatus, ProviderName


class DeliveryState(StrEnum):
    RECEIVED = "RECEIVED"
    DONE = "DONE"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDelivery:
    """A verified delivery. `body` is JSON, already redacted. Deliveries of one `lane` are processed in order."""

    source: str
    account: str
    delivery_id: str
    event_type: str
    lane: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """`attempts` counts claims, including the current one; `error` is a short reason for the last failure."""

    id: str
    source: str
    account: str
    delivery_id: str
    event_type: str
    lane: str
    body: Mapping[str, Any]
    state: DeliveryState
    attempts: int
    error: str | None
    received_at: datetime
    next_attempt_at: datetime | None
    done_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRecord:
    """Progress of an import, which resumes at `next_row` and `next_offset` (bytes, for files).

    `counts` is by outcome, with keys defined by the importer.
    """

    key: str
    content_digest: str
    started_by: str
    next_row: int
    next_offset: int
    counts: Mapping[str, int]
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedMethod:
    """A method as last read. `etag` changes when a visible field changes; `expiry` is ``YYYY-MM``.

    `auth` is the 3-D Secure status in the list, if any: the baseline for later statuses.
    """

    method_ref: MethodRef
    etag: str
    status: PaymentMethodStatus
    expiry: str | None = None
    auth: AuthStatus | None = None


@dataclass(frozen=True, slots=True)
class ObservedChanges:
    """Differences from the stored list. `is_first`: there was none, so the differences are not changes.

    `since` is when a difference was last found or the list first stored; None if `is_first`. `is_outdated`: the list
    may be older than the stored one and was not compared. `is_found_again`: the vault reported it as unknown before.
    """

    added: tuple[MethodRef, ...]
    changed: tuple[MethodRef, ...]
    removed: tuple[MethodRef, ...]
    is_first: bool
    since: datetime | None = field(default=None, compare=False)
    is_outdated: bool = False
    is_found_again: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


@dataclass(frozen=True, slots=True)
class ObservedStatus:
    """The last observed 3-D Secure status of a method, and since when; None before the first."""

    customer_id: str
    status: AuthStatus | None
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRecord:
    """A method of a customer, as last observed."""

    customer_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    method_ref: MethodRef
    status: PaymentMethodStatus
    expiry: str | None
    seen_at: datetime
