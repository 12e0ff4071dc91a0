"""What comes in from outside: webhook deliveries, imports, and what vaults were seen to hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.vault.names import AuthStatus, CustomerRef, MethodRef, PaymentMethodStatus, ProviderName


class ReceiptState(StrEnum):
    RECEIVED = "RECEIVED"
    DONE = "DONE"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReceipt:
    """A verified delivery. `body` is JSON, already redacted. Deliveries of one `lane` are processed in order."""

    source: str
    account: str
    delivery_id: str
    event_type: str
    lane: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRecord:
    """`attempts` counts claims, this one included; `error` is a short reason of ours for the last failure."""

    id: str
    source: str
    account: str
    delivery_id: str
    event_type: str
    lane: str
    body: Mapping[str, Any]
    state: ReceiptState
    attempts: int
    error: str | None
    received_at: datetime
    next_attempt_at: datetime | None
    done_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRecord:
    """How far an import came: `next_row` and `next_offset` (bytes, for files) are where to go on.

    `counts` is by outcome, in the importer's words.
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
class SeenMethod:
    """A method as last read. `etag` changes when anything shown changes; `expiry` is ``YYYY-MM``.

    `auth` is what the list itself says of its 3-D Secure, if anything: where later statuses start from.
    """

    method_ref: MethodRef
    etag: str
    status: PaymentMethodStatus
    expiry: str | None = None
    auth: AuthStatus | None = None


@dataclass(frozen=True, slots=True)
class SeenChanges:
    """What differs from the last time. `is_first` says that there was no last time: nothing in it is news.

    `since` is when a difference was last found, or the list first seen; None at the first time. `is_outdated` says that
    the list may be older than the last one remembered: nothing was compared. `is_found_again`: the vault did not know
    the customer the last time.
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
class SeenStatus:
    """What is remembered of a method's 3-D Secure: the status last seen, and since when; None before the first."""

    customer_id: str
    status: AuthStatus | None
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRecord:
    """A method of one of our customers, as last seen."""

    customer_id: str
    provider: ProviderName
    customer_ref: CustomerRef
    method_ref: MethodRef
    status: PaymentMethodStatus
    expiry: str | None
    seen_at: datetime
