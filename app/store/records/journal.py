"""Operations of the write journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.vault.names import CustomerRef, MethodRef, ProviderName


class OperationState(StrEnum):
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class WriteOutcome(StrEnum):
    NOT_APPLIED = "NOT_APPLIED"
    APPLIED = "APPLIED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """What became of one part of an operation: one vault of an erasure, one row of an import. `row` counts from 0.

    `error` is JSON of our own words (code, path, provider_code, ...), never a value that was sent.
    """

    row: int
    provider: ProviderName
    state: OperationState
    outcome: WriteOutcome
    customer_ref: CustomerRef | None = None
    method_ref: MethodRef | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ResultPage:
    rows: tuple[ResultRow, ...]
    has_next: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOperation:
    """A write that is about to happen.

    `idempotency_key` is hashed before it is stored. `intent` is what it takes to recognise the result in the vault
    (ids before, brand, last4, expiry, digests), never a secret. `exclusive` names something of which there may be one
    at most, whatever the keys (``capture:pay_...``): it is held until the operation is FAILED. `provider` is None when
    several vaults take part: then `rows` has one row for each.
    """

    caller: str
    mutation: str
    input_digest: str
    owner_id: str
    deadline_at: datetime
    idempotency_key: str | None = None
    customer_id: str | None = None
    provider: ProviderName | None = None
    exclusive: str | None = None
    intent: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    rows: tuple[ResultRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRecord:
    """One write, as the journal knows it.

    `epoch` rises whenever somebody takes the operation over; whoever holds an older one can no longer change it.
    `sent_at` is when the vault was about to be called; None means that nothing has left us. `deadline_at` is until
    when a request may still be on its way. `reconcile_at` is when an UNKNOWN one is looked at next; None then means
    that only a person can decide. `looks` counts the takeovers.
    """

    id: str
    caller: str
    mutation: str
    input_digest: str
    customer_id: str | None
    provider: ProviderName | None
    exclusive: str | None
    state: OperationState
    outcome: WriteOutcome | None
    is_final: bool
    epoch: int
    owner_id: str
    deadline_at: datetime
    sent_at: datetime | None
    reconcile_at: datetime | None
    looks: int
    intent: Mapping[str, Any]
    result: Mapping[str, Any]
    request_id: str | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def is_repeatable(self) -> bool:
        """Proven not applied, in part at least, and not a final refusal: the same key and input may run it again
        (`Journal.reopen`)."""
        return self.state in (OperationState.FAILED, OperationState.PARTIAL) and not self.is_final


@dataclass(frozen=True, slots=True)
class Fresh:
    """The operation is ours to run."""

    operation: OperationRecord


@dataclass(frozen=True, slots=True)
class Existing:
    """The key was used before: compare `input_digest`, then answer by `state`."""

    operation: OperationRecord


@dataclass(frozen=True, slots=True)
class Taken:
    """Another operation, of another key, holds what may exist only once."""

    operation: OperationRecord


Begun = Fresh | Existing | Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRecord:
    """A process that runs operations. Its lease is over when `beat_at` is too long ago, or `stopped_at` is set."""

    id: str
    host: str
    pid: int
    started_at: datetime
    beat_at: datetime
    stopped_at: datetime | None
