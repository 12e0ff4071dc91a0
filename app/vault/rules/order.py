"""Sort orders of payment methods: total and independent of the order in the vaults' replies."""

from enum import StrEnum
from typing import Final

from app.vault.enums import ProviderName
from app.vault.model import PaymentMethod

_RANK: Final = {name: place for place, name in enumerate(ProviderName)}
SortKey = tuple[int, int, str]


class PaymentMethodOrder(StrEnum):
    DEFAULT_FIRST = "DEFAULT_FIRST"
    NEWEST_FIRST = "NEWEST_FIRST"
    PROVIDER = "PROVIDER"


def by_provider(method: PaymentMethod) -> SortKey:
    """By vault, then by the vault's ref; shorter refs first, so that 9 comes before 10."""
    return _RANK[method.provider], len(method.method_ref), method.method_ref


def newest_first(method: PaymentMethod) -> tuple[float, SortKey]:
    """Methods without a creation time come last."""
    made = method.created_at
    return (-made.timestamp() if made else float("inf")), by_provider(method)
