"""Snapshot cache: single-flight reads with TTL and stale-if-error. The only place that decides what is fresh.

It is independent of the cached type: `reader` stores wallets, `three_d_secure` single cards' 3-D Secure results.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar

from app.caching.lru import LruCache
from app.errors import RejectReason, VaultError, VaultRefusedUs, VaultRejected, VaultReplyUnreadable, VaultTimeout
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.wallet.reads.waiting import wait_until_done

Value = TypeVar("Value")
_UTC_NOW: Final = partial(datetime.now, UTC)
_NEVER: Final = float("-inf")

Key = tuple[ProviderName, CustomerRef, MethodRef | None]
"""Vault, customer ref, and a method ref; None there for the whole wallet."""


class Freshness:
    """Until when a snapshot is fresh, on the cache's clock. Shared with what is derived from the snapshot: as soon as
    the snapshot is dropped, evicted or replaced, `until` is in the past."""

    __slots__ = ("until",)

    def __init__(self, until: float) -> None:
        self.until = until


@dataclass(slots=True)  # immutable in use; `frozen` would slow its creation, once per read
class Snapshot(Generic[Value]):
    """`as_of` is when the vault's answer arrived, `taken_at` the same instant on the monotonic clock.

    `asked_at` is when the call began: later changes may be missing from the answer. `prepared` is what its source made
    of `value`, `shown` caches what a reader made of both. `better` is the last complete snapshot, kept with
    an incomplete one for stale-if-error.
    """

    value: Value
    prepared: Any
    asked_at: datetime
    as_of: datetime
    taken_at: float
    size: int
    freshness: Freshness
    shown: Any = None
    better: "Snapshot[Value] | None" = None


@dataclass(slots=True)
class Read(Generic[Value]):
    """The result for one key. A snapshot together with an error is stale. `latency_s` is None if no call was made.

    `asked_at` and `answered_at` are when the failed call began and ended. `bug`: any other exception of the read.
    """

    snapshot: Snapshot[Value] | None
    error: VaultError | None = None
    latency_s: float | None = None
    asked_at: datetime | None = None
    answered_at: datetime | None = None
    bug: Exception | None = None

    @property
    def is_stale(self) -> bool:
        return self.snapshot is not None and self.error is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Generic[Value]):
    """How one kind of value is read, and its TTLs. Durations are seconds.

    `fetch` reads many keys at once on behalf of the first caller: a VaultError that it raises applies to all keys, one
    in place of a value to that key alone. At most `batch_limit` keys are fetched together. `prepare` gets a value and
    what was prepared from the one before, if that is cached. Of what is prepared, `weigh` estimates the bytes, and
    `is_complete` is true if it contains everything that the vault holds.
    """

    provider: ProviderName
    fetch: Callable[[Sequence[Key], Any], Awaitable[Mapping[Key, Value | VaultError]]]
    weigh: Callable[[Any], int]
    fresh_for_s: float
    stale_if_error_for_s: float
    batch_limit: int = 1
    is_complete: Callable[[Any], bool] = lambda prepared: True
    prepare: Callable[[Value, Any], Any] = lambda value, last: value


Wanted = tuple[Key, Source[Any], float]
"""A key, its source, and until when its caller waits, on the loop's clock."""


class InFlightRead:
    """One upstream read in flight, and the number of callers that wait for it."""

    __slots__ = ("answered_at", "asked_at", "keys", "latency_s", "outcomes", "task", "waiters")

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = keys
        self.waiters = 0
        self.latency_s = 0.0
        self.asked_at: datetime | None = None
        self.answered_at: datetime | None = None
        self.outcomes: dict[Key, Snapshot[Any] | VaultError] = {}
        self.task: asyncio.Task[None]


