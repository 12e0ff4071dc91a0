"""Filters for lists of payment methods."""

from dataclasses import dataclass
from typing import Final

from app.vault.enums import CardBrand, PaymentMethodKind, PaymentMethodStatus, ProviderCapability, ProviderName
from app.vault.model import Card, PaymentMethod
from app.vault.rules.expiry import ExpiryClock

_INACTIVE: Final = PaymentMethodStatus.INACTIVE
_DELETED: Final = PaymentMethodStatus.DELETED


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodFilter:
    """A field of None sets no condition. Without `statuses`, inactive and deleted methods are left out.

    `expires_within` is ``ExpiryClock.at(now, days)``: matches cards that expire within `days` and have not expired yet.
    """

    providers: frozenset[ProviderName] | None = None
    kinds: frozenset[PaymentMethodKind] | None = None
    brands: frozenset[CardBrand] | None = None
    last4: str | None = None
    statuses: frozenset[PaymentMethodStatus] | None = None
    expires_within: ExpiryClock | None = None
    usable_for: ProviderCapability | None = None


def is_hidden(status: PaymentMethodStatus) -> bool:
    """Left out of lists and counts unless requested by status."""
    return status is _INACTIVE or status is _DELETED  # hot path: twice as fast as a set


def matches(
    wanted: MethodFilter,
    method: PaymentMethod,
    status: PaymentMethodStatus,
    capabilities: tuple[ProviderCapability, ...],
) -> bool:
    """`status` is the one shown to clients; `capabilities` are the method's current ones."""
    if is_hidden(status) if wanted.statuses is None else status not in wanted.statuses:
        return False
    if wanted.providers is not None and method.provider not in wanted.providers:
        return False
    if wanted.kinds is not None and method.kind not in wanted.kinds:
        return False
    if wanted.brands is not None and not (isinstance(method, Card) and method.brand in wanted.brands):
        return False
    if wanted.last4 is not None and method.last4 != wanted.last4:
        return False
    if wanted.expires_within is not None and not _expires_within(method, wanted.expires_within):
        return False
    return wanted.usable_for is None or wanted.usable_for in capabilities


def _expires_within(method: PaymentMethod, clock: ExpiryClock) -> bool:
    if not isinstance(method, Card) or method.expiry is None:
        return False
    month = (method.expiry.year, method.expiry.month)
    return clock.current <= month < clock.soon
