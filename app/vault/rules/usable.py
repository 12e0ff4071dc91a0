"""Whether a payment method can be a default, and its capabilities."""

from functools import lru_cache

from app.vault.enums import BankVerification, ExpiryState, PaymentMethodKind, PaymentMethodStatus, ProviderCapability
from app.vault.model import BankAccount, Card, OtherMethod, PaymentMethod

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
    """Of a supported kind, ACTIVE, not expired, and not a bank account that failed verification.

    A card without an expiry is usable; a card with an unreadable expiry may be expired and is not.
    """
    if method.status is not PaymentMethodStatus.ACTIVE or expiry is ExpiryState.EXPIRED:
        return False
    return not method.has_unreadable_expiry if isinstance(method, Card) else not _is_never_usable(method)


def is_usable_but_for_expiry(method: PaymentMethod) -> bool:
    """Usable with `allowExpired`, which accepts an expired or unreadable expiry and nothing else."""
    return method.status in (PaymentMethodStatus.ACTIVE, PaymentMethodStatus.EXPIRED) and not _is_never_usable(method)


@lru_cache(maxsize=256)
def capabilities_of(
    kind: PaymentMethodKind, usable: bool, operations: frozenset[ProviderCapability]
) -> tuple[ProviderCapability, ...]:
    """Capabilities of the vault for one such method, in enum order; PAY only if it is usable."""
    without = _ABOUT_THE_VAULT if kind is PaymentMethodKind.CARD else _ABOUT_THE_VAULT | _ABOUT_CARDS
    if kind is PaymentMethodKind.OTHER:
        without |= _NOT_OF_OTHER_KINDS
    if not usable:
        without |= _NOT_WHILE_UNUSABLE
    return tuple(capability for capability in ProviderCapability if capability in operations - without)


def _is_never_usable(method: PaymentMethod) -> bool:
    """Methods of an unsupported kind are shown, but never chosen or charged."""
    if isinstance(method, BankAccount):
        return method.verification is BankVerification.FAILED
    return isinstance(method, OtherMethod)
