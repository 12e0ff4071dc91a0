"""Snapshot cache: single-flight reads with TTL and stale-if-error. The only place that decides what is fresh.

It is independent of the cached type: `reader` stores wallets, `three_d_secure` single cards' 3-D Secure results.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from msgspec import Struct, structs

from app.caching.lru import LruCache
from app.errors import RejectReason, VaultError, VaultRefusedUs, VaultRejected, VaultReplyUnreadable, VaultTimeout
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.provider import Call, StartedRead
from app.wallet.reads.waiting import Countdown

Value = TypeVar("Value")
_UTC_NOW: Final = partial(datetime.now, UTC)
_NEVER: Final = float("-inf")

Key = tuple[ProviderName, CustomerRef, MethodRef | None]
"""Vault, customer ref, and a method ref; None there for the whole wallet."""


class Prepared(Protocol):
    """What a source makes of a reply: with its bytes, and whether it contains everything that the vault holds."""

    @property
    def size(self) -> int: ...

    @property
    def is_whole(self) -> bool: ...


class Snapshot(Struct, Generic[Value], eq=False):  # created in C, for each read
    """A vault's answer. `as_of` is when it arrived, `taken_at` the same instant on the monotonic clock.

    `asked_at` is when the call began: later changes may be missing from the answer. `prepared` is what its source made
    of `value`. It is fresh until `fresh_until`, which is in the past as soon as it is dropped, evicted or replaced.
    `better` is the last complete snapshot, kept with an incomplete one for stale-if-error.
    """

    value: Value
    prepared: Any
    asked_at: datetime
    as_of: datetime
    taken_at: float
    size: int
    fresh_until: float
    better: "Snapshot[Value] | None" = None


class Read(Struct, Generic[Value]):  # created in C, for each read
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source(Generic[Value]):
    """How one kind of value is read, and its TTLs. Durations are seconds.

    `fetch` reads many keys at once, each of another customer, on behalf of the first caller, with the vault's own
    deadline: a shorter one of the first caller must not apply to the others. It returns values by customer ref. A
    VaultError that it raises applies to all keys, one in place of a value to that key alone. At most `batch_limit` keys
    are fetched together. `prepare` gets a value and what was prepared from the one before, if that is cached; it
    returns the value to keep with what it made of it. `is_kept` False: nothing is cached. `on_error` is called for
    every error of a key.

    `begin` sends the read of one key without a task and calls its last argument once when it is done; None if only
    `fetch` can read it. `value_of` is then called once, for the value of an ordinary reply; if that is None, `complete`
    goes on from there. A task for each read would take a fifth of the time of an uncached wallet.
    """

    provider: ProviderName
    fetch: Callable[[Sequence[Key], Call], Awaitable[Mapping[CustomerRef, Value | VaultError]]]
    prepare: Callable[[Value, Any], tuple[Value, Prepared]]
    fresh_for_s: float
    stale_if_error_for_s: float
    deadline_s: float
    is_kept: bool = True
    batch_limit: int = 1
    on_error: Callable[[Key, VaultError], None] | None = None
    begin: Callable[[Key, Call, Callable[[Any], object]], StartedRead | None] | None = None
    value_of: Callable[[Key, Any, Call], Value | None] | None = None
    complete: Callable[[Key, Any, Call], Awaitable[Value]] | None = None


class InFlightRead(Struct, eq=False):  # created in C, for each read
    """One upstream read in flight, and what waits for it. `began` is `asked_at` on the monotonic clock.

    It is a `task`, or `started` without one.
    """

    keys: Sequence[Key]
    asked_at: datetime
    began: float
    waiting: list[Countdown]
    is_done: bool = False
    results: dict[Key, Read[Any]] = {}
    started: StartedRead | None = None
    task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()
        elif self.started is not None:
            self.started.cancel()
            self.started = None  # or the two form a reference cycle


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
        self.now: Callable[[], float] = monotonic or self._loop_time
        self._utc_now = utc_now
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
        self, wanted: Sequence[tuple[Key, Source[Any]]], call: Call, *, force_fresh: bool = False
    ) -> list[Read[Any]]:
        """Read every key: from the cache, from a read in flight, or by a new one; never later than the deadline of the
        call or of the key's source.

        `force_fresh` uses no snapshot and joins no earlier read. Failures are part of the result.
        """
        now, in_flight = self.now(), self._in_flight
        found: dict[Key, Read[Any]] = {}
        joined: dict[Key, InFlightRead] = {}
        waited: dict[InFlightRead, float] = {}
        missing: dict[Source[Any], dict[Key, None]] = {}
        for key, source in wanted:
            if not force_fresh:
                snapshot = self._snapshots.get(key) if source.fresh_for_s > 0 and key not in found else None
                if snapshot is not None and now <= snapshot.fresh_until:
                    found[key] = Read(snapshot)
                    self.counts["fresh"] += 1
                    continue
                if key in in_flight:
                    read = joined[key] = in_flight[key]
                    waited[read] = source.deadline_s
                    continue
            if source in missing:
                missing[source][key] = None
            else:
                missing[source] = {key: None}
        if missing or waited:
            started = await self._wait(waited, missing, call, now)
            for key, source in wanted:
                if key in found:
                    continue
                read = joined[key] if key in joined else started[key]
                result = read.results[key] if read.is_done and read.results else None
                if result is None or result.snapshot is None:
                    result = self._failed(key, source, result, now, may_be_stale=not force_fresh)
                else:
                    self.counts["joined" if key in joined else "vault"] += 1
                found[key] = result
        return [found[key] for key, _ in wanted]

    def get_fresh(self, key: Key) -> Snapshot[Any] | None:
        """The snapshot if it is fresh, without awaiting; else None."""
        snapshot = self._snapshots.get(key)
        if snapshot is None or self.now() > snapshot.fresh_until:
            return None
        self.counts["fresh"] += 1
        return snapshot

    def are_fresh(self, snapshots: Collection[Snapshot[Any]]) -> bool:
        """True if what was derived from these snapshots may still be shown. Counts as a read of each."""
        now = self.now()
        for one in snapshots:
            if now > one.fresh_until:
                return False
        self.counts["fresh"] += len(snapshots)
        return True

    def is_cached(self, key: Key, prepared: object) -> bool:
        """True if the snapshot of this key, however old, was prepared to this very object."""
        snapshot = self._snapshots.peek(key)
        return snapshot is not None and snapshot.prepared is prepared

    def drop(self, provider: ProviderName, ref: CustomerRef) -> None:
        """Invalidate one customer at one vault, including reads in flight."""
        for key in [key for key in self._in_flight if key[1] == ref and key[0] is provider]:
            del self._in_flight[key]
        for key in ((provider, ref, None), *self._methods.get((provider, ref), ())):
            self._forget(key)

    def clear(self) -> None:
        """Invalidate everything, when it is unknown what has changed."""
        self._in_flight.clear()
        for key in tuple(self._snapshots):
            self._forget(key)

    async def close(self) -> None:
        """A cache in this process alone has nothing to release."""

    def _loop_time(self) -> float:
        self.now = asyncio.get_running_loop().time  # cached: belongs to one loop
        return self.now()

    async def _wait(
        self,
        waited: dict[InFlightRead, float],
        missing: Mapping[Source[Any], Collection[Key]],
        call: Call,
        now: float,
    ) -> dict[Key, InFlightRead]:
        """Start the missing reads, and wait until all are done or their deadlines have passed. Cancels reads that
        nothing waits for any more. `waited` has joined reads with the deadlines of their sources, in seconds."""
        loop, context, asked_at = asyncio.get_running_loop(), copy_context(), self._utc_now()
        began, countdown = loop.time(), Countdown(loop.create_future())
        for read in waited:
            read.waiting.append(countdown)
        started: dict[Key, InFlightRead] = {}
        calls: dict[float, Call] = {}
        for source, new in missing.items():
            deadline_s, keys = source.deadline_s, tuple(new)
            if deadline_s not in calls:
                until = began + deadline_s
                calls[deadline_s] = Call(until, call.request_id, call.trace, call.client, call.tags, call.meter)
            for start in range(0, len(keys), source.batch_limit):
                some = keys[start : start + source.batch_limit]
                read = InFlightRead(some, asked_at, now, [countdown])
                for key in some:
                    started[key] = self._in_flight[key] = read
                waited[read] = deadline_s
                if some[1:] or not self._begin(read, source, calls[deadline_s], context):
                    read.task = loop.create_task(self._run(read, source, calls[deadline_s]))
        countdown.left = len(waited)
        try:
            for deadline_s in sorted(set(waited.values())):
                until = began + deadline_s
                if until > call.deadline_at:
                    until = call.deadline_at
                if until > loop.time():
                    timer = loop.call_at(until, countdown.wake)
                    try:
                        await countdown.future
                    finally:
                        timer.cancel()
                if countdown.left:
                    self._leave([read for read, own_s in waited.items() if own_s == deadline_s], countdown)
                if not countdown.left:
                    break
                countdown.future = loop.create_future()
        finally:
            if countdown.left:
                self._leave(waited, countdown)
        return started

    def _leave(self, reads: Iterable[InFlightRead], countdown: Countdown) -> None:
        for read in reads:
            if not read.is_done and countdown in read.waiting:
                read.waiting.remove(countdown)
                countdown.left -= 1
                if not read.waiting:
                    self._unregister(read)
                    read.cancel()

    def _unregister(self, read: InFlightRead) -> None:
        for key in read.keys:
            if key in self._in_flight and self._in_flight[key] is read:
                del self._in_flight[key]

    def _begin(self, read: InFlightRead, source: Source[Any], call: Call, context: Context) -> bool:
        """Send the read of one key without a task; False, and nothing is sent, if only a task can read it."""
        if source.begin is None:
            return False
        try:
            # The connection calls back in the context of the request that opened it.
            on_done: Callable[[Any], object] = partial(context.run, self._on_done, read, source, call)  # type: ignore[call-arg]
            read.started = source.begin(read.keys[0], call, on_done)
        except VaultError:
            return False
        return read.started is not None

    def _on_done(self, read: InFlightRead, source: Source[Any], call: Call, started: StartedRead) -> None:
        assert source.value_of is not None
        key = read.keys[0]
        try:
            value = source.value_of(key, started, call)
            if value is None:
                read.task = asyncio.get_running_loop().create_task(self._run(read, source, call, started))
                return
            now = self.now()
            snapshot = self._keep(key, value, read, source, now, self._utc_now())
            read.results[key] = Read(snapshot, None, now - read.began)
        except VaultError as error:
            read.results[key] = self._refused(key, read, source, error)
        except Exception as bug:  # noqa: BLE001 - the request raises it
            self._unregister(read)
            read.results[key] = Read(None, bug=bug)
        self._end(read)

    async def _run(
        self, read: InFlightRead, source: Source[Any], call: Call, started: StartedRead | None = None
    ) -> None:
        """`started`: the read was begun, and `complete` must decide on its reply."""
        keys, results = read.keys, read.results
        try:
            if started is None:
                replies = await source.fetch(keys, call)
            else:
                assert source.complete is not None
                replies = {keys[0][1]: await source.complete(keys[0], started, call)}
            now, as_of = self.now(), self._utc_now()
            latency_s = now - read.began
            for key in keys:
                reply = replies[key[1]] if key[1] in replies else VaultReplyUnreadable(source.provider)
                if isinstance(reply, VaultError):
                    results[key] = self._refused(key, read, source, reply)
                else:
                    results[key] = Read(self._keep(key, reply, read, source, now, as_of), None, latency_s)
        except VaultError as error:
            results.update({key: self._refused(key, read, source, error) for key in keys})
        except BaseException as bug:
            self._unregister(read)
            if not isinstance(bug, Exception) or not read.waiting:
                raise  # asyncio logs it
            results.update(dict.fromkeys(keys, Read(None, bug=bug)))
        finally:
            self._end(read)

    @staticmethod
    def _end(read: InFlightRead) -> None:
        read.is_done, read.started = True, None
        for countdown in read.waiting:
            countdown.left -= 1
            if countdown.left == 0:
                countdown.wake()

    def _refused(self, key: Key, read: InFlightRead, source: Source[Any], error: VaultError) -> Read[Any]:
        if source.on_error is not None:
            source.on_error(key, error)
        if self._in_flight.get(key) is read:
            del self._in_flight[key]
            if not _may_show_stale(error):
                self._forget(key)
        return Read(None, error, self.now() - read.began, read.asked_at, self._utc_now())

    def _keep(
        self, key: Key, reply: Any, read: InFlightRead, source: Source[Any], now: float, as_of: datetime
    ) -> Snapshot[Any]:
        before = self._snapshots.peek(key)
        value, prepared = source.prepare(reply, None if before is None else before.prepared)
        stale_for_s = source.stale_if_error_for_s
        snapshot = Snapshot(value, prepared, read.asked_at, as_of, now, prepared.size, _NEVER)
        if key not in self._in_flight or self._in_flight[key] is not read:
            return snapshot
        del self._in_flight[key]
        if not source.is_kept:
            return snapshot
        if source.fresh_for_s > 0:
            snapshot.fresh_until = now + source.fresh_for_s
        if before is not None:
            before.fresh_until = _NEVER
            if not prepared.is_whole:
                better = before if before.prepared.is_whole else before.better
                if better is not None and now - better.taken_at <= stale_for_s:
                    snapshot.better = better
                    snapshot.size += better.size
        elif key[2] is not None:
            self._methods.setdefault(key[:2], set()).add(key)
        self._snapshots.put(key, snapshot, weight=snapshot.size)
        return snapshot

    def _forget(self, key: Key) -> None:
        snapshot = self._snapshots.pop(key)
        if snapshot is not None:
            self._removed(key, snapshot)

    def _removed(self, key: Key, snapshot: Snapshot[Any]) -> None:
        snapshot.fresh_until = _NEVER
        if key[2] is not None:
            methods = self._methods[key[:2]]
            methods.discard(key)
            if not methods:
                del self._methods[key[:2]]
        if self.on_removed is not None:
            self.on_removed(key)

    def _failed(
        self, key: Key, source: Source[Any], read: Read[Any] | None, began: float, *, may_be_stale: bool
    ) -> Read[Any]:
        """`read` is None if the deadline has passed."""
        if read is None:
            read = Read(None, VaultTimeout(source.provider), self.now() - began)
        if read.error is None:
            return read
        stale = None
        if may_be_stale and _may_show_stale(read.error):
            stale = self._stale(key, source.stale_if_error_for_s)
        self.counts["none" if stale is None else "stale"] += 1
        return read if stale is None else structs.replace(read, snapshot=stale)

    def _stale(self, key: Key, age_s: float) -> Snapshot[Any] | None:
        """The last complete snapshot that is young enough, else the last incomplete one."""
        snapshot, oldest = self._snapshots.get(key), self.now() - age_s
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
