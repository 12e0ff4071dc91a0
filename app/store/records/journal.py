"""Operations of the write journal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.vault.enums import CustomerRef, MethodRef, ProviderName


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
    """The outcome of one part of an operation: one vault of an erasure, one row of an import. `row` starts at 0.

    `error` is JSON (code, path, provider_code, ...) without values that were sent. `was_duplicate`: the vault had the
    method before.
    """

    row: int
    provider: ProviderName
    state: OperationState
    outcome: WriteOutcome
    customer_ref: CustomerRef | None = None
    method_ref: MethodRef | None = None
    error: Mapping[str, Any] | None = None
    was_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class ResultPage:
    rows: tuple[ResultRow, ...]
    has_next: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOperation:
    """A write to begin.

    `idempotency_key` is hashed before it is stored. `intent` is the data for reconciliation (refs before, brand, last4,
    expiry, digests), never a secret. `exclusive` is a lock name (``capture:pay_...``), unique across keys and held
    until the operation is FAILED. `digest_key` is the name of the key of `input_digest`. `provider` is None if several
    vaults take part: then `rows` has one row for each.
    """

    caller: str
    mutation: str
    input_digest: str
    owner_id: str
    deadline_at: datetime
    digest_key: str | None = None
    idempotency_key: str | None = None
    customer_id: str | None = None
    provider: ProviderName | None = None
    exclusive: str | None = None
    intent: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    rows: tuple[ResultRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRecord:
    """A write in the journal.

    `epoch` is a fencing token: it increases with each takeover, and a process with an older one cannot change the
    operation. `sent_at` is just before the vault was called; None: nothing was sent. `deadline_at` is until when a
    request may be in flight. `reconcile_at` is the next reconciliation of an UNKNOWN operation; None: an operator must
    decide. `looks` counts the takeovers.
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
    digest_key: str | None = None

    @property
    def is_repeatable(self) -> bool:
        """Proven not applied, at least partly, and not final: can be run again with the same key and input."""
        return self.state in (OperationState.FAILED, OperationState.PARTIAL) and not self.is_final


@dataclass(frozen=True, slots=True)
class BegunNew:
    """The caller may run the operation."""

    operation: OperationRecord


@dataclass(frozen=True, slots=True)
class BegunBefore:
    """The key was used before: compare `input_digest`, then respond according to `state`."""

    operation: OperationRecord


@dataclass(frozen=True, slots=True)
class BegunElsewhere:
    """An operation with another key holds the `exclusive`."""

    operation: OperationRecord


Begun = BegunNew | BegunBefore | BegunElsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """A process that runs operations. Its lease ends when `beat_at` is too old or `stopped_at` is set. `keys`: the
    names of its keys by setting, in their order; empty for a version before names."""

    id: str
    host: str
    pid: int
    started_at: datetime
    beat_at: datetime
    stopped_at: datetime | None
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
