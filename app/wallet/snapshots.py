"""What the vaults last said: kept for a moment, shared between readers, shown marked when a vault fails.

Nothing here knows what is kept: `reading` puts wallets in, and single cards' 3-D Secure results.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar

from app.errors import RejectReason, VaultError, VaultRefusedUs, VaultRejected, VaultReplyUnreadable, VaultTimeout
from app.vault.names import CustomerRef, MethodRef, ProviderName
from app.wallet.landing import over

Value = TypeVar("Value")
_UTC_NOW: Final = partial(datetime.now, UTC)

Key = tuple[ProviderName, CustomerRef, MethodRef | None]
"""Whose. The last part is None for the whole wallet, else one method."""


@dataclass(slots=True)  # not frozen, though nobody changes one: it is made anew for each read
class Snapshot(Generic[Value]):
    """`as_of` is when the vault's answer had arrived, `taken_at` the same instant on the monotonic clock.

    `asked_at` is when the call began: what happened later may be missing from the answer. `shown` is for whoever reads
    it often: what they made of it. `better` is the last complete snapshot, kept beside an incomplete one for when the
    vault fails.
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
    """One answer. A snapshot together with an error is a stale one. `latency_s` is None where no call was needed.

    `asked_at` and `answered_at` are when the call began and ended that ended in `error`.
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
    """How one kind of thing is read and how long it keeps. Durations are seconds.

    `fetch` reads many at once, on behalf of whoever asked first: a VaultError that it raises concerns all keys, one in
    a key's place that key alone. At most `batch_limit` keys are fetched together. `weigh` estimates a value's bytes.
    `is_complete` tells whether a value is all that the vault holds.
    """

    provider: ProviderName
    fetch: Callable[[Sequence[Key], Any], Awaitable[Mapping[Key, Value | VaultError]]]
    weigh: Callable[[Value], int]
    fresh_for_s: float
    stale_if_error_for_s: float
    batch_limit: int = 1
    is_complete: Callable[[Value], bool] = lambda value: True


class Flight:
    """One upstream read on its way, for whom it began, and how many wait for it."""

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
class Seat(Generic[Value]):
    """One reader's place on one flight, until when it waits, and since when."""

    key: Key
    flight: Flight
    source: "Source[Value]"
    until: float
    since: float
    is_joined: bool


