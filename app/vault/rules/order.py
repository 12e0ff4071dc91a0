"""Sort orders of payment methods: total and independent of the order in the vaults' replies."""

from enum import StrEnum
from typing import Final

from app.vault.enums import MethodRef, ProviderName
from app.vault.model import Card, PaymentMethod

_RANK: Final = {name: place for place, name in enumerate(ProviderName)}
_LAST: Final = 10**17
"""Sorts methods without a time or an expiry last."""
VaultKey = tuple[int, int, str]
SortKey = tuple[int, VaultKey]


class PaymentMethodOrder(StrEnum):
    DEFAULT_FIRST = "DEFAULT_FIRST"
    NEWEST_FIRST = "NEWEST_FIRST"
    EXPIRING_FIRST = "EXPIRING_FIRST"
    PROVIDER = "PROVIDER"


def by_provider(method: PaymentMethod) -> VaultKey:
    """By vault, then by the vault's ref; shorter refs first, so that 9 comes before 10."""
    return _RANK[method.provider], len(method.method_ref), method.method_ref


def vault_key(provider: ProviderName, method_ref: MethodRef) -> VaultKey:
    """`by_provider` of the method with this ref."""
    return _RANK[provider], len(method_ref), method_ref


def sort_key(method: PaymentMethod, order: PaymentMethodOrder, *, is_first: bool) -> SortKey:
    """The place in `order`: a number, and the vault's key for equal ones. `is_first` counts for DEFAULT_FIRST."""
    number = 0
    if order is PaymentMethodOrder.DEFAULT_FIRST:
        number = 0 if is_first else 1
    elif order is PaymentMethodOrder.NEWEST_FIRST:
        number = _LAST if method.created_at is None else -round(method.created_at.timestamp() * 1_000_000)
    elif order is PaymentMethodOrder.EXPIRING_FIRST:
        expiry = method.expiry if isinstance(method, Card) else None
        number = _LAST if expiry is None else expiry.year * 12 + expiry.month
    return number, by_provider(method)
