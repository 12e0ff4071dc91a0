"""Card expiry: a card expires after the last day of its month in UTC-12, the last time zone to end a day."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final, Self

from app.vault.enums import ExpiryState, PaymentMethodStatus
from app.vault.model import Card, Expiry, PaymentMethod

LATEST_ZONE: Final = timezone(timedelta(hours=-12))  # the last time zone where a day ends


@dataclass(frozen=True, slots=True)
class ExpiryClock:
    """Precomputed months for one instant, so that checking a card needs no date arithmetic.

    A card whose month is before `current` is expired; before `soon`, it expires within `soon_days`. Both are
    ``(year, month)``.
    """

    current: tuple[int, int]
    soon: tuple[int, int]

    @classmethod
    def at(cls, now: datetime, soon_days: int) -> Self:
        """`now` is timezone-aware. With `soon_days` 0 no card is EXPIRING_SOON."""
        local = now.astimezone(LATEST_ZONE).replace(tzinfo=None)
        try:
            ahead = local + timedelta(days=soon_days)
        except OverflowError:
            ahead = datetime.max
        return cls(current=(local.year, local.month), soon=(ahead.year, ahead.month))

    def state(self, expiry: Expiry | None) -> ExpiryState:
        if expiry is None:
            return ExpiryState.UNKNOWN
        month = (expiry.year, expiry.month)
        if month < self.current:
            return ExpiryState.EXPIRED
        return ExpiryState.EXPIRING_SOON if month < self.soon else ExpiryState.VALID

    def state_of(self, method: PaymentMethod) -> ExpiryState:
        """UNKNOWN for methods other than cards."""
        return self.state(method.expiry) if isinstance(method, Card) else ExpiryState.UNKNOWN


def shown_status(status: PaymentMethodStatus, expiry: ExpiryState) -> PaymentMethodStatus:
    """The status shown to clients: EXPIRED for expired cards, which most vaults still report as active."""
    if status is PaymentMethodStatus.ACTIVE and expiry is ExpiryState.EXPIRED:
        return PaymentMethodStatus.EXPIRED
    return status
