"""Maps vault errors and input faults to problems: one table for all mutations."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from app.errors import (
    CircuitOpen,
    FieldFault,
    InvalidRequest,
    OutcomeUnknown,
    RejectReason,
    UnsupportedByVault,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultThrottled,
    VaultTimeout,
)
from app.store.records import OperationRecord, WriteOutcome
from app.vault.enums import ProviderName
from app.wallet.problems import ProblemCode, WriteProblem

PathOf = Callable[[FieldFault], tuple[str, ...]]
"""Maps a field of the model to its path in the mutation's input."""

_REASONS: Final[Mapping[RejectReason, tuple[ProblemCode, str]]] = {
    RejectReason.CUSTOMER_NOT_FOUND: (ProblemCode.PROVIDER_REJECTED, "The vault does not know this customer."),
    RejectReason.METHOD_NOT_FOUND: (ProblemCode.NOT_FOUND, "The vault does not have this payment method."),
    RejectReason.INVALID_INPUT: (ProblemCode.PROVIDER_REJECTED, "The vault does not accept the input."),
    RejectReason.TOKEN_INVALID: (ProblemCode.PROVIDER_REJECTED, "The vault does not accept the token."),
    RejectReason.DUPLICATE_CUSTOMER: (ProblemCode.LINK_CONFLICT, "The vault already has this customer: link it."),
    RejectReason.CONFLICT: (ProblemCode.PROVIDER_REJECTED, "The vault's record does not allow this now."),
    RejectReason.NOT_ENABLED: (ProblemCode.PROVIDER_REJECTED, "This is not enabled at the vault."),
    RejectReason.DECLINED: (ProblemCode.DECLINED, "The vault declined."),
    RejectReason.QUOTE_MISMATCH: (
        ProblemCode.PROVIDER_REJECTED,
        "The vault's quote does not match the request; no payment was made.",
    ),
    RejectReason.CONTRACT: (ProblemCode.PROVIDER_REJECTED, "The vault rejected the request."),
}
_UNAVAILABLE: Final = (ProblemCode.PROVIDER_UNAVAILABLE, "The vault could not be reached or read; nothing was changed.")
_KINDS: Final[tuple[tuple[type[VaultError], tuple[ProblemCode, str]], ...]] = (
    (VaultTimeout, (ProblemCode.PROVIDER_TIMEOUT, "The vault did not answer in time; nothing was changed.")),
    (VaultThrottled, (ProblemCode.PROVIDER_THROTTLED, "The rate limit of the vault is reached; nothing was changed.")),
    (CircuitOpen, (ProblemCode.PROVIDER_UNAVAILABLE, "The vault's circuit breaker is open; nothing was changed.")),
    (VaultRefusedUs, (ProblemCode.PROVIDER_AUTH, "The vault does not accept the gateway's credentials.")),
    (UnsupportedByVault, (ProblemCode.UNSUPPORTED_BY_PROVIDER, "This vault does not support the operation.")),
)


def path_unchanged(fault: FieldFault) -> tuple[str, ...]:
    """For inputs with the model's field names."""
    return fault.path


def problems_of_faults(faults: Iterable[FieldFault], path_of: PathOf = path_unchanged) -> tuple[WriteProblem, ...]:
    """Faults found before anything was sent."""
    base = WriteProblem(ProblemCode.INVALID_INPUT, "")
    return tuple(_of_fault(fault, path_of, base) for fault in faults)


def problems_of(error: VaultError, path_of: PathOf = path_unchanged) -> tuple[WriteProblem, ...]:
    """The error of a write that changed nothing: one problem per named field, or one in total."""
    base = _base(error)
    faults = error.faults if isinstance(error, InvalidRequest | VaultRejected) else ()
    return tuple(_of_fault(fault, path_of, base) for fault in faults) or (base,)


def is_final(error: VaultError) -> bool:
    """True if the same input would be refused again. Credentials can be corrected, and vaults recover."""
    return isinstance(error, VaultRejected | InvalidRequest | UnsupportedByVault)


def proven_absent(provider: ProviderName, error: VaultError | None) -> WriteProblem:
    """No conclusive answer, and the vault's list shows that the write was not applied."""
    if isinstance(error, OutcomeUnknown) and error.if_absent is not None:
        return replace(_base(error.if_absent), retryable=True)
    return WriteProblem(
        ProblemCode.PROVIDER_UNAVAILABLE,
        "The vault gave no conclusive answer, and its list shows that nothing was changed: the request may be "
        "sent again.",
        retryable=True,
        provider=provider,
        outcome=WriteOutcome.NOT_APPLIED,
        provider_code=error.provider_code if error else None,
        provider_request_id=error.provider_request_id if error else None,
    )


def interrupted(provider: ProviderName | None) -> WriteProblem:
    """The process that ran it died before sending anything."""
    return WriteProblem(
        ProblemCode.PROVIDER_UNAVAILABLE,
        "The request was interrupted before anything was sent: it may be sent again.",
        retryable=True,
        provider=provider,
        outcome=WriteOutcome.NOT_APPLIED if provider else None,
    )


def outcome_unknown(provider: ProviderName | None, error: VaultError | None = None) -> WriteProblem:
    return WriteProblem(
        ProblemCode.OUTCOME_UNKNOWN,
        "The vault gave no conclusive answer, and it is not known yet whether the write was applied. It will "
        "be looked up; the same request with the same key returns the outcome.",
        retryable=True,
        provider=provider,
        outcome=WriteOutcome.UNKNOWN,
        provider_code=error.provider_code if error else None,
        provider_request_id=error.provider_request_id if error else None,
    )


def in_progress(operation: OperationRecord | None = None) -> WriteProblem:
    """The same key is running, or another write there is not yet reconciled."""
    return WriteProblem(
        ProblemCode.IDEMPOTENCY_IN_PROGRESS,
        "This request is still running." if operation else "Another write to this customer is still undecided.",
        retryable=True,
    )


def _base(error: VaultError) -> WriteProblem:
    code, message = _code_and_message(error)
    return WriteProblem(
        code,
        message,
        retryable=error.retryable,
        provider=ProviderName(error.provider),
        outcome=WriteOutcome.UNKNOWN if isinstance(error, OutcomeUnknown) else WriteOutcome.NOT_APPLIED,
        provider_code=error.provider_code,
        retry_after_s=error.retry_after_s,
        provider_request_id=error.provider_request_id,
    )


def _code_and_message(error: VaultError) -> tuple[ProblemCode, str]:
    if isinstance(error, VaultRejected):
        return _REASONS[error.reason]
    return next((found for kind, found in _KINDS if isinstance(error, kind)), _UNAVAILABLE)


def _of_fault(fault: FieldFault, path_of: PathOf, base: WriteProblem) -> WriteProblem:
    return WriteProblem(
        ProblemCode(fault.code),
        fault.message,
        path_of(fault),
        provider=base.provider,
        outcome=base.outcome,
        provider_code=base.provider_code,
        provider_request_id=base.provider_request_id,
    )
