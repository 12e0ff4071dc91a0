"""Retry budget, backoff and `Retry-After`."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.retry import MAX_PAUSE_S, RetryAfter, RetryBudget, backoff_s, is_worth_trying, retry_after_s


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_lone_failure_may_be_retried() -> None:
    budget = RetryBudget(0.1, Clock())
    budget.record_call(1000.0)
    assert [budget.try_spend() for _ in range(3)] == [True, True, False]


def test_no_ratio_means_no_retry_at_all() -> None:
    budget = RetryBudget(0.0, Clock())
    budget.record_call(1000.0)
    assert not budget.try_spend()


def test_retries_are_at_most_a_tenth_of_the_calls() -> None:
    budget = RetryBudget(0.1, Clock())
    extra = 0
    for _ in range(300):
        budget.record_call(1000.0)
        extra += budget.try_spend()
    assert extra == 30


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=300))
def test_within_any_ten_seconds_retries_stay_within_the_budget(events: list[tuple[float, bool]]) -> None:
    clock = Clock()
    budget = RetryBudget(0.1, clock)
    calls: list[int] = []
    retries: list[int] = []
    for pause, wants in events:
        clock.now += pause
        budget.record_call(clock.now)
        calls.append(int(clock.now))
        if wants and budget.try_spend():
            retries.append(int(clock.now))
        since = int(clock.now) - 10
        assert sum(at > since for at in retries) <= max(2, 0.1 * sum(at > since for at in calls))


@pytest.mark.parametrize(("failures", "most"), [(1, 0.05), (2, 0.1), (3, 0.2), (9, 1.0), (40, 1.0)])
def test_backoff_has_full_jitter_up_to_its_limit(failures: int, most: float) -> None:
    drawn = [backoff_s(failures) for _ in range(2000)]
    assert 0 <= min(drawn) < most * 0.1
    assert most * 0.9 < max(drawn) <= most


def test_a_retry_that_cannot_finish_is_not_started() -> None:
    assert is_worth_trying(10.0, 0.1, 10.5)
    assert not is_worth_trying(10.0, 0.5, 10.5)
    assert not is_worth_trying(10.0, 0.0, 10.0)


def http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("7", 7, 7),
        (" 0 ", 0, 0),
        ("99999999999999999999", 900_000_000, 1e10),
    ],
)
def test_retry_after_in_seconds(value: str, low: float, high: float) -> None:
    seconds = retry_after_s(value)
    assert seconds is not None
    assert low <= seconds <= high


def test_retry_after_as_a_date() -> None:
    ahead = retry_after_s(http_date(1000))
    assert ahead is not None
    assert 900 < ahead <= 1001
    assert retry_after_s(http_date(-60)) == 0


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "1.5", "٣", "Fri, 99 Foo 2026"])
def test_an_invalid_retry_after_is_ignored(value: str | None) -> None:
    assert retry_after_s(value) is None


@given(st.text(max_size=40))
def test_any_retry_after_value_is_handled(value: str) -> None:
    seconds = retry_after_s(value)
    assert seconds is None or seconds >= 0


def test_a_pause_ends_and_has_a_limit() -> None:
    clock = Clock()
    pause = RetryAfter(clock)
    assert pause.remaining_s() == 0
    pause.set(2)
    pause.set(1)
    assert pause.remaining_s() == 2
    clock.now += 2
    assert pause.remaining_s() == 0
    pause.set(86_400)
    assert pause.remaining_s() == MAX_PAUSE_S
