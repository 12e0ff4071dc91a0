from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.vault.enums import CustomerRef, ExpiryState, MethodRef, PaymentMethodStatus, ProviderName
from app.vault.model import BankAccount, Card, Expiry
from app.vault.rules.expiry import ExpiryClock, shown_status

MARCH = Expiry(2028, 3)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2028, 2, 1, tzinfo=UTC), ExpiryState.VALID),
        (datetime(2028, 3, 2, 11, 59, 59, tzinfo=UTC), ExpiryState.VALID),
        (datetime(2028, 3, 2, 12, tzinfo=UTC), ExpiryState.EXPIRING_SOON),
        (datetime(2028, 3, 31, 23, 59, 59, tzinfo=UTC), ExpiryState.EXPIRING_SOON),
        (datetime(2028, 4, 1, 11, 59, 59, 999999, tzinfo=UTC), ExpiryState.EXPIRING_SOON),
        (datetime(2028, 4, 1, 12, tzinfo=UTC), ExpiryState.EXPIRED),
        (datetime(2028, 4, 1, 1, 59, tzinfo=timezone(timedelta(hours=14))), ExpiryState.EXPIRING_SOON),
        (datetime(2029, 1, 1, tzinfo=UTC), ExpiryState.EXPIRED),
    ],
)
def test_a_card_expires_after_its_month_in_the_last_time_zone(now: datetime, expected: ExpiryState) -> None:
    assert ExpiryClock.at(now, 30).state(MARCH) is expected


@pytest.mark.parametrize(
    ("expiry", "expected"),
    [
        (Expiry(2027, 12), ExpiryState.EXPIRED),
        (Expiry(2028, 1), ExpiryState.EXPIRING_SOON),
        (Expiry(2028, 2), ExpiryState.EXPIRING_SOON),
        (Expiry(2028, 3), ExpiryState.VALID),
        (Expiry(9999, 12), ExpiryState.VALID),
        (None, ExpiryState.UNKNOWN),
    ],
)
def test_soon_is_counted_in_days_to_the_end_of_the_month(expiry: Expiry | None, expected: ExpiryState) -> None:
    assert ExpiryClock.at(datetime(2028, 1, 31, 12, tzinfo=UTC), 30).state(expiry) is expected


def test_zero_days_means_never_expiring_soon() -> None:
    last_moment = datetime(2028, 4, 1, 11, 59, 59, tzinfo=UTC)
    assert ExpiryClock.at(last_moment, 0).state(MARCH) is ExpiryState.VALID


def test_the_maximum_date_is_handled() -> None:
    clock = ExpiryClock.at(datetime(9999, 12, 31, 13, tzinfo=UTC), 3650)
    assert clock.state(Expiry(9999, 11)) is ExpiryState.EXPIRED
    assert clock.state(Expiry(9999, 12)) is ExpiryState.VALID


def test_only_cards_expire() -> None:
    clock = ExpiryClock.at(datetime(2028, 4, 1, 12, tzinfo=UTC), 30)
    shared = {"provider": ProviderName.CASELLE, "customer_ref": CustomerRef("c"), "method_ref": MethodRef("m")}
    assert clock.state_of(Card(**shared, expiry=MARCH)) is ExpiryState.EXPIRED
    assert clock.state_of(BankAccount(**shared)) is ExpiryState.UNKNOWN


@pytest.mark.parametrize("status", PaymentMethodStatus)
def test_only_an_active_card_is_shown_as_expired(status: PaymentMethodStatus) -> None:
    shown = shown_status(status, ExpiryState.EXPIRED)
    assert shown is (PaymentMethodStatus.EXPIRED if status is PaymentMethodStatus.ACTIVE else status)
    assert shown_status(status, ExpiryState.EXPIRING_SOON) is status
