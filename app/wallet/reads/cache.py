"""Snapshot cache: single-flight reads with TTL and stale-if-error.

It is independent of the cached type: `reader` stores wallets, `three_d_secure` single cards' 3-D Secure results.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar

from app.errors import RejectReason, VaultError, VaultRefusedUs, VaultRejected, VaultReplyUnreadable, VaultTimeout
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.wallet.reads.waiting import wait_until_done

Value = TypeVar("Value")
_UTC_NOW: Final = partial(datetime.now, UTC)

Key = tuple[ProviderName, CustomerRef, MethodRef | None]
"""Vault, customer ref, and a method ref; None there for the whole wallet."""


@dataclass(slots=True)  # immutable in use; `frozen` would slow its creation, once per read
class Snapshot(Generic[Value]):
    """`as_of` is when the vault's answer arrived, `taken_at` the same instant on the monotonic clock.

    `asked_at` is when the call began: later changes may be missing from the answer. `shown` caches what a reader
    derived from it. `better` is the last complete snapshot, kept with an incomplete one for stale-if-error.
    """

    value: Value
    asked_at: datetime
    as_of: datetime
    taken_at: float
    size: int
    shown: Any = None
    better: "Snapshot[Value] | None" = None


@dataclass(slots=True)
class Read(Generic[Value]):
    """The result for one key. A snapshot together with an error is stale. `latency_s` is None if no call was made.

    `asked_at` and `answered_at` are when the failed call began and ended.
    """

    snapshot: Snapshot[Value] | None
    error: VaultError | None = None
    latency_s: float | None = None
    asked_at: datetime | None = None
    answered_at: datetime | None = None

    @property
    def is_stale(self) -> bool:
        return self.snapshot is not None and self.error is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Generic[Value]):
    """How one kind of value is read, and its TTLs. Durations are seconds.

    `fetch` reads many keys at once on behalf of the first caller: a VaultError that it raises applies to all keys, one
    in place of a value to that key alone. At most `batch_limit` keys are fetched together. `weigh` estimates a value's
    bytes. `is_complete` is true if a value contains everything that the vault holds.
    """

    provider: ProviderName
    fetch: Callable[[Sequence[Key], Any], Awaitable[Mapping[Key, Value | VaultError]]]
    weigh: Callable[[Value], int]
    fresh_for_s: float
    stale_if_error_for_s: float
    batch_limit: int = 1
    is_complete: Callable[[Value], bool] = lambda value: True


class InFlightRead:
    """One upstream read in flight: the caller that started it, and the number of waiters."""

    __slots__ = ("answered_at", "asked_at", "caller", "has_begun", "keys", "latency_s", "outcomes", "task", "waiters")

    def __init__(self, keys: list[Key], caller: object) -> None:
        self.keys = keys
        self.caller = caller
        self.has_begun = False
        self.waiters = 0
        self.latency_s = 0.0
        self.asked_at: datetime | None = None
        self.answered_at: datetime | None = None
        self.outcomes: dict[Key, Snapshot[Any] | VaultError] = {}
        self.task: asyncio.Task[None]


@dataclass(slots=True)
class Waiter(Generic[Value]):
    """One caller waiting for one key of a read in flight, from `since` until its deadline `until`."""

    key: Key
    flight: InFlightRead
    source: "Source[Value]"
    until: float
    since: float
    is_joined: bool


class SnapshotCache:
    """LRU cache limited to `max_bytes`. Belongs to one event loop.

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
        self._max_bytes = max_bytes
        self._utc_now = utc_now
        self._now: Callable[[], float] = monotonic or self._loop_time
        self._snapshots: OrderedDict[Key, Snapshot[Any]] = OrderedDict()
        self._in_flight: dict[Key, InFlightRead] = {}
        self._open_batches: dict[ProviderName, InFlightRead] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        # Keys of single methods, by customer. Wallet keys, the majority, need no index.
        self._methods: dict[tuple[ProviderName, CustomerRef], set[Key]] = {}
        self.bytes = 0
        self.counts = {"fresh": 0, "joined": 0, "vault": 0, "stale": 0, "none": 0}
        """Reads since the start by source: fresh snapshot, joined read, vault, stale snapshot, none."""

    async def read(
        self,
        keys: Iterable[Key],
        source: Source[Value],
        *,
        until: float,
        force_fresh: bool = False,
        caller: object = None,
    ) -> dict[Key, Read[Value]]:
        """Read every key by `until` (on the loop's clock): from the cache, from a read in flight, or by a new one.

        `force_fresh` uses no snapshot and joins no earlier read. A vault's failure is part of the result; any other
        exception is a bug and is raised.
        """
        found: dict[Key, Read[Value]] = {}
        waiters: list[Waiter[Value]] = []
        fresh_read: InFlightRead | None = None
        for key in dict.fromkeys(keys):
            snapshot = None if force_fresh else self._fresh(key, source.fresh_for_s)
            if snapshot is not None:
                found[key] = Read(snapshot)
                self.counts["fresh"] += 1
            elif force_fresh:
                if fresh_read is None or len(fresh_read.keys) >= source.batch_limit:
                    fresh_read = self._begin(key, source, caller)
                else:
                    self._add(key, fresh_read)
                fresh_read.waiters += 1
                waiters.append(Waiter(key, fresh_read, source, until, self._now(), False))
            else:
                waiters.append(self.join_or_start(key, source, until, caller))
        if waiters:
            reads = await self.wait_all(waiters, may_be_stale=not force_fresh)
            found.update(zip([waiter.key for waiter in waiters], reads, strict=True))
        return found

    def join_or_start(self, key: Key, source: Source[Value], until: float, caller: object = None) -> Waiter[Value]:
        """Join the read of this key in flight, or start one. The caller must await `wait_all`.

        Keys that one caller requests before a read begins, at the loop's next turn, are batched.
        """
        in_flight = self._in_flight.get(key)
        is_joined = in_flight is not None
        if in_flight is None:
            in_flight = self._open_batch(key, source, caller)
        in_flight.waiters += 1
        return Waiter(key, in_flight, source, until, self._now(), is_joined)

    async def wait_all(self, waiters: Sequence[Waiter[Value]], *, may_be_stale: bool = True) -> list[Read[Value]]:
        """Each waiter's result, in order; each is awaited until its deadline."""
        try:
            await wait_until_done(waiters)
        finally:
            for waiter in waiters:
                self.leave(waiter)
        return [self._result(waiter, may_be_stale) for waiter in waiters]

    def result(self, waiter: Waiter[Value]) -> Read[Value]:
        """As `wait_all`, for one waiter whose read is done."""
        self.leave(waiter)
        return self._result(waiter, may_be_stale=True)

    def get_fresh(self, key: Key, fresh_for_s: float) -> Snapshot[Any] | None:
        """The snapshot if it is fresh, without awaiting; else None."""
        if fresh_for_s <= 0:
            return None
        snapshot = self._within(key, fresh_for_s)
        if snapshot is not None:
            self.counts["fresh"] += 1
        return snapshot

    def has_fresh(self, key: Key, fresh_for_s: float) -> bool:
        """True if `get_fresh` would return a snapshot; does not count as a read."""
        snapshot = self._snapshots.get(key)
        return fresh_for_s > 0 and snapshot is not None and self._now() - snapshot.taken_at <= fresh_for_s

    def last(self, key: Key) -> Any:
        """The cached value, however old; None if there is none."""
        snapshot = self._snapshots.get(key)
        return None if snapshot is None else snapshot.value

    def drop(self, provider: ProviderName, ref: CustomerRef) -> None:
        """Invalidate one customer at one vault, including reads in flight."""
        for key in ((provider, ref, None), *self._methods.pop((provider, ref), ())):
            self._in_flight.pop(key, None)
            if (snapshot := self._snapshots.pop(key, None)) is not None:
                self.bytes -= snapshot.size

    def clear(self) -> None:
        """Invalidate everything, when it is unknown what has changed."""
        self._in_flight.clear()
        self._snapshots.clear()
        self._methods.clear()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._snapshots)

    def _loop_time(self) -> float:
        self._now = asyncio.get_running_loop().time  # cached: belongs to one loop
        return self._now()

    def _fresh(self, key: Key, fresh_for_s: float) -> Snapshot[Any] | None:
        return self._within(key, fresh_for_s) if fresh_for_s > 0 else None

    def _within(self, key: Key, age_s: float) -> Snapshot[Any] | None:
        snapshot = self._snapshots.get(key)
        if snapshot is None or self._now() - snapshot.taken_at > age_s:
            return None
        self._snapshots.move_to_end(key)
        return snapshot

    def _open_batch(self, key: Key, source: Source[Value], caller: object) -> InFlightRead:
        if source.batch_limit <= 1:
            return self._begin(key, source, caller)
        in_flight = self._open_batches.get(source.provider)
        is_open = in_flight is not None and not in_flight.has_begun and in_flight.waiters and in_flight.caller is caller
        if in_flight is None or not is_open or len(in_flight.keys) >= source.batch_limit:
            in_flight = self._open_batches[source.provider] = self._begin(key, source, caller)
        else:
            self._add(key, in_flight)
        return in_flight

    def _begin(self, key: Key, source: Source[Value], caller: object) -> InFlightRead:
        in_flight = InFlightRead([], caller)
        self._add(key, in_flight)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # cached: belongs to one loop
        in_flight.task = self._loop.create_task(self._run(in_flight, source))
        return in_flight

    def _add(self, key: Key, in_flight: InFlightRead) -> None:
        in_flight.keys.append(key)
        self._in_flight[key] = in_flight
        if key[2] is not None:
            self._methods.setdefault(key[:2], set()).add(key)

    async def _run(self, in_flight: InFlightRead, source: Source[Value]) -> None:
        in_flight.has_begun = True
        if self._open_batches.get(source.provider) is in_flight:
            del self._open_batches[source.provider]
        keys, began = in_flight.keys, self._now()
        asked_at = in_flight.asked_at = self._utc_now()
        try:
            replies = await source.fetch(keys, in_flight.caller)
        except VaultError as error:
            replies = dict.fromkeys(keys, error)
        except BaseException:
            self._unregister(in_flight)
            raise
        in_flight.latency_s = self._now() - began
        for key in keys:
            reply = replies[key] if key in replies else VaultReplyUnreadable(source.provider)
            outcome: Snapshot[Any] | VaultError
            if isinstance(reply, VaultError):
                outcome, in_flight.answered_at = reply, self._utc_now()
            else:
                outcome = Snapshot(reply, asked_at, self._utc_now(), self._now(), source.weigh(reply))
            in_flight.outcomes[key] = outcome
            self._record(key, in_flight, outcome, source)
        self._unregister(in_flight)

    def _record(
        self, key: Key, in_flight: InFlightRead, outcome: Snapshot[Any] | VaultError, source: Source[Any]
    ) -> None:
        if self._in_flight.get(key) is not in_flight:
            return
        if isinstance(outcome, VaultError):
            if not _may_show_stale(outcome):
                self._forget(key)
        elif source.fresh_for_s > 0 or source.stale_if_error_for_s > 0:
            if not source.is_complete(outcome.value):
                self._keep_better(outcome, self._snapshots.get(key), source)
            self._keep(key, outcome)

    def _keep_better(self, partial: Snapshot[Any], before: Snapshot[Any] | None, source: Source[Any]) -> None:
        """Keep the last complete snapshot with an incomplete one, for stale-if-error."""
        better = before if before is None or source.is_complete(before.value) else before.better
        if better is not None and self._now() - better.taken_at <= source.stale_if_error_for_s:
            partial.better = better
            partial.size += better.size

    def _keep(self, key: Key, snapshot: Snapshot[Any]) -> None:
        before = self._snapshots.get(key)
        self._snapshots[key] = snapshot
        if before is None:
            if key[2] is not None:
                self._methods.setdefault(key[:2], set()).add(key)
            self.bytes += snapshot.size
        else:
            self._snapshots.move_to_end(key)
            self.bytes += snapshot.size - before.size
        while self.bytes > self._max_bytes:
            self._forget(next(iter(self._snapshots)))

    def _forget(self, key: Key) -> None:
        if (snapshot := self._snapshots.pop(key, None)) is not None:
            self.bytes -= snapshot.size
            self._unindex(key)

    def _unregister(self, in_flight: InFlightRead) -> None:
        for key in in_flight.keys:
            if self._in_flight.get(key) is in_flight:
                del self._in_flight[key]
                if key[2] is not None:
                    self._unindex(key)

    def _unindex(self, key: Key) -> None:
        if key[2] is None or key in self._snapshots or key in self._in_flight:
            return
        listed = self._methods.get(key[:2])
        if listed is not None:
            listed.discard(key)
            if not listed:
                del self._methods[key[:2]]

    def leave(self, waiter: Waiter[Any]) -> None:
        """Stop waiting. A read without waiters is cancelled."""
        in_flight = waiter.flight
        in_flight.waiters -= 1
        if not in_flight.waiters and not in_flight.task.done():
            self._unregister(in_flight)
            in_flight.task.cancel()

    def _result(self, waiter: Waiter[Value], may_be_stale: bool) -> Read[Value]:
        in_flight = waiter.flight
        outcome = in_flight.outcomes.get(waiter.key)
        if isinstance(outcome, Snapshot):
            self.counts["joined" if waiter.is_joined else "vault"] += 1
            return Read(outcome, None, in_flight.latency_s)
        read = self._failed_read(waiter, outcome, may_be_stale)
        self.counts["none" if read.snapshot is None else "stale"] += 1
        return read

    def _failed_read(self, waiter: Waiter[Value], outcome: VaultError | None, may_be_stale: bool) -> Read[Value]:
        in_flight, source = waiter.flight, waiter.source
        latency_s = in_flight.latency_s
        if outcome is None:
            if in_flight.task.done() and not in_flight.task.cancelled():
                in_flight.task.result()  # any other exception is a bug: raise it
            outcome, latency_s = VaultTimeout(source.provider), self._now() - waiter.since
        stale = None
        if may_be_stale and _may_show_stale(outcome):
            stale = self._stale(waiter.key, source.stale_if_error_for_s)
        return Read(stale, outcome, latency_s, in_flight.asked_at, in_flight.answered_at)

    def _stale(self, key: Key, age_s: float) -> Snapshot[Any] | None:
        """The last complete snapshot that is young enough, else the last incomplete one."""
        snapshot = self._within(key, age_s)
        better = None if snapshot is None else snapshot.better
        return better if better is not None and self._now() - better.taken_at <= age_s else snapshot


def _may_show_stale(error: VaultError) -> bool:
    """False if the vault refuses the gateway or no longer knows the customer: then stale data must not be shown. Other
    failures are temporary."""
    if isinstance(error, VaultRejected):
        return error.reason is not RejectReason.CUSTOMER_NOT_FOUND
    return not isinstance(error, VaultRefusedUs)
