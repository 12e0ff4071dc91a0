"""Error classes, named for what the caller can do next. None carries a value or a response body.

`code` is stable and safe to show. `retryable` is true if the same call may succeed later unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class RejectReason(StrEnum):
    """Why a vault rejected a request: a closed list, mapped from each vault's own codes."""

    CUSTOMER_NOT_FOUND = "CUSTOMER_NOT_FOUND"
    METHOD_NOT_FOUND = "METHOD_NOT_FOUND"
    INVALID_INPUT = "INVALID_INPUT"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 - a reason, not a credential
    DUPLICATE_CUSTOMER = "DUPLICATE_CUSTOMER"
    CONFLICT = "CONFLICT"
    NOT_ENABLED = "NOT_ENABLED"
    DECLINED = "DECLINED"
    QUOTE_MISMATCH = "QUOTE_MISMATCH"
    CONTRACT = "CONTRACT"


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One error in one input field.

    `path` holds snake_case field names from the input's root, e.g. ``("billing_address", "postal_code")``; `code` is an
    ErrorCode of the graph (`INVALID_INPUT`, `REQUIRED`, `UNSUPPORTED_BY_PROVIDER`, ...); `message` never quotes the
    value.
    """

    path: tuple[str, ...]
    code: str
    message: str


class VaultgraphError(Exception):
    """Base class of the project's errors."""


class SettingsError(VaultgraphError):
    """A setting is missing or invalid; the message names the setting, never its value."""


class StoreUnavailable(VaultgraphError):
    """The database cannot be reached or used now. If a commit fails with it, the transaction's outcome is unknown.

    `cause` is the class name of the driver's exception; its text may contain address and user.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"the store cannot be used ({cause})")
        self.cause = cause


class VaultError(VaultgraphError):
    """A call to a vault failed. `provider` is the vault's registered name.

    `meaning` is the default message. It is no docstring, because optimised Python (-OO) removes those.
    """

    meaning = "A call to a vault failed."
    code = "PROVIDER_UNAVAILABLE"
    retryable = False

    def __init__(
        self,
        provider: str,
        message: str = "",
        *,
        provider_code: str | None = None,
        retry_after_s: float | None = None,
        provider_request_id: str | None = None,
    ) -> None:
        super().__init__(message or self.meaning)
        self.provider = provider
        self.provider_code = provider_code
        self.retry_after_s = retry_after_s
        self.provider_request_id = provider_request_id


class UnsupportedByVault(VaultError):
    meaning = "This vault does not support the operation; nothing was sent."
    code = "UNSUPPORTED_BY_PROVIDER"


class InvalidRequest(VaultError):
    """The input violates a rule of this vault; nothing was sent."""

    code = "INVALID_INPUT"

    def __init__(self, provider: str, faults: Sequence[FieldFault]) -> None:
        super().__init__(provider, "The input violates a rule of this vault.")
        self.faults = tuple(faults)


class VaultUnavailable(VaultError):
    meaning = "The vault could not be reached, or failed on a read; nothing was changed."
    retryable = True


class VaultTimeout(VaultUnavailable):
    meaning = "The vault did not answer a read within the deadline."
    code = "PROVIDER_TIMEOUT"


class VaultThrottled(VaultUnavailable):
    meaning = "The vault's rate limit or the gateway's concurrency limit was reached; nothing was changed."
    code = "PROVIDER_THROTTLED"


class CircuitOpen(VaultUnavailable):
    meaning = "The circuit breaker is open because too many calls to this vault failed; nothing was sent."


class OutcomeUnknown(VaultError):
    """A write whose outcome is unknown.

    `is_in_flight` is false once the vault has certainly finished the request: its list is then conclusive. `if_absent`
    is the error to report if the list shows that the write was not applied, where known.
    """

    meaning = "A write was sent, but no conclusive answer came back: check its result before repeating it."
    code = "OUTCOME_UNKNOWN"
    retryable = True

    def __init__(
        self,
        provider: str,
        message: str = "",
        *,
        provider_code: str | None = None,
        provider_request_id: str | None = None,
        is_in_flight: bool = True,
        if_absent: VaultError | None = None,
    ) -> None:
        super().__init__(provider, message, provider_code=provider_code, provider_request_id=provider_request_id)
        self.is_in_flight = is_in_flight
        self.if_absent = if_absent


class VaultRejected(VaultError):
    """The vault rejected the request and changed nothing."""

    code = "PROVIDER_REJECTED"

    def __init__(
        self,
        provider: str,
        reason: RejectReason,
        *,
        provider_code: str | None = None,
        faults: Sequence[FieldFault] = (),
        provider_request_id: str | None = None,
    ) -> None:
        super().__init__(
            provider,
            f"The vault rejected the request ({reason.value}).",
            provider_code=provider_code,
            provider_request_id=provider_request_id,
        )
        self.reason = reason
        self.faults = tuple(faults)


class VaultRefusedUs(VaultError):
    meaning = "The vault does not accept the gateway's credentials: an operator must check them."
    code = "PROVIDER_AUTH"


class VaultReplyUnreadable(VaultError):
    meaning = "The vault answered a read in an undocumented format."
    code = "PROVIDER_UNAVAILABLE"
    retryable = True
