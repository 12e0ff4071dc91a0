"""Errors and warnings of a write: one type for the gateway's own and for those of a vault."""

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Final

from app.store.records import MethodAddress, WriteOutcome
from app.vault.enums import ProviderName


class ProblemCode(StrEnum):
    """The graph's `ErrorCode`."""

    INVALID_INPUT = "INVALID_INPUT"
    REQUIRED = "REQUIRED"
    NOT_FOUND = "NOT_FOUND"
    NOT_LINKED = "NOT_LINKED"
    LINK_CONFLICT = "LINK_CONFLICT"
    PAN_NOT_ALLOWED = "PAN_NOT_ALLOWED"
    RAW_CARD_DISABLED = "RAW_CARD_DISABLED"
    DUPLICATE = "DUPLICATE"
    STALE_ETAG = "STALE_ETAG"
    METHOD_EXPIRED = "METHOD_EXPIRED"
    METHOD_NOT_USABLE = "METHOD_NOT_USABLE"
    METHOD_IN_USE = "METHOD_IN_USE"
    DEFAULT_REQUIRED = "DEFAULT_REQUIRED"
    DEFAULT_UNKNOWN = "DEFAULT_UNKNOWN"
    UNSUPPORTED_BY_PROVIDER = "UNSUPPORTED_BY_PROVIDER"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    PROVIDER_TIMEOUT = "PROVIDER_TIMEOUT"
    PROVIDER_THROTTLED = "PROVIDER_THROTTLED"
    PROVIDER_REJECTED = "PROVIDER_REJECTED"
    PROVIDER_AUTH = "PROVIDER_AUTH"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    PAYER_AUTHENTICATION_REQUIRED = "PAYER_AUTHENTICATION_REQUIRED"
    DECLINED = "DECLINED"
    DEFAULT_NOT_MIRRORED = "DEFAULT_NOT_MIRRORED"


@dataclass(frozen=True, slots=True)
class WriteProblem:
    """One error or warning; it never contains an input value.

    `path` holds snake_case names, starting at the mutation's input. With `outcome` it is a vault's answer (the graph's
    ProviderError; `provider` is then set), with `existing` a DuplicateError, with `current_etag` a ConflictError.
    """

    code: ProblemCode
    message: str
    path: tuple[str, ...] = ()
    _: KW_ONLY
    retryable: bool = False
    provider: ProviderName | None = None
    outcome: WriteOutcome | None = None
    provider_code: str | None = None
    retry_after_s: float | None = None
    provider_request_id: str | None = None
    existing: MethodAddress | None = None
    current_etag: str | None = None


STORE_UNAVAILABLE: Final = WriteProblem(
    ProblemCode.STORE_UNAVAILABLE,
    "The gateway's store cannot be used at the moment; no vault was called. Send the same request again.",
    retryable=True,
)
"""The journal cannot be written; no vault is called without it."""


def not_found(message: str, *path: str) -> WriteProblem:
    return WriteProblem(ProblemCode.NOT_FOUND, message, path)


def unsupported(provider: ProviderName, message: str, *path: str) -> WriteProblem:
    return WriteProblem(ProblemCode.UNSUPPORTED_BY_PROVIDER, message, path, provider=provider)


def invalid(message: str, *path: str) -> WriteProblem:
    return WriteProblem(ProblemCode.INVALID_INPUT, message, path)


def required(message: str, *path: str) -> WriteProblem:
    return WriteProblem(ProblemCode.REQUIRED, message, path)
