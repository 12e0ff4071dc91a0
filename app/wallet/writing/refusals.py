"""What a vault's error, or a fault in the input, is told as. One table, for every mutation."""

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
from app.vault.names import ProviderName
from app.wallet.problems import Problem, ProblemCode

PathOf = Callable[[FieldFault], tuple[str, ...]]
"""Where in the mutation's input a field of the model stands."""

_REASONS: Final[Mapping[RejectReason, tuple[ProblemCode, str]]] = {
    RejectReason.CUSTOMER_NOT_FOUND: (ProblemCode.PROVIDER_REJECTED, "The vault does not know this customer."),
    RejectReason.METHOD_NOT_FOUND: (ProblemCode.NOT_FOUND, "The vault does not have this payment method."),
    RejectReason.INVALID_INPUT: (ProblemCode.PROVIDER_REJECTED, "The vault does not accept the input."),
    RejectReason.TOKEN_INVALID: (ProblemCode.PROVIDER_REJECTED, "The vault does not accept the token."),
    RejectReason.DUPLICATE_CUSTOMER: (ProblemCode.LINK_CONFLICT, "The vault has such a customer already: link it."),
    RejectReason.CONFLICT: (ProblemCode.PROVIDER_REJECTED, "The vault's record does not allow that now."),
    RejectReason.NOT_ENABLED: (ProblemCode.PROVIDER_REJECTED, "This is not enabled at the vault."),
    RejectReason.DECLINED: (ProblemCode.DECLINED, "The vault declined."),
    RejectReason.QUOTE_MISMATCH: (
        ProblemCode.PROVIDER_REJECTED,
        "The vault's quote does not agree with what was asked; no payment was made.",
    ),
    RejectReason.CONTRACT: (ProblemCode.PROVIDER_REJECTED, "The vault refused the request."),
}
_UNAVAILABLE: Final = (ProblemCode.PROVIDER_UNAVAILABLE, "The vault could not be reached or read; nothing was changed.")
_KINDS: Final[tuple[tuple[type[VaultError], tuple[ProblemCode, str]], ...]] = (
    (VaultTimeout, (ProblemCode.PROVIDER_TIMEOUT, "The vault did not answer in time; nothing was changed.")),
    (VaultThrottled, (ProblemCode.PROVIDER_THROTTLED, "Too many calls to the vault for now; nothing was changed.")),
    (CircuitOpen, (ProblemCode.PROVIDER_UNAVAILABLE, "The vault is not called for a moment; nothing was changed.")),
    (VaultRefusedUs, (ProblemCode.PROVIDER_AUTH, "The vault does not accept the gateway's credentials.")),
    (UnsupportedByVault, (ProblemCode.UNSUPPORTED_BY_PROVIDER, "This vault cannot do that.")),
)


def as_it_stands(fault: FieldFault) -> tuple[str, ...]:
    """For inputs that name their fields as the model does."""
    return fault.path


def problems_of_faults(faults: Iterable[FieldFault], path_of: PathOf = as_it_stands) -> tuple[Problem, ...]:
    """Faults found before anything was sent."""
    nobody = Problem(code=ProblemCode.INVALID_INPUT, message="")
    return tuple(_of_fault(fault, path_of, nobody) for fault in faults)


def problems_of(error: VaultError, path_of: PathOf = as_it_stands) -> tuple[Problem, ...]:
    """A vault's error on a write that changed nothing: one problem per field it names, or one for the whole."""
    base = _base(error)
    faults = error.faults if isinstance(error, InvalidRequest | VaultRejected) else ()
    return tuple(_of_fault(fault, path_of, base) for fault in faults) or (base,)


def is_final(error: VaultError) -> bool:
    """Whether the same input would be refused again. Credentials can be mended, and vaults come back."""
    return isinstance(error, VaultRejected | InvalidRequest | UnsupportedByVault)


def proven_absent(provider: ProviderName, error: VaultError | None) -> Problem:
    """The answer was lost or not understood, and the vault's list shows that nothing came of it."""
    if isinstance(error, OutcomeUnknown) and error.if_absent is not None:
        return replace(_base(error.if_absent), retryable=True)
    return Problem(
        code=ProblemCode.PROVIDER_UNAVAILABLE,
        message="The vault gave no answer that can be understood, and its list shows that nothing was changed: it may "
        "be sent again.",
        retryable=True,
        provider=provider,
        outcome=WriteOutcome.NOT_APPLIED,
        provider_code=error.provider_code if error else None,
        provider_request_id=error.provider_request_id if error else None,
    )


def interrupted(provider: ProviderName | None) -> Problem:
    """Whoever ran it is gone, and had sent nothing."""
    return Problem(
        code=ProblemCode.PROVIDER_UNAVAILABLE,
        message="It was broken off before anything was sent: the same request may be sent again.",
        retryable=True,
        provider=provider,
        outcome=WriteOutcome.NOT_APPLIED if provider else None,
    )


def outcome_unknown(provider: ProviderName | None, error: VaultError | None = None) -> Problem:
    return Problem(
        code=ProblemCode.OUTCOME_UNKNOWN,
        message="The vault gave no answer that can be understood, and whether the write was made is not known yet. It "
        "is looked up again; the same request with the same key tells the outcome.",
        retryable=True,
        provider=provider,
        outcome=WriteOutcome.UNKNOWN,
        provider_code=error.provider_code if error else None,
        provider_request_id=error.provider_request_id if error else None,
    )


def in_progress(operation: OperationRecord | None = None) -> Problem:
    """The same key is being worked on, or another write there is not settled yet."""
    return Problem(
        code=ProblemCode.IDEMPOTENCY_IN_PROGRESS,
        message="This request is being worked on." if operation else "Another write there is not settled yet.",
        retryable=True,
    )


def _base(error: VaultError) -> Problem:
    code, message = _told(error)
    return Problem(
        code=code,
        message=message,
        retryable=error.retryable,
        provider=ProviderName(error.provider),
        outcome=WriteOutcome.UNKNOWN if isinstance(error, OutcomeUnknown) else WriteOutcome.NOT_APPLIED,
        provider_code=error.provider_code,
        retry_after_s=error.retry_after_s,
        provider_request_id=error.provider_request_id,
    )


def _told(error: VaultError) -> tuple[ProblemCode, str]:
    if isinstance(error, VaultRejected):
        return _REASONS[error.reason]
    return next((told for kind, told in _KINDS if isinstance(error, kind)), _UNAVAILABLE)


def _of_fault(fault: FieldFault, path_of: PathOf, base: Problem) -> Problem:
    return Problem(
        code=ProblemCode(fault.code),
        message=fault.message,
        path=path_of(fault),
        provider=base.provider,
        outcome=base.outcome,
        provider_code=base.provider_code,
        provider_request_id=base.provider_request_id,
    )
