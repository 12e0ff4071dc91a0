"""Snapshot cache: single-flight reads with TTL and stale-if-error. The only place that decides what is fresh.

It is independent of the cached type: `reader` stores wallets, `three_d_secure` single cards' 3-D Secure results.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from app.caching.lru import LruCache
from app.errors import RejectReason, VaultError, VaultRefusedUs, VaultRejected, VaultReplyUnreadable, VaultTimeout
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.provider import Call
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


@dataclass(slots=True, eq=False)
class Snapshot(Generic[Value]):
    """A vault's answer. `as_of` is when it arrived, `taken_at` the same instant on the monotonic clock.

    `asked_at` is when the call began: later changes may be missing from the answer. `prepared` is what its source made
    of `value`. It is fresh until `fresh_until`, which is in the past as soon as it is dropped, evicted or replaced.
    `better` is the last complete snapshot, kept with an incomplete one for stale-if-error.
    """

    value: Value
    prepared: Prepared
    asked_at: datetime
    as_of: datetime
    taken_at: float
    size: int
    fresh_until: float
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

    `fetch` reads many keys at once on behalf of the first caller, with the vault's own deadline: a shorter one of the
    first caller must not apply to the others. A VaultError that it raises applies to all keys, one in place of a value
    to that key alone. At most `batch_limit` keys are fetched together. `prepare` gets a value and what was prepared
    from the one before, if that is cached.
    """

    provider: ProviderName
    fetch: Callable[[Sequence[Key], Call], Awaitable[Mapping[Key, Value | VaultError]]]
    prepare: Callable[[Value, Any], Prepared]
    fresh_for_s: float
    stale_if_error_for_s: float
    deadline_s: float
    batch_limit: int = 1


