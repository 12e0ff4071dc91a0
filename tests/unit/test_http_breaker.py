"""The circuit breaker, with a controlled clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.http.breaker import Breaker, CallVerdict
from app.http.breaker_window import SlidingCount
from app.http.settings import BreakerSettings

GOOD, BAD, NONE = CallVerdict.GOOD, CallVerdict.BAD, CallVerdict.NONE


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(BreakerSettings(), clock)


def run(breaker: Breaker, *verdicts: CallVerdict) -> None:
    for verdict in verdicts:
        permit = breaker.admit()
        assert permit is not None
        breaker.record(permit, verdict)


def test_opens_when_half_of_twenty_calls_failed(breaker: Breaker) -> None:
    run(breaker, *[GOOD] * 10, *[BAD] * 9)
    assert breaker.state == "CLOSED"
    run(breaker, BAD)
    assert breaker.state == "OPEN"
    assert breaker.admit() is None


def test_nineteen_failures_are_below_the_minimum(breaker: Breaker) -> None:
    run(breaker, *[BAD] * 19)
    assert breaker.state == "CLOSED"


def test_stays_closed_below_half_failures(breaker: Breaker) -> None:
    run(breaker, *[GOOD, GOOD, BAD] * 50)
    assert breaker.state == "CLOSED"


def test_verdict_none_is_not_counted(breaker: Breaker) -> None:
    run(breaker, *[NONE] * 100, *[BAD] * 19)
    assert breaker.state == "CLOSED"


def test_failures_expire_from_the_window(breaker: Breaker, clock: Clock) -> None:
    run(breaker, *[BAD] * 19)
    clock.now += 10.1
    run(breaker, *[BAD] * 19)
    assert breaker.state == "CLOSED"
    clock.now += 4
    run(breaker, BAD)
    assert breaker.state == "OPEN"


def opened(breaker: Breaker) -> Breaker:
    run(breaker, *[BAD] * 20)
    assert breaker.state == "OPEN"
    return breaker


def test_one_probe_is_admitted_after_five_seconds(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 4.9
    assert breaker.admit() is None
    assert breaker.would_refuse()
    assert breaker.retry_after_s() == pytest.approx(0.1)
    clock.now += 0.2
    assert not breaker.would_refuse()
    probe = breaker.admit()
    assert probe is not None
    assert breaker.state == "HALF_OPEN"
    assert [breaker.admit() for _ in range(5)] == [None] * 5
    breaker.record(probe, GOOD)
    assert breaker.state == "CLOSED"
    run(breaker, *[BAD] * 19)
    assert breaker.state == "CLOSED"  # failures before the opening are not counted


def test_a_failed_probe_reopens_for_the_full_time(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 5
    run(breaker, BAD)
    assert breaker.state == "OPEN"
    clock.now += 4.9
    assert breaker.admit() is None


def test_a_probe_without_a_verdict_admits_another(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 5
    run(breaker, NONE)
    assert breaker.state == "HALF_OPEN"
    run(breaker, GOOD)
    assert breaker.state == "CLOSED"


def test_a_call_admitted_before_opening_does_not_count_as_the_probe(breaker: Breaker, clock: Clock) -> None:
    late = breaker.admit()
    assert late is not None
    opened(breaker)
    clock.now += 5
    probe = breaker.admit()
    assert probe is not None
    breaker.record(late, GOOD)
    assert breaker.state == "HALF_OPEN"
    breaker.record(late, BAD)
    assert breaker.state == "HALF_OPEN"
    breaker.record(probe, GOOD)
    breaker.record(late, BAD)
    assert breaker.state == "CLOSED"


def test_listeners_are_called_on_each_change(breaker: Breaker, clock: Clock) -> None:
    heard: list[str] = []
    breaker.on_change.append(heard.append)
    opened(breaker)
    clock.now += 5
    run(breaker, BAD)
    clock.now += 5
    run(breaker, GOOD)
    assert heard == ["OPEN", "HALF_OPEN", "OPEN", "HALF_OPEN", "CLOSED"]


@given(st.lists(st.tuples(st.floats(0, 7), st.booleans()), max_size=80))
def test_the_window_counts_like_a_reference_list(events: list[tuple[float, bool]]) -> None:
    """Equals a plain count of the events in the current slot and the nine before it."""
    window, now, seen = SlidingCount(10.0), 500.0, []
    for pause, is_marked in events:
        now += pause
        window.add(now, 1, is_marked)
        seen.append((int(now), is_marked))
        recent = [marked for at, marked in seen if at > int(now) - 10]
        assert (window.total, window.marked) == (len(recent), sum(recent))