class SnapshotCache:
    """Least recently used goes first once `max_bytes` is exceeded. Belongs to one event loop.

    A flight may fill the cache only while it is the one on record for its key: `drop` and `force_fresh` strike it off,
    so an answer that began before a write can never overwrite what was read after it.
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
        self._now: Callable[[], float] = monotonic or self._loops_time
        self._kept: OrderedDict[Key, Snapshot[Any]] = OrderedDict()
        self._flights: dict[Key, Flight] = {}
        self._boarding: dict[ProviderName, Flight] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        # Of one method each: a customer's wallet, which most keys are of, is found without.
        self._methods: dict[tuple[ProviderName, CustomerRef], set[Key]] = {}
        self.bytes = 0
        self.counts = {"fresh": 0, "joined": 0, "vault": 0, "stale": 0, "nobody": 0}
        """Reads since the start by who answered: a fresh snapshot, a read on its way, the vault, a stale snapshot."""

    async def read(
        self,
        keys: Iterable[Key],
        source: Source[Value],
        *,
        until: float,
        force_fresh: bool = False,
        caller: object = None,
    ) -> dict[Key, Read[Value]]:
        """Answer every key by `until` (on the loop's clock), from the cache, a read on its way, or a new one.

        `force_fresh` takes neither fresh nor stale snapshots and joins no earlier read. A vault's failure stands in
        the answer; any other exception is a bug and is raised.
        """
        found: dict[Key, Read[Value]] = {}
        seats: list[Seat[Value]] = []
        fresh_flight: Flight | None = None
        for key in dict.fromkeys(keys):
            snapshot = None if force_fresh else self._fresh(key, source.fresh_for_s)
            if snapshot is not None:
                found[key] = Read(snapshot)
                self.counts["fresh"] += 1
            elif force_fresh:
                if fresh_flight is None or len(fresh_flight.keys) >= source.batch_limit:
                    fresh_flight = self._begin(key, source, caller)
                else:
                    self._add(key, fresh_flight)
                fresh_flight.waiters += 1
                seats.append(Seat(key, fresh_flight, source, until, self._now(), False))
            else:
                seats.append(self.board(key, source, until, caller))
        if seats:
            reads = await self.landed(seats, may_be_stale=not force_fresh)
            found.update(zip([seat.key for seat in seats], reads, strict=True))
        return found

    def board(self, key: Key, source: Source[Value], until: float, caller: object = None) -> Seat[Value]:
        """A seat on the read of this key that is on its way, or on a new one. Whoever boards must await `landed`.

        Keys that one caller asks for before a flight begins, which is at the loop's next turn, go together.
        """
        flight = self._flights.get(key)
        is_joined = flight is not None
        if flight is None:
            flight = self._departing(key, source, caller)
        flight.waiters += 1
        return Seat(key, flight, source, until, self._now(), is_joined)

    async def landed(self, seats: Sequence[Seat[Value]], *, may_be_stale: bool = True) -> list[Read[Value]]:
        """What each seat's flight brought, in order, each waited for until its time."""
        try:
            await over(seats)
        finally:
            for seat in seats:
                self.leave(seat)
        return [self._arrived(seat, may_be_stale) for seat in seats]

    def arrived(self, seat: Seat[Value]) -> Read[Value]:
        """As `landed`, for one seat whose flight is over: its task is done."""
        self.leave(seat)
        return self._arrived(seat, may_be_stale=True)

    def at_hand(self, key: Key, fresh_for_s: float) -> Snapshot[Any] | None:
        """A fresh snapshot, without a turn of the loop; None when it must be read."""
        if fresh_for_s <= 0:
            return None
        snapshot = self._within(key, fresh_for_s)
        if snapshot is not None:
            self.counts["fresh"] += 1
        return snapshot

    def is_at_hand(self, key: Key, fresh_for_s: float) -> bool:
        """Whether `at_hand` would answer; nobody reads it by asking."""
        snapshot = self._kept.get(key)
        return fresh_for_s > 0 and snapshot is not None and self._now() - snapshot.taken_at <= fresh_for_s

    def last(self, key: Key) -> Any:
        """The value that is kept, however old; None where there is none."""
        snapshot = self._kept.get(key)
        return None if snapshot is None else snapshot.value

    def drop(self, provider: ProviderName, ref: CustomerRef) -> None:
        """Forget one customer at one vault, reads on their way included: whoever asks from now on asks the vault."""
        for key in ((provider, ref, None), *self._methods.pop((provider, ref), ())):
            self._flights.pop(key, None)
            if (snapshot := self._kept.pop(key, None)) is not None:
                self.bytes -= snapshot.size

    def clear(self) -> None:
        """Forget everything, for when it is not known what has changed."""
        self._flights.clear()
        self._kept.clear()
        self._methods.clear()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def _loops_time(self) -> float:
        self._now = asyncio.get_running_loop().time  # looked up once: the cache belongs to one loop
        return self._now()

    def _fresh(self, key: Key, fresh_for_s: float) -> Snapshot[Any] | None:
        return self._within(key, fresh_for_s) if fresh_for_s > 0 else None

    def _within(self, key: Key, age_s: float) -> Snapshot[Any] | None:
        snapshot = self._kept.get(key)
        if snapshot is None or self._now() - snapshot.taken_at > age_s:
            return None
        self._kept.move_to_end(key)
        return snapshot

    def _departing(self, key: Key, source: Source[Value], caller: object) -> Flight:
        if source.batch_limit <= 1:
            return self._begin(key, source, caller)
        flight = self._boarding.get(source.provider)
        is_open = flight is not None and not flight.has_begun and flight.waiters and flight.caller is caller
        if flight is None or not is_open or len(flight.keys) >= source.batch_limit:
            flight = self._boarding[source.provider] = self._begin(key, source, caller)
        else:
            self._add(key, flight)
        return flight

    def _begin(self, key: Key, source: Source[Value], caller: object) -> Flight:
        flight = Flight([], caller)
        self._add(key, flight)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # looked up once: the cache belongs to one loop
        flight.task = self._loop.create_task(self._fly(flight, source))
        return flight

    def _add(self, key: Key, flight: Flight) -> None:
        flight.keys.append(key)
        self._flights[key] = flight
        if key[2] is not None:
            self._methods.setdefault(key[:2], set()).add(key)

    async def _fly(self, flight: Flight, source: Source[Value]) -> None:
        flight.has_begun = True
        if self._boarding.get(source.provider) is flight:
            del self._boarding[source.provider]
        keys, began = flight.keys, self._now()
        asked_at = flight.asked_at = self._utc_now()
        try:
            replies = await source.fetch(keys, flight.caller)
        except VaultError as error:
            replies = dict.fromkeys(keys, error)
        except BaseException:
            self._strike(flight)
            raise
        flight.latency_s = self._now() - began
        for key in keys:
            reply = replies[key] if key in replies else VaultReplyUnreadable(source.provider)
            outcome: Snapshot[Any] | VaultError
            if isinstance(reply, VaultError):
                outcome, flight.answered_at = reply, self._utc_now()
            else:
                outcome = Snapshot(reply, asked_at, self._utc_now(), self._now(), source.weigh(reply))
            flight.outcomes[key] = outcome
            self._record(key, flight, outcome, source)
        self._strike(flight)

    def _record(self, key: Key, flight: Flight, outcome: Snapshot[Any] | VaultError, source: Source[Any]) -> None:
        if self._flights.get(key) is not flight:
            return
        if isinstance(outcome, VaultError):
            if not _may_show_stale(outcome):
                self._forget(key)
        elif source.fresh_for_s > 0 or source.stale_if_error_for_s > 0:
            if not source.is_complete(outcome.value):
                self._keep_better(outcome, self._kept.get(key), source)
            self._keep(key, outcome)

    def _keep_better(self, partial: Snapshot[Any], before: Snapshot[Any] | None, source: Source[Any]) -> None:
        """A partial answer is shown as it is, and does not take the place of a complete one that could still serve."""
        better = before if before is None or source.is_complete(before.value) else before.better
        if better is not None and self._now() - better.taken_at <= source.stale_if_error_for_s:
            partial.better = better
            partial.size += better.size

    def _keep(self, key: Key, snapshot: Snapshot[Any]) -> None:
        before = self._kept.get(key)
        self._kept[key] = snapshot
        if before is None:
            if key[2] is not None:
                self._methods.setdefault(key[:2], set()).add(key)
            self.bytes += snapshot.size
        else:
            self._kept.move_to_end(key)
            self.bytes += snapshot.size - before.size
        while self.bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Key) -> None:
        if (snapshot := self._kept.pop(key, None)) is not None:
            self.bytes -= snapshot.size
            self._unlist(key)

    def _strike(self, flight: Flight) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]
                if key[2] is not None:
                    self._unlist(key)

    def _unlist(self, key: Key) -> None:
        if key[2] is None or key in self._kept or key in self._flights:
            return
        listed = self._methods.get(key[:2])
        if listed is not None:
            listed.discard(key)
            if not listed:
                del self._methods[key[:2]]

    def leave(self, seat: Seat[Any]) -> None:
        """Wait no longer. A flight that nobody waits for any more ends."""
        flight = seat.flight
        flight.waiters -= 1
        if not flight.waiters and not flight.task.done():
            self._strike(flight)
            flight.task.cancel()

    def _arrived(self, seat: Seat[Value], may_be_stale: bool) -> Read[Value]:
        flight = seat.flight
        outcome = flight.outcomes.get(seat.key)
        if isinstance(outcome, Snapshot):
            self.counts["joined" if seat.is_joined else "vault"] += 1
            return Read(outcome, None, flight.latency_s)
        read = self._not_brought(seat, outcome, may_be_stale)
        self.counts["nobody" if read.snapshot is None else "stale"] += 1
        return read

    def _not_brought(self, seat: Seat[Value], outcome: VaultError | None, may_be_stale: bool) -> Read[Value]:
        flight, source = seat.flight, seat.source
        latency_s = flight.latency_s
        if outcome is None:
            if flight.task.done() and not flight.task.cancelled():
                flight.task.result()  # raises what is a bug
            outcome, latency_s = VaultTimeout(source.provider), self._now() - seat.since
        stale = None
        if may_be_stale and _may_show_stale(outcome):
            stale = self._stale(seat.key, source.stale_if_error_for_s)
        return Read(stale, outcome, latency_s, flight.asked_at, flight.answered_at)

    def _stale(self, key: Key, age_s: float) -> Snapshot[Any] | None:
        """The last complete snapshot, or where there is none that is young enough, the last incomplete one."""
        snapshot = self._within(key, age_s)
        better = None if snapshot is None else snapshot.better
        return better if better is not None and self._now() - better.taken_at <= age_s else snapshot


def _may_show_stale(error: VaultError) -> bool:
    """A vault that is down may come back with the same wallet; one that refuses us, or no longer knows the customer,
    has told us that we may not show it."""
    if isinstance(error, VaultRejected):
        return error.reason is not RejectReason.CUSTOMER_NOT_FOUND
    return not isinstance(error, VaultRefusedUs)
