"""The filter for payment methods."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeVar

import strawberry

from app.vault.enums import CardBrand, PaymentMethodKind, PaymentMethodStatus, ProviderCapability, ProviderName
from app.vault.rules.expiry import ExpiryClock
from app.vault.rules.filter import MethodFilter
from resolvers.errors import BadUserInput
from resolvers.inputs.fields import optional

T = TypeVar("T")
_MOST_DAYS: Final = 36_500
_LAST4: Final = re.compile("[0-9]{2,4}", re.ASCII)


@strawberry.input(description="Conditions that must all hold; absent or null ones are ignored.")
class PaymentMethodFilter:
    providers: list[ProviderName] | None = optional("Other vaults are not read.")
    kinds: list[PaymentMethodKind] | None = optional("Methods of these kinds.")
    brands: list[CardBrand] | None = optional("Cards of these networks.")
    last4: str | None = optional("Methods whose number ends in these two to four digits.")
    statuses: list[PaymentMethodStatus] | None = optional("Without it, INACTIVE and DELETED methods are left out.")
    expiring_within_days: int | None = optional("Cards that are valid now and will have expired by then.")
    usable_for: ProviderCapability | None = optional("Methods for which their vault currently supports this.")

    def to_rules(self, now: datetime) -> MethodFilter:
        days = self.expiring_within_days if isinstance(self.expiring_within_days, int) else None
        if days is not None and not 0 <= days <= _MOST_DAYS:
            raise BadUserInput(f"expiringWithinDays must be from 0 to {_MOST_DAYS}.")
        last4 = self.last4 if isinstance(self.last4, str) else None
        if last4 is not None and not _LAST4.fullmatch(last4):
            raise BadUserInput("last4 must be two to four digits.")
        return MethodFilter(
            providers=_set(self.providers),
            kinds=_set(self.kinds),
            brands=_set(self.brands),
            last4=last4,
            statuses=_set(self.statuses),
            expires_within=None if days is None else ExpiryClock.at(now, days),
            usable_for=self.usable_for or None,
        )


def _set(values: Iterable[T] | None) -> frozenset[T] | None:
    return None if values is None or values is strawberry.UNSET else frozenset(values)
