"""Token buckets: limits per client, independent of other clients."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from app.api.limits.rate import LocalBuckets, RateBudget, RateLimiter, budgets_of
from app.api.limits.shared_rate import RedisBuckets
from app.api.limits.worker_rate import WorkerBuckets
from app.api.problems import RequestRefused
from app.settings.model import Settings
from app.wallet.caller import Caller, CallerKind
from tests.support.redis_server import RedisServer

SMALL = RateBudget(requests_per_s=2, requests_burst=4, cost_per_s=10, cost_burst=20)
ANN = Caller(name="ann", scopes=frozenset())
ACME = Caller(name="ann", scopes=frozenset(), kind=CallerKind.PARTNER)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rates(clock: Clock, shared: Any = None) -> RateLimiter:
    return RateLimiter(dict.fromkeys(CallerKind, SMALL), shared, LocalBuckets(clock=clock))


def test_requests_come_in_a_burst_and_then_at_their_rate(clock: Clock) -> None:
    asked = rates(clock)
    for _ in range(4):
        asked.request(ANN)
    with pytest.raises(RequestRefused) as refused:
        asked.request(ANN)
    assert (refused.value.code, refused.value.status, refused.value.headers) == ("THROTTLED", 429, {"retry-after": "1"})
    assert refused.value.extensions == {"retryAfterSeconds": 1}
    clock.now += 0.5
    asked.request(ANN)
    with pytest.raises(RequestRefused):
        asked.request(ANN)
    clock.now += 1_000
    for _ in range(4):
        asked.request(ANN)
    with pytest.raises(RequestRefused):
        asked.request(ANN)


def test_a_client_over_its_budget_does_not_slow_another_of_the_same_name(clock: Clock) -> None:
    asked = rates(clock)
    for _ in range(4):
        asked.request(ANN)
    for _ in range(3):
        with pytest.raises(RequestRefused):
            asked.request(ANN)
    for _ in range(4):
        asked.request(ACME)


async def test_cost_is_taken_as_a_whole_or_not_at_all(clock: Clock) -> None:
    asked = rates(clock)
    assert await asked.cost(ANN, 15) == {"maximumAvailable": 20, "currentlyAvailable": 5, "restoreRate": 10}
    with pytest.raises(RequestRefused) as refused:
        await asked.cost(ANN, 12)
    assert refused.value.code == "THROTTLED"
    assert refused.value.extensions["cost"] == {
        "requested": 12,
        "throttle": {"maximumAvailable": 20, "currentlyAvailable": 5, "restoreRate": 10},
    }
    assert await asked.cost(ANN, 5) == {"maximumAvailable": 20, "currentlyAvailable": 0, "restoreRate": 10}
    clock.now += 1.2
    assert (await asked.cost(ANN, 12))["currentlyAvailable"] == 0
    assert (await asked.cost(ANN, 0))["currentlyAvailable"] == 0


async def test_the_wait_is_until_there_is_enough(clock: Clock) -> None:
    asked = rates(clock)
    await asked.cost(ANN, 20)
    with pytest.raises(RequestRefused) as refused:
        await asked.cost(ANN, 20)
    assert refused.value.headers == {"retry-after": "2"}
    clock.now += 2
    await asked.cost(ANN, 20)


async def test_what_no_waiting_would_help_says_so(clock: Clock) -> None:
    with pytest.raises(RequestRefused) as refused:
        await rates(clock).cost(ANN, 21)
    assert refused.value.code == "COST_ESTIMATED_TOO_EXPENSIVE"
    assert refused.value.extensions == {"cost": {"requested": 21, "maximum": 20}}


def test_clients_are_forgotten_when_there_are_too_many_and_a_clock_may_stand_still(clock: Clock) -> None:
    buckets = LocalBuckets(most=3, clock=clock)
    for number in range(10):
        clock.now -= 1  # clocks should not; nothing grows or breaks where one does
        assert buckets.take_now(f"c{number}", SMALL, 1, 0).requests == 3
        assert buckets.take_now(f"c{number}", SMALL, 1, 0).requests == 2
    assert len(buckets._levels) == 3


def test_a_backend_may_ask_more_than_a_person() -> None:
    budgets = budgets_of(Settings().rate)
    assert set(budgets) == set(CallerKind) - {CallerKind.OPERATOR}
    staff, person = budgets[CallerKind.STAFF], budgets[CallerKind.END_USER]
    assert staff.requests_per_s > 100 * person.requests_per_s / 2
    assert min(one.cost_burst for one in budgets.values()) >= Settings().gate.cost


# ---- shared ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


async def test_replicas_share_one_bucket(redis: RedisServer) -> None:
    one, other = (RedisBuckets(redis.url, prefix="test-share:", within_s=30) for _ in range(2))
    slow = RateBudget(requests_per_s=0.001, requests_burst=6, cost_per_s=0.001, cost_burst=1_000)
    taken = await asyncio.gather(*(buckets.take("ann", slow, 1, 1) for buckets in (one, other) * 10))
    assert sum(1 for each in taken if not each.wait_s) == 6, "whoever asked, six were let in"
    over = [each for each in taken if each.wait_s]
    assert all(500 < each.wait_s <= 1_000 for each in over)
    assert all(round(each.cost) == 994 for each in over), "a refused request takes nothing"
    assert not (await one.take("blair", slow, 1, 1)).wait_s
    await one.close()
    await other.close()


async def test_shared_buckets_fill_again_and_are_forgotten(redis: RedisServer) -> None:
    buckets = RedisBuckets(redis.url, prefix="test-fill:", within_s=30)
    fast = RateBudget(requests_per_s=50, requests_burst=1, cost_per_s=1_000, cost_burst=10)
    assert not (await buckets.take("ann", fast, 1, 10)).wait_s
    await asyncio.sleep(0.1)
    assert not (await buckets.take("ann", fast, 1, 10)).wait_s
    (key,) = [key async for key in buckets._redis.client.scan_iter("test-fill:*")]
    assert b"ann" not in key, "no names of clients in Redis"
    assert 0 < await buckets._redis.client.ttl(key) <= 2
    await buckets.close()


async def test_without_redis_each_process_counts_and_no_request_waits(clock: Clock) -> None:
    with RedisServer() as server:
        buckets = RedisBuckets(server.url, local=LocalBuckets(clock=clock), clock=clock)
        shared = rates(clock, buckets)
        await shared.cost(ANN, 15)
        server.stop()
        assert (await shared.cost(ANN, 15))["currentlyAvailable"] == 5, "the process's own bucket was full"
        with pytest.raises(RequestRefused):
            await shared.cost(ANN, 15)
        server.start()
        with pytest.raises(RequestRefused):
            await shared.cost(ANN, 15)
        clock.now += 1.1
        assert (await shared.cost(ANN, 15))["currentlyAvailable"] == 5, "Redis counts again: it had forgotten"
        await buckets.close()


def _passed(file: Path, asked: int) -> int:
    buckets, budget = WorkerBuckets(file), RateBudget(1e-6, 500, 1e-6, 1_000)
    return sum(buckets.take_now("ann", budget, 1.0, 1.0).wait_s == 0 for _ in range(asked))


def test_workers_share_one_budget_exactly(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        passed = list(pool.map(_passed, [tmp_path / "rates"] * 4, [400] * 4))
    assert sum(passed) == 500


def test_workers_see_each_others_levels(tmp_path: Path, clock: Clock) -> None:
    first, second = (WorkerBuckets(tmp_path / "rates", clock=clock) for _ in range(2))
    assert first.take_now("ann", SMALL, 3, 5) == second.take_now("bob", SMALL, 3, 5)
    assert (second.take_now("ann", SMALL, 1, 5).requests, first.take_now("ann", SMALL, 0, 0).cost) == (0, 10)
    assert first.take_now("ann", SMALL, 1, 0).wait_s == 0.5
    clock.now += 0.5
    assert second.take_now("ann", SMALL, 1, 0).wait_s == 0


def test_a_full_set_forgets_the_longest_unused(tmp_path: Path, clock: Clock) -> None:
    buckets = WorkerBuckets(tmp_path / "rates", clock=clock)
    for number in range(70_000):
        clock.now += 0.001
        buckets.take_now(f"client {number}", SMALL, 4, 0)
    assert buckets.take_now("client 69999", SMALL, 4, 0).wait_s > 0
    assert buckets.take_now("client 0", SMALL, 4, 0).wait_s == 0
