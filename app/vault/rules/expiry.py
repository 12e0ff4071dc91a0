"""When a card is over: after the last day of its month, in the time zone where that day ends last."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final, Self

from app.vault.model import Card, Expiry, PaymentMethod
from app.vault.names import ExpiryState, PaymentMethodStatus

LATEST_ZONE: Final = timezone(timedelta(hours=-12))  # UTC-12: the last place on earth where a day ends


@dataclass(frozen=True, slots=True)
class ExpiryClock:
    """One instant, made ready to judge many cards: two months to compare with and no date arithmetic per card.

    A card of a month before `current` is over; one of a month before `soon` is over within the days asked for.
    Both are ``(year, month)``.
    """

    current: tuple[int, int]
    soon: tuple[int, int]

    @classmethod
    def at(cls, now: datetime, soon_days: int) -> Self:
        """`now` is aware. With `soon_days` 0 nothing is ever EXPIRING_SOON."""
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
        """Only cards expire; of any other kind it is UNKNOWN."""
        return self.state(method.expiry) if isinstance(method, Card) else ExpiryState.UNKNOWN


def shown_status(status: PaymentMethodStatus, expiry: ExpiryState) -> PaymentMethodStatus:
    """The status that clients see: most vaults go on calling an expired card active, so we say EXPIRED for all."""
    if status is PaymentMethodStatus.ACTIVE and expiry is ExpiryState.EXPIRED:
        return PaymentMethodStatus.EXPIRED
    return status
