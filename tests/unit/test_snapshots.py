import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import (
    CircuitOpen,
    RejectReason,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultReplyUnreadable,
    VaultThrottled,
    VaultTimeout,
    VaultUnavailable,
)
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.wallet.reads.cache import Key, Read, SnapshotCache, Source
from tests.support.calls import soon

P = ProviderName.LOANPRO
START = datetime(2028, 3, 1, tzinfo=UTC)


def key(ref: str, method: str | None = None) -> Key:
    return P, CustomerRef(ref), MethodRef(method) if method else None


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def utc(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1000)


class Vault:
    """Returns ``<ref>#<number of the call>``, or the result of `answer`; waits for `gate` first."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0
        self.answer: Callable[[Key], str | VaultError] | None = None
        self.failure: Exception | None = None

    async def fetch(self, keys: Sequence[Key], caller: object) -> Mapping[CustomerRef, str | VaultError]:
        self.calls.append([one[1] for one in keys])
        number, answer, failure = len(self.calls), self.answer, self.failure
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if failure:
            raise failure
        return {one[1]: answer(one) if answer else f"{one[1]}#{number}" for one in keys}


@dataclass(frozen=True)
class Text:
    """What is prepared of a value."""

    size: int
    is_whole: bool


class Setup:
    def __init__(self, *, fresh: float = 5.0, stale: float = 600.0, max_bytes: int = 10_000) -> None:
        self.clock, self.vault = Clock(), Vault()
        self.cache = SnapshotCache(max_bytes, utc_now=self.clock.utc, monotonic=self.clock.monotonic)
        self.source: Source[str] = Source(
            provider=P,
            fetch=self.vault.fetch,
            prepare=lambda value, last: (value, Text(100, True)),
            fresh_for_s=fresh,
            stale_if_error_for_s=stale,
            deadline_s=60.0,
            is_kept=fresh > 0 or stale > 0,
            batch_limit=50,
        )

    async def read(self, *refs: str, within: float = 5.0, force_fresh: bool = False) -> list[Read[str]]:
        keys = [key(ref) for ref in refs]
        found = await self.cache.read([(one, self.source) for one in keys], soon(within), force_fresh=force_fresh)
        for one in found:
            if one.bug is not None:
                raise one.bug
        return found

    async def value(self, ref: str, *, force_fresh: bool = False) -> str | None:
        (one,) = await self.read(ref, force_fresh=force_fresh)
        return one.snapshot.value if one.snapshot else None


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_fresh_snapshot_needs_no_call_and_keeps_its_time() -> None:
    setup = Setup()
    (first,) = await setup.read("1")
    setup.clock.seconds += 5.0
    (again,) = await setup.read("1")
    assert again.snapshot is first.snapshot
    assert first.snapshot is not None
    assert first.snapshot.as_of == START
    assert (first.latency_s, again.latency_s) == (0.0, None)
    setup.clock.seconds += 0.001
    (later,) = await setup.read("1")
    assert later.snapshot is not None
    assert (later.snapshot.value, later.snapshot.as_of) == ("1#2", START + timedelta(seconds=5.001))


async def test_freshness_is_one_for_the_snapshot_and_what_is_derived_from_it() -> None:
    setup = Setup()
    assert setup.cache.get_fresh(key("1")) is None
    await setup.read("1")
    setup.clock.seconds += 5.0
    assert setup.cache.counts["fresh"] == 0
    snapshot = setup.cache.get_fresh(key("1"))
    assert snapshot is not None
    assert setup.cache.counts["fresh"] == 1
    assert setup.cache.are_fresh([snapshot])
    setup.clock.seconds += 0.001
    assert setup.cache.get_fresh(key("1")) is None
    assert not setup.cache.are_fresh([snapshot])
    assert setup.cache.counts["fresh"] == 2


async def test_what_was_derived_from_a_snapshot_ends_with_it() -> None:
    setup = Setup()
    for end in ("dropped", "replaced", "evicted"):
        (read,) = await setup.read("1")
        assert read.snapshot is not None
        assert setup.cache.are_fresh([read.snapshot])
        if end == "dropped":
            setup.cache.drop(*key("1")[:2])
        elif end == "replaced":
            await setup.read("1", force_fresh=True)
        else:
            setup.source = replace(setup.source, prepare=lambda value, last: (value, Text(10_000, True)))
            await setup.read("2")
        assert not setup.cache.are_fresh([read.snapshot]), end


async def test_zero_ttl_reads_every_time_but_shares_reads_in_flight() -> None:
    setup = Setup(fresh=0.0)
    assert [await setup.value("1"), await setup.value("1")] == ["1#1", "1#2"]
    setup.vault.gate.clear()
    both = asyncio.gather(setup.value("1"), setup.value("1"))
    await settle()
    setup.vault.gate.set()
    assert await both == ["1#3", "1#3"]


async def test_nothing_is_cached_with_zero_ttls() -> None:
    setup = Setup(fresh=0.0, stale=0.0)
    await setup.read("1")
    assert (len(setup.cache), setup.cache.bytes) == (0, 0)


async def test_missing_keys_are_fetched_in_one_batch() -> None:
    setup = Setup()
    await setup.read("2")
    found = await setup.read("1", "2", "3", "1")
    assert setup.vault.calls == [["2"], ["1", "3"]]
    assert [one.snapshot.value for one in found if one.snapshot] == ["1#2", "2#1", "3#2", "1#2"]


async def test_batches_respect_the_limit_and_fail_independently() -> None:
    setup = Setup()
    setup.source = replace(setup.source, batch_limit=2)
    await setup.read("1", "2", "3", "4", "5")
    assert setup.vault.calls == [["1", "2"], ["3", "4"], ["5"]]


async def test_concurrent_reads_of_one_key_are_single_flight() -> None:
    setup = Setup()
    setup.vault.gate.clear()
    readers = [asyncio.ensure_future(setup.value("1")) for _ in range(20)]
    await settle()
    setup.vault.gate.set()
    assert await asyncio.gather(*readers) == ["1#1"] * 20
    assert setup.vault.calls == [["1"]]


async def test_cancelling_one_waiter_does_not_cancel_the_shared_read() -> None:
    setup = Setup()
    setup.vault.gate.clear()
    first, second = asyncio.ensure_future(setup.value("1")), asyncio.ensure_future(setup.value("1"))
    await settle()
    first.cancel()
    await settle()
    setup.vault.gate.set()
    assert await second == "1#1"
    assert first.cancelled()
    assert (setup.vault.calls, setup.vault.cancelled) == ([["1"]], 0)


async def test_read_without_waiters_is_cancelled_and_the_next_starts_anew() -> None:
    setup = Setup()
    setup.vault.gate.clear()
    readers = [asyncio.ensure_future(setup.value("1")) for _ in range(3)]
    await settle()
    for reader in readers:
        reader.cancel()
    await asyncio.sleep(0)
    setup.vault.gate.set()
    assert await setup.value("1") == "1#2", "a read that is being cancelled must not be joined"
    assert setup.vault.cancelled == 1


async def test_each_waiter_has_its_own_deadline() -> None:
    setup = Setup()
    setup.vault.gate.clear()
    patient = asyncio.ensure_future(setup.value("1"))
    await settle()
    (impatient,) = await setup.read("1", within=0.01)
    assert isinstance(impatient.error, VaultTimeout)
    assert impatient.snapshot is None
    setup.vault.gate.set()
    assert await patient == "1#1"


async def test_hanging_vault_times_out_and_is_cancelled() -> None:
    setup = Setup()
    setup.vault.gate.clear()
    (one,) = await setup.read("1", within=0.01)
    await settle()
    assert isinstance(one.error, VaultTimeout)
    assert setup.vault.cancelled == 1


@pytest.mark.parametrize(
    "error",
    [
        VaultTimeout(P),
        VaultUnavailable(P),
        VaultThrottled(P),
        CircuitOpen(P),
        VaultReplyUnreadable(P),
        VaultRejected(P, RejectReason.CONTRACT),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_stale_snapshot_is_served_on_vault_failure(error: VaultError) -> None:
    setup = Setup()
    (before,) = await setup.read("1")
    setup.clock.seconds += 600.0
    setup.vault.failure = error
    (now,) = await setup.read("1")
    assert (now.snapshot, now.error, now.is_stale) == (before.snapshot, error, True)
    assert not before.is_stale
    setup.clock.seconds += 0.001
    (too_old,) = await setup.read("1")
    assert (too_old.snapshot, too_old.error, too_old.is_stale) == (None, error, False)


async def test_stale_snapshot_is_served_on_timeout() -> None:
    setup = Setup()
    await setup.read("1")
    setup.clock.seconds += 6
    setup.vault.gate.clear()
    (one,) = await setup.read("1", within=0.01)
    assert one.is_stale


@pytest.mark.parametrize("error", [VaultRefusedUs(P), VaultRejected(P, RejectReason.CUSTOMER_NOT_FOUND)])
async def test_refused_credentials_or_unknown_customer_drop_the_snapshot(error: VaultError) -> None:
    setup = Setup()
    await setup.read("1", "2")
    setup.clock.seconds += 6
    setup.vault.answer = lambda one: error if one[1] == "1" else "fine"
    gone, fine = await setup.read("1", "2")
    assert (gone.snapshot, gone.error) == (None, error)
    assert fine.error is None
    assert len(setup.cache) == 1
    setup.vault.failure = VaultUnavailable(P)
    assert await setup.value("1") is None


async def test_drop_removes_fresh_and_stale_snapshot() -> None:
    setup = Setup()
    await setup.read("1", "2")
    setup.cache.drop(P, CustomerRef("1"))
    setup.cache.drop(P, CustomerRef("1"))
    assert [await setup.value("1"), await setup.value("2")] == ["1#2", "2#1"]
    setup.cache.drop(P, CustomerRef("1"))
    setup.vault.failure = VaultUnavailable(P)
    assert await setup.value("1") is None


async def test_read_begun_before_a_drop_is_not_cached() -> None:
    setup = Setup()
    setup.vault.gate.clear()
    before = asyncio.ensure_future(setup.value("1"))
    await settle()
    setup.cache.drop(P, CustomerRef("1"))
    after = asyncio.ensure_future(setup.value("1"))
    await settle()
    setup.vault.gate.set()
    assert [await before, await after, await setup.value("1")] == ["1#1", "1#2", "1#2"]
    assert setup.vault.calls == [["1"], ["1"]]


async def test_drop_removes_snapshots_of_single_methods() -> None:
    setup = Setup()
    await setup.cache.read([(one, setup.source) for one in (key("1"), key("1", "m"), key("2", "m"))], soon())
    setup.cache.drop(P, CustomerRef("1"))
    assert len(setup.cache) == 1


async def test_force_fresh_starts_its_own_read_and_replaces_the_earlier_one() -> None:
    setup = Setup()
    setup.vault.gate.clear()
    earlier = asyncio.ensure_future(setup.value("1"))
    await settle()
    forced = asyncio.ensure_future(setup.value("1", force_fresh=True))
    await settle()
    setup.vault.gate.set()
    assert [await earlier, await forced, await setup.value("1")] == ["1#1", "1#2", "1#2"]


async def test_force_fresh_never_serves_stale() -> None:
    setup = Setup()
    await setup.read("1")
    setup.vault.failure = VaultUnavailable(P)
    (one,) = await setup.read("1", force_fresh=True)
    assert (one.snapshot, one.error) == (None, setup.vault.failure)


async def test_least_recently_used_is_evicted_first() -> None:
    setup = Setup(max_bytes=300)
    for ref in ("1", "2", "3"):
        await setup.read(ref)
    await setup.read("1")
    await setup.read("4")
    assert setup.cache.bytes == 300
    assert [await setup.value("1"), await setup.value("3"), await setup.value("4")] == ["1#1", "3#3", "4#4"]
    assert await setup.value("2") == "2#5"


async def test_value_larger_than_the_cache_is_returned_but_not_cached() -> None:
    setup = Setup(max_bytes=99)
    assert await setup.value("1") == "1#1"
    assert (len(setup.cache), setup.cache.bytes) == (0, 0)


async def test_indexes_are_empty_after_eviction() -> None:
    setup = Setup(max_bytes=500)
    for number in range(50):
        await setup.read(str(number))
        if number % 3 == 0:
            setup.cache.drop(P, CustomerRef(str(number)))
    setup.vault.failure = VaultRefusedUs(P)
    setup.clock.seconds += 10
    await setup.read(*[str(number) for number in range(50)])
    assert (len(setup.cache), setup.cache.bytes) == (0, 0)
    assert not setup.cache._in_flight
    assert not setup.cache._methods


async def test_bug_is_raised_to_every_waiter() -> None:
    setup = Setup()
    await setup.read("1")
    setup.clock.seconds += 6
    setup.vault.failure = RuntimeError("a bug")
    setup.vault.gate.clear()
    readers = [asyncio.ensure_future(setup.value("1")) for _ in range(2)]
    await settle()
    setup.vault.gate.set()
    for reader in readers:
        with pytest.raises(RuntimeError, match="a bug"):
            await reader


async def test_key_missing_in_the_reply_is_unreadable() -> None:
    setup = Setup()

    async def nothing(keys: Sequence[Key], caller: object) -> Mapping[CustomerRef, str | VaultError]:
        return {}

    source = replace(setup.source, fetch=nothing)
    (found,) = await setup.cache.read([(key("1"), source)], soon())
    assert isinstance(found.error, VaultReplyUnreadable)


async def test_outage_serves_the_complete_snapshot_behind_a_partial_one() -> None:
    setup = Setup()
    setup.source = replace(setup.source, prepare=lambda value, last: (value, Text(100, value[:4] != "part")))
    await setup.read("a")
    for text in ("part1", "part2"):
        setup.clock.seconds += 6
        setup.vault.answer = lambda one, text=text: text  # type: ignore[misc]
        (partial,) = await setup.read("a")
        assert (partial.snapshot and partial.snapshot.value, partial.is_stale) == (text, False)
        assert setup.cache.bytes == 200, "both are counted"
    setup.clock.seconds += 6
    setup.vault.failure = VaultUnavailable(P)
    (stale,) = await setup.read("a")
    assert (stale.snapshot and stale.snapshot.value, stale.is_stale) == ("a#1", True)
    setup.clock.seconds += 590  # the complete snapshot is too old now, the partial one is not
    (older,) = await setup.read("a")
    assert (older.snapshot and older.snapshot.value, older.is_stale) == ("part2", True)
    setup.vault.failure, setup.vault.answer = None, None
    await setup.read("a")
    assert setup.cache.bytes == 100, "a complete answer takes the place of both"


async def test_drop_removes_the_complete_snapshot_behind_a_partial_one() -> None:
    setup = Setup()
    setup.source = replace(setup.source, prepare=lambda value, last: (value, Text(100, value != "part")))
    await setup.read("a")
    setup.clock.seconds += 6
    setup.vault.answer = lambda one: "part"
    await setup.read("a")
    setup.cache.drop(*key("a")[:2])
    setup.vault.failure = VaultUnavailable(P)
    (nothing,) = await setup.read("a")
    assert (nothing.snapshot, setup.cache.bytes) == (None, 0)
