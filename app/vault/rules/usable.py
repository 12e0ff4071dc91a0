"""Which methods may be anyone's default, and what may be done with each."""

from functools import lru_cache

from app.vault.model import BankAccount, PaymentMethod
from app.vault.names import (
    BankVerification,
    ExpiryState,
    PaymentMethodKind,
    PaymentMethodStatus,
    ProviderCapability,
)

_ABOUT_THE_VAULT = frozenset(
    {
        ProviderCapability.LIST,
        ProviderCapability.ADD,
        ProviderCapability.IMPORT,
        ProviderCapability.HOSTED_SESSION,
        ProviderCapability.WEBHOOKS,
        ProviderCapability.IDEMPOTENT_WRITES,
    }
)
_ABOUT_CARDS = frozenset({ProviderCapability.UPDATE_EXPIRY, ProviderCapability.THREE_D_SECURE})


def is_usable(method: PaymentMethod, expiry: ExpiryState) -> bool:
    """ACTIVE, not over, and no bank that failed its verification. An unknown expiry is usable."""
    return (
        method.status is PaymentMethodStatus.ACTIVE and expiry is not ExpiryState.EXPIRED and not _failed_check(method)
    )


def is_usable_but_for_expiry(method: PaymentMethod) -> bool:
    """What `allowExpired` excuses: the expiry and nothing else."""
    return method.status in (PaymentMethodStatus.ACTIVE, PaymentMethodStatus.EXPIRED) and not _failed_check(method)


@lru_cache(maxsize=256)
def capabilities_of(
    kind: PaymentMethodKind, usable: bool, operations: frozenset[ProviderCapability]
) -> tuple[ProviderCapability, ...]:
    """What the owning vault can do with one such method, in the vocabulary's order; PAY only while it is usable."""
    without = _ABOUT_THE_VAULT if kind is PaymentMethodKind.CARD else _ABOUT_THE_VAULT | _ABOUT_CARDS
    if not usable:
        without |= {ProviderCapability.PAY}
    return tuple(capability for capability in ProviderCapability if capability in operations - without)


def _failed_check(method: PaymentMethod) -> bool:
    return isinstance(method, BankAccount) and method.verification is BankVerification.FAILED