class SnapshotCache:
    """Bounded by `max_bytes`. Belongs to one event loop.

    A read in flight may fill the cache only while it is registered for its key. `drop` and `force_fresh` unregister it,
    so an answer requested before a write can never overwrite one requested after it.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        utc_now: Callable[[], datetime] = _UTC_NOW,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self.on_removed: Callable[[Key], None] | None = None
        """Called for every snapshot that is dropped or evicted, but not for one that a newer one replaces."""
        self._utc_now = utc_now
        self._now: Callable[[], float] = monotonic or self._loop_time
        self._snapshots: LruCache[Key, Snapshot[Any]] = LruCache(max_bytes, on_evict=self._removed)
        self._in_flight: dict[Key, InFlightRead] = {}
        # Keys of single methods, by customer. Wallet keys, the majority, need no index.
        self._methods: dict[tuple[ProviderName, CustomerRef], set[Key]] = {}
        self.counts = {"fresh": 0, "joined": 0, "vault": 0, "stale": 0, "none": 0}
        """Reads since the start by source: fresh snapshot, joined read, vault, stale snapshot, none."""

    @property
    def bytes(self) -> int:
        return self._snapshots.weight

    def __len__(self) -> int:
        return len(self._snapshots)

    async def read(
        self, wanted: Sequence[Wanted], *, force_fresh: bool = False, caller: object = None
    ) -> list[Read[Any]]:
        """Read every key by its deadline: from the cache, from a read in flight, or by a new one.

        `force_fresh` uses no snapshot and joins no earlier read. Failures are part of the result.
        """
        now, counts = self._now(), self.counts
        found: dict[Key, Read[Any]] = {}
        joined: list[Key] = []
        missing: dict[ProviderName, tuple[Source[Any], dict[Key, None]]] = {}
        for key, source, _ in wanted:
            if not force_fresh:
                snapshot = self._snapshots.get(key)
                if snapshot is not None and now <= snapshot.freshness.until:
                    found[key] = Read(snapshot)
                    counts["fresh"] += 1
                    continue
                if key in self._in_flight:
                    joined.append(key)
                    continue
            if key[0] in missing:
                missing[key[0]][1][key] = None
            else:
                missing[key[0]] = source, {key: None}
        reads = {key: self._in_flight[key] for key in joined}
        for source, new in missing.values():
            keys = list(new)
            for start in range(0, len(keys), source.batch_limit):
                some = keys[start : start + source.batch_limit]
                reads.update(dict.fromkeys(some, self._begin(some, source, caller)))
        if reads:
            waiting = [one for one in wanted if one[0] in reads]
            for read in reads.values():
                read.waiters += 1
            try:
                await wait_until_done([(reads[key].task, until) for key, _, until in waiting])
            finally:
                for read in reads.values():
                    self._leave(read)
            for key, source, _ in waiting:
                result = found[key] = self._result(key, source, reads[key], now, may_be_stale=not force_fresh)
                if result.snapshot is None:
                    counts["none"] += 1
                else:
                    counts["stale" if result.error is not None else "joined" if key in joined else "vault"] += 1
        return [found[key] for key, _, _ in wanted]

    def get_fresh(self, key: Key) -> Snapshot[Any] | None:
        """The snapshot if it is fresh, without awaiting; else None."""
        snapshot = self._snapshots.get(key)
        if snapshot is None or self._now() > snapshot.freshness.until:
            return None
        self.counts["fresh"] += 1
        return snapshot

    def are_fresh(self, derived_from: Iterable[Freshness]) -> bool:
        """True if something derived from these snapshots may still be shown. Counts as a read of each."""
        now, count = self._now(), 0
        for one in derived_from:
            if now > one.until:
                return False
            count += 1
        self.counts["fresh"] += count
        return True

    def is_cached(self, key: Key, prepared: object) -> bool:
        """True if the snapshot of this key, however old, was prepared to this very object."""
        snapshot = self._snapshots.peek(key)
        return snapshot is not None and snapshot.prepared is prepared

    def drop(self, provider: ProviderName, ref: CustomerRef) -> None:
        """Invalidate one customer at one vault, including reads in flight."""
        for key in ((provider, ref, None), *self._methods.pop((provider, ref), ())):
            self._in_flight.pop(key, None)
            self._forget(key)

    def clear(self) -> None:
        """Invalidate everything, when it is unknown what has changed."""
        self._in_flight.clear()
        for key in tuple(self._snapshots):
            self._forget(key)
        self._methods.clear()

    def _loop_time(self) -> float:
        self._now = asyncio.get_running_loop().time  # cached: belongs to one loop
        return self._now()

    def _begin(self, keys: Sequence[Key], source: Source[Any], caller: object) -> InFlightRead:
        in_flight = InFlightRead(keys)
        for key in keys:
            self._in_flight[key] = in_flight
            if key[2] is not None:
                self._methods.setdefault(key[:2], set()).add(key)
        in_flight.task = asyncio.get_running_loop().create_task(self._run(in_flight, source, caller))
        return in_flight

    async def _run(self, in_flight: InFlightRead, source: Source[Any], caller: object) -> None:
        keys, began = in_flight.keys, self._now()
        asked_at = in_flight.asked_at = self._utc_now()
        try:
            replies = await source.fetch(keys, caller)
        except VaultError as error:
            replies = dict.fromkeys(keys, error)
        except BaseException:
            self._unregister(in_flight)
            raise
        now, as_of = self._now(), self._utc_now()
        in_flight.latency_s, in_flight.answered_at = now - began, as_of
        fresh_until = now + source.fresh_for_s if source.fresh_for_s > 0 else _NEVER
        for key in keys:
            reply = replies[key] if key in replies else VaultReplyUnreadable(source.provider)
            if isinstance(reply, VaultError):
                in_flight.outcomes[key] = reply
                if self._in_flight.get(key) is in_flight and not _may_show_stale(reply):
                    self._forget(key)
            else:
                before = self._snapshots.peek(key)
                prepared = source.prepare(reply, None if before is None else before.prepared)
                weight, freshness = source.weigh(prepared), Freshness(fresh_until)
                snapshot = Snapshot(reply, prepared, asked_at, as_of, now, weight, freshness)
                in_flight.outcomes[key] = snapshot
                self._keep(key, in_flight, snapshot, source)
        self._unregister(in_flight)

    def _keep(self, key: Key, in_flight: InFlightRead, snapshot: Snapshot[Any], source: Source[Any]) -> None:
        if self._in_flight.get(key) is not in_flight:
            snapshot.freshness.until = _NEVER
            return
        if source.fresh_for_s <= 0 and source.stale_if_error_for_s <= 0:
            return
        before = self._snapshots.peek(key)
        if before is not None:
            before.freshness.until = _NEVER
        if not source.is_complete(snapshot.prepared):
            better = before if before is None or source.is_complete(before.prepared) else before.better
            if better is not None and snapshot.taken_at - better.taken_at <= source.stale_if_error_for_s:
                snapshot.better = better
                snapshot.size += better.size
        self._snapshots.put(key, snapshot, weight=snapshot.size)

    def _forget(self, key: Key) -> None:
        snapshot = self._snapshots.pop(key)
        if snapshot is not None:
            self._removed(key, snapshot)

    def _removed(self, key: Key, snapshot: Snapshot[Any]) -> None:
        snapshot.freshness.until = _NEVER
        self._unindex(key)
        if self.on_removed is not None:
            self.on_removed(key)

    def _unregister(self, in_flight: InFlightRead) -> None:
        for key in in_flight.keys:
            if self._in_flight.get(key) is in_flight:
                del self._in_flight[key]
                self._unindex(key)

    def _unindex(self, key: Key) -> None:
        if key[2] is None or key in self._in_flight or self._snapshots.peek(key) is not None:
            return
        listed = self._methods.get(key[:2])
        if listed is not None:
            listed.discard(key)
            if not listed:
                del self._methods[key[:2]]

    def _leave(self, in_flight: InFlightRead) -> None:
        """Stop waiting. A read without waiters is cancelled."""
        in_flight.waiters -= 1
        if not in_flight.waiters and not in_flight.task.done():
            self._unregister(in_flight)
            in_flight.task.cancel()

    def _result(
        self, key: Key, source: Source[Any], in_flight: InFlightRead, since: float, *, may_be_stale: bool
    ) -> Read[Any]:
        outcome = in_flight.outcomes.get(key)
        latency_s = in_flight.latency_s
        if isinstance(outcome, Snapshot):
            return Read(outcome, None, latency_s)
        if outcome is None:
            task = in_flight.task
            bug = task.exception() if task.done() and not task.cancelled() else None
            if isinstance(bug, Exception):
                return Read(None, bug=bug)
            outcome, latency_s = VaultTimeout(source.provider), self._now() - since
        stale = None
        if may_be_stale and _may_show_stale(outcome):
            stale = self._stale(key, source.stale_if_error_for_s)
        return Read(stale, outcome, latency_s, in_flight.asked_at, in_flight.answered_at)

    def _stale(self, key: Key, age_s: float) -> Snapshot[Any] | None:
        """The last complete snapshot that is young enough, else the last incomplete one."""
        snapshot, oldest = self._snapshots.get(key), self._now() - age_s
        if snapshot is None or snapshot.taken_at < oldest:
            return None
        better = snapshot.better
        return better if better is not None and better.taken_at >= oldest else snapshot


def _may_show_stale(error: VaultError) -> bool:
    """False if the vault refuses the gateway or no longer knows the customer: then stale data must not be shown. Other
    failures are temporary."""
    if isinstance(error, VaultRejected):
        return error.reason is not RejectReason.CUSTOMER_NOT_FOUND
    return not isinstance(error, VaultRefusedUs)
