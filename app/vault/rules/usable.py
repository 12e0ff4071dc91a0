"""Which methods may be anyone's default, and what may be done with each."""

from functools import lru_cache

from app.vault.model import BankAccount, Card, OtherMethod, PaymentMethod
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
_NOT_WHILE_UNUSABLE = frozenset({ProviderCapability.PAY})
_NOT_OF_OTHER_KINDS = frozenset({ProviderCapability.PAY, ProviderCapability.SET_DEFAULT})
_ABOUT_CARDS = frozenset({ProviderCapability.UPDATE_EXPIRY, ProviderCapability.THREE_D_SECURE})


def is_usable(method: PaymentMethod, expiry: ExpiryState) -> bool:
    """Of a kind that we know, ACTIVE, not over, and no bank that failed its verification.

    A card without an expiry is usable; one whose expiry is there and cannot be read may be over, and is not.
    """
    return (
        method.status is PaymentMethodStatus.ACTIVE
        and expiry is not ExpiryState.EXPIRED
        and not (isinstance(method, Card) and method.has_unreadable_expiry)
        and not _is_never_usable(method)
    )


def is_usable_but_for_expiry(method: PaymentMethod) -> bool:
    """What `allowExpired` excuses: an expiry that is over or cannot be read, and nothing else."""
    return method.status in (PaymentMethodStatus.ACTIVE, PaymentMethodStatus.EXPIRED) and not _is_never_usable(method)


@lru_cache(maxsize=256)
def capabilities_of(
    kind: PaymentMethodKind, usable: bool, operations: frozenset[ProviderCapability]
) -> tuple[ProviderCapability, ...]:
    """What the owning vault can do with one such method, in the vocabulary's order; PAY only while it is usable."""
    without = _ABOUT_THE_VAULT if kind is PaymentMethodKind.CARD else _ABOUT_THE_VAULT | _ABOUT_CARDS
    if kind is PaymentMethodKind.OTHER:
        without |= _NOT_OF_OTHER_KINDS
    if not usable:
        without |= _NOT_WHILE_UNUSABLE
    return tuple(capability for capability in ProviderCapability if capability in operations - without)


def _is_never_usable(method: PaymentMethod) -> bool:
    """A kind that we do not know is shown, and never chosen or charged."""
    if isinstance(method, BankAccount):
        return method.verification is BankVerification.FAILED
    return isinstance(method, OtherMethod)
