"""What can go wrong, in our words. Named for what the caller can do next; none carries a value or a reply body.

`code` is stable and safe to show. `retryable` says whether the same call may succeed later without any change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class RejectReason(StrEnum):
    """Why a vault said no: a closed list of ours, whatever words the vault used."""

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
    """One thing wrong with one input field.

    `path` holds our snake_case field names from the input's root, e.g. ``("billing_address", "postal_code")``;
    `code` is an ErrorCode of the graph (`INVALID_INPUT`, `REQUIRED`, `UNSUPPORTED_BY_PROVIDER`, ...); `message`
    never quotes the value.
    """

    path: tuple[str, ...]
    code: str
    message: str


class VaultgraphError(Exception):
    """Base of everything we raise on purpose."""


class SettingsError(VaultgraphError):
    """A setting is missing or wrong; the message names the setting and never its value."""


class StoreUnavailable(VaultgraphError):
    """The database cannot be reached or used now. Nothing is known of a transaction whose commit failed so.

    `cause` is the name of the driver's exception: its text may show address and user.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"the store cannot be used ({cause})")
        self.cause = cause


class VaultError(VaultgraphError):
    """A vault did not do what was asked. `provider` is the vault's registered name.

    `meaning` is the message where none is given, in place of a docstring, which optimised Python (-OO) does without.
    """

    meaning = "A vault did not do what was asked."
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
    meaning = "This vault cannot do that; nothing was sent."
    code = "UNSUPPORTED_BY_PROVIDER"


class InvalidRequest(VaultError):
    """The input breaks a rule of this vault; nothing was sent."""

    code = "INVALID_INPUT"

    def __init__(self, provider: str, faults: Sequence[FieldFault]) -> None:
        super().__init__(provider, "The input breaks a rule of this vault.")
        self.faults = tuple(faults)


class VaultUnavailable(VaultError):
    meaning = "The vault could not be reached, or failed on a read; nothing was changed."
    retryable = True


class VaultTimeout(VaultUnavailable):
    meaning = "The vault did not answer a read within the deadline."
    code = "PROVIDER_TIMEOUT"


class VaultThrottled(VaultUnavailable):
    meaning = "The vault, or our own cap on calls to it, refused for now; nothing was changed."
    code = "PROVIDER_THROTTLED"


class CircuitOpen(VaultUnavailable):
    meaning = "We are not calling this vault for a moment because too many calls failed; nothing was sent."


class OutcomeUnknown(VaultError):
    """`is_in_flight` is false once the vault is certainly done with the request: then its list decides at once.

    `if_absent` is what the answer means should the list show that nothing was done, where that is known.
    """

    meaning = "A write left us and no answer that can be understood came back: look before repeating."
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
    """The vault said no, and changed nothing."""

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
            f"The vault refused the request ({reason.value}).",
            provider_code=provider_code,
            provider_request_id=provider_request_id,
        )
        self.reason = reason
        self.faults = tuple(faults)


class VaultRefusedUs(VaultError):
    meaning = "The vault does not accept our credentials: an operator must look."
    code = "PROVIDER_AUTH"


class VaultReplyUnreadable(VaultError):
    meaning = "A read was answered off its documentation."
    code = "PROVIDER_UNAVAILABLE"
    retryable = True
