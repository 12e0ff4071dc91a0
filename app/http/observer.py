"""The metrics hook of vault calls, and the labels of their outcomes."""

from typing import Final, Protocol

from app.errors import (
    CircuitOpen,
    InvalidRequest,
    OutcomeUnknown,
    VaultError,
    VaultRefusedUs,
    VaultThrottled,
    VaultTimeout,
    VaultUnavailable,
)

_OUTCOMES: Final[tuple[tuple[type[VaultError], str], ...]] = (
    (CircuitOpen, "circuit_open"),
    (VaultThrottled, "throttled"),
    (VaultTimeout, "timeout"),
    (VaultUnavailable, "unavailable"),
    (OutcomeUnknown, "unknown"),
    (VaultRefusedUs, "refused_us"),
    (InvalidRequest, "invalid"),
)


class CallObserver(Protocol):
    """Metrics hook, called once per `send`; `outcome` is ``ok``, ``client_error`` or a value of `outcome_of`."""

    def on_call(self, provider: str, route: str, outcome: str, seconds: float) -> None: ...


class NoObserver:
    def on_call(self, provider: str, route: str, outcome: str, seconds: float) -> None:
        return None


def outcome_of(error: VaultError) -> str:
    """The metric label for `error`."""
    for kind, word in _OUTCOMES:
        if isinstance(error, kind):
            return word
    return "error"