class InFlightRead:
    """One upstream read in flight, and what waits for it."""

    __slots__ = ("answered_at", "asked_at", "is_done", "keys", "latency_s", "outcomes", "task", "waiting")

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = keys
        self.waiting: list[Countdown] = []
        self.is_done = False
        self.latency_s = 0.0
        self.asked_at: datetime | None = None
        self.answered_at: datetime | None = None
        self.outcomes: dict[Key, Snapshot[Any] | Exception] = {}
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
        now = self.now()
        found: dict[Key, Read[Any]] = {}
        reads: dict[Key, InFlightRead] = {}
        joined: set[Key] = set()
        missing: dict[ProviderName, tuple[Source[Any], dict[Key, None]]] = {}
        for key, source in wanted:
            if key in found or key in reads:
                continue
            if not force_fresh:
                snapshot = self._snapshots.get(key) if source.fresh_for_s > 0 else None
                if snapshot is not None and now <= snapshot.fresh_until:
                    found[key] = Read(snapshot)
                    self.counts["fresh"] += 1
                    continue
                earlier = self._in_flight.get(key)
                if earlier is not None:
                    reads[key] = earlier
                    joined.add(key)
                    continue
            if source.batch_limit == 1:
                reads[key] = self._begin((key,), source, call)
            elif source.provider in missing:
                missing[source.provider][1][key] = None
            else:
                missing[source.provider] = source, {key: None}
        for source, new in missing.values():
            keys = list(new)
            for start in range(0, len(keys), source.batch_limit):
                some = keys[start : start + source.batch_limit]
                reads.update(dict.fromkeys(some, self._begin(some, source, call)))
        if reads:
            await self._wait(reads, wanted, call)
            for key, source in wanted:
                read = reads.get(key)
                if read is None or key in found:
                    continue
                outcome = read.outcomes.get(key)
                if outcome.__class__ is Snapshot:
                    found[key] = Read(outcome, None, read.latency_s)
                    self.counts["joined" if key in joined else "vault"] += 1
                else:
                    found[key] = self._failed(key, source, read, now, may_be_stale=not force_fresh)
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
        self.now = asyncio.get_running_loop().time  # cached: belongs to one loop
        return self.now()

    def _begin(self, keys: Sequence[Key], source: Source[Any], call: Call) -> InFlightRead:
        in_flight = InFlightRead(keys)
        for key in keys:
            self._in_flight[key] = in_flight
            if key[2] is not None:
                self._methods.setdefault(key[:2], set()).add(key)
        loop = asyncio.get_running_loop()
        until = loop.time() + source.deadline_s
        own = Call(until, call.request_id, call.traceparent, call.client, call.tags, call.meter)
        in_flight.task = loop.create_task(self._run(in_flight, source, own))
        return in_flight

    async def _run(self, in_flight: InFlightRead, source: Source[Any], call: Call) -> None:
        keys, outcomes, began, peek = in_flight.keys, in_flight.outcomes, self.now(), self._snapshots.peek
        asked_at, registered = self._utc_now(), self._in_flight
        in_flight.asked_at = asked_at
        try:
            replies = await source.fetch(keys, call)
            now, as_of = self.now(), self._utc_now()
            in_flight.latency_s, in_flight.answered_at = now - began, as_of
            fresh_until = now + source.fresh_for_s if source.fresh_for_s > 0 else _NEVER
            for key in keys:
                reply = replies.get(key)
                if isinstance(reply, VaultError):
                    self._fail(key, in_flight, reply)
                elif reply is None and key not in replies:
                    outcomes[key] = VaultReplyUnreadable(source.provider)
                else:
                    before = peek(key)
                    prepared = source.prepare(reply, None if before is None else before.prepared)
                    snapshot = outcomes[key] = Snapshot(
                        reply, prepared, asked_at, as_of, now, prepared.size, fresh_until
                    )
                    if registered.get(key) is in_flight:
                        self._keep(key, snapshot, before, source)
                    else:
                        snapshot.fresh_until = _NEVER
        except VaultError as error:
            in_flight.latency_s, in_flight.answered_at = self.now() - began, self._utc_now()
            for key in keys:
                self._fail(key, in_flight, error)
        except Exception as bug:
            outcomes.update(dict.fromkeys(keys, bug))
            if not in_flight.waiting:
                raise  # asyncio logs it
        finally:
            in_flight.is_done = True
            for key in keys:  # `_unregister`, in one call less for each read
                if registered.get(key) is in_flight:
                    del registered[key]
                    if key[2] is not None:
                        self._unindex(key)
            for countdown in in_flight.waiting:
                countdown.left -= 1
                if not countdown.left:
                    countdown.wake()

    def _fail(self, key: Key, in_flight: InFlightRead, error: VaultError) -> None:
        in_flight.outcomes[key] = error
        if self._in_flight.get(key) is in_flight and not _may_show_stale(error):
            self._forget(key)

    def _keep(self, key: Key, snapshot: Snapshot[Any], before: Snapshot[Any] | None, source: Source[Any]) -> None:
        if source.fresh_for_s <= 0 and source.stale_if_error_for_s <= 0:
            return
        if before is not None:
            before.fresh_until = _NEVER
            if not snapshot.prepared.is_whole:
                better = before if before.prepared.is_whole else before.better
                if better is not None and snapshot.taken_at - better.taken_at <= source.stale_if_error_for_s:
                    snapshot.better = better
                    snapshot.size += better.size
        self._snapshots.put(key, snapshot, weight=snapshot.size)

    def _forget(self, key: Key) -> None:
        snapshot = self._snapshots.pop(key)
        if snapshot is not None:
            self._removed(key, snapshot)

    def _removed(self, key: Key, snapshot: Snapshot[Any]) -> None:
        snapshot.fresh_until = _NEVER
        if key[2] is not None:
            self._unindex(key)
        if self.on_removed is not None:
            self.on_removed(key)

    def _unindex(self, key: Key) -> None:
        if key in self._in_flight or self._snapshots.peek(key) is not None:
            return
        listed = self._methods.get(key[:2])
        if listed is not None:
            listed.discard(key)
            if not listed:
                del self._methods[key[:2]]

    async def _wait(
        self, reads: Mapping[Key, InFlightRead], wanted: Sequence[tuple[Key, Source[Any]]], call: Call
    ) -> None:
        """Wait until each read is done or its deadline has passed. Cancels reads that nothing waits for any more."""
        loop = asyncio.get_running_loop()
        began, countdown = loop.time(), Countdown(loop.create_future())
        waited: dict[InFlightRead, float] = {}
        for key, source in wanted:
            read = reads.get(key)
            if read is not None and read not in waited:
                until = began + source.deadline_s
                waited[read] = until if until < call.deadline_at else call.deadline_at
                read.waiting.append(countdown)
        countdown.left = len(waited)
        try:
            until = min(waited.values())
            while until > loop.time():
                timer = loop.call_at(until, countdown.wake)
                try:
                    await countdown.future
                finally:
                    timer.cancel()
                if not countdown.left:
                    break
                until = min([one for read, one in waited.items() if not read.is_done and one > until], default=until)
                countdown.future = loop.create_future()
        finally:
            if countdown.left:
                for read in waited:
                    if not read.is_done:
                        self._leave(read, countdown)

    def _leave(self, read: InFlightRead, countdown: Countdown) -> None:
        read.waiting.remove(countdown)
        if not read.waiting:
            self._unregister(read)
            read.task.cancel()

    def _unregister(self, read: InFlightRead) -> None:
        for key in read.keys:
            if self._in_flight.get(key) is read:
                del self._in_flight[key]
                if key[2] is not None:
                    self._unindex(key)

    def _failed(
        self, key: Key, source: Source[Any], read: InFlightRead, began: float, *, may_be_stale: bool
    ) -> Read[Any]:
        outcome, latency_s = read.outcomes.get(key), read.latency_s
        if isinstance(outcome, Exception) and not isinstance(outcome, VaultError):
            return Read(None, bug=outcome)
        if not isinstance(outcome, VaultError):
            outcome, latency_s = VaultTimeout(source.provider), self.now() - began
        stale = None
        if may_be_stale and _may_show_stale(outcome):
            stale = self._stale(key, source.stale_if_error_for_s)
        self.counts["none" if stale is None else "stale"] += 1
        return Read(stale, outcome, latency_s, read.asked_at, read.answered_at)

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
